// What may follow a primary expression: attributes, subscripts, calls, filters and tests.
#include "engine/text/jinja/parser.h"

namespace bitrate::jinja {
namespace {

constexpr size_t kMaxNamedArguments = 256;  // each is compared with all before it

}  // namespace

StatusOr<Expr*> Parser::ParsePostfix(Expr* node) {
  while (true) {
    if (Current().IsOperator(".")) {
      ASSIGN_OR_RETURN(node, ParseDot(node));
    } else if (Current().IsOperator("[")) {
      ASSIGN_OR_RETURN(node, ParseSubscript(node));
    } else if (Current().IsOperator("(")) {
      ASSIGN_OR_RETURN(node, ParseCall(node));
    } else {
      return node;
    }
  }
}

StatusOr<Expr*> Parser::ParseFilters(Expr* node) {
  while (true) {
    if (SkipIfOperator("|")) {
      ASSIGN_OR_RETURN(node, ParseFilter(node));
    } else if (Current().IsName("is")) {
      ASSIGN_OR_RETURN(node, ParseTest(node));
    } else if (Current().IsOperator("(")) {
      ASSIGN_OR_RETURN(node, ParseCall(node));
    } else {
      return node;
    }
  }
}

StatusOr<Expr*> Parser::ParseDot(Expr* object) {
  Skip();
  const Token& token = Current();
  if (token.type == TokenType::kInteger) {
    Expr* node = MakeExpr(ExprKind::kItem, token.line);
    node->a = object;
    ASSIGN_OR_RETURN(node->b, ParseNumber());
    return Checked(node);
  }
  if (token.type != TokenType::kName) return Unexpected("a name or a number");
  Expr* node = MakeExpr(ExprKind::kAttribute, token.line);
  node->a = object;
  node->text = MakeStr(token.text);
  Skip();
  return Checked(node);
}

// One part between the brackets: an expression, or the items of `slice`.
StatusOr<Expr*> Parser::ParseSubscriptItem(Expr* slice, bool* is_slice) {
  Expr* parts[3] = {};
  int part = 0;
  while (!Current().IsOperator("]") && !Current().IsOperator(",")) {
    if (Current().IsOperator(":")) {
      if (++part > 2) return Unexpected("']'");
      Skip();
      continue;
    }
    if (parts[part] != nullptr) return Unexpected("']'");
    ASSIGN_OR_RETURN(parts[part], ParseExpression());
  }
  *is_slice = part > 0;
  if (!*is_slice) {
    if (parts[0] == nullptr) return Unexpected("an expression");
    return parts[0];
  }
  slice->kind = ExprKind::kSlice;
  slice->items = out_.arena.Copy(std::vector<Expr*>(parts, parts + 3));
  slice->num_items = 3;
  return slice;
}

StatusOr<Expr*> Parser::ParseSubscript(Expr* object) {
  Expr* node = MakeExpr(ExprKind::kItem, Current().line);
  node->a = object;
  Skip();
  bool slice = false;
  ASSIGN_OR_RETURN(Expr * index, ParseSubscriptItem(node, &slice));
  if (slice) {
    RETURN_IF_ERROR(ExpectOperator("]"));
    return Checked(node);
  }
  std::vector<Expr*> items = {index};
  while (SkipIfOperator(",")) {  // a[1, 2]: the index is a tuple
    ASSIGN_OR_RETURN(Expr * item, ParseExpression());
    items.push_back(item);
  }
  RETURN_IF_ERROR(ExpectOperator("]"));
  if (items.size() > 1) {
    index = MakeExpr(ExprKind::kTuple, node->line);
    index->items = out_.arena.Copy(items);
    index->num_items = static_cast<uint32_t>(items.size());
    ASSIGN_OR_RETURN(index, Checked(index));
  }
  node->b = index;
  return Checked(node);
}

StatusOr<Expr*> Parser::ParseCall(Expr* callee) {
  Expr* node = MakeExpr(ExprKind::kCall, Current().line);
  node->a = callee;
  ASSIGN_OR_RETURN(node->args, ParseArguments());
  return Checked(node);
}

Status Parser::ParseArgument(std::vector<Expr*>* positional, std::vector<Keyword>* named, Arguments* args) {
  if (SkipIfOperator("*")) {
    if (args->star != nullptr || args->double_star != nullptr) return Fail("misplaced '*' argument");
    ASSIGN_OR_RETURN(args->star, ParseExpression());
  } else if (SkipIfOperator("**")) {
    if (args->double_star != nullptr) return Fail("misplaced '**' argument");
    ASSIGN_OR_RETURN(args->double_star, ParseExpression());
  } else if (Current().type == TokenType::kName && Next().IsOperator("=")) {
    if (args->double_star != nullptr) return Fail("a named argument follows '**'");
    if (named->size() >= kMaxNamedArguments) return Fail("too many named arguments");
    Keyword keyword;
    keyword.name = MakeStr(Current().text);
    for (const Keyword& other : *named) {
      if (other.name->view() == keyword.name->view()) {
        return Fail(fmt::format("argument '{}' is given twice", other.name->view().substr(0, 40)));
      }
    }
    Skip();
    Skip();
    ASSIGN_OR_RETURN(keyword.value, ParseExpression());
    named->push_back(keyword);
  } else {
    if (args->star != nullptr || args->double_star != nullptr || !named->empty()) {
      return Fail("a positional argument follows a named one");
    }
    ASSIGN_OR_RETURN(Expr * value, ParseExpression());
    positional->push_back(value);
  }
  return OkStatus();
}

StatusOr<const Arguments*> Parser::ParseArguments() {
  RETURN_IF_ERROR(ExpectOperator("("));
  Arguments* args = out_.arena.New<Arguments>();
  std::vector<Expr*> positional;
  std::vector<Keyword> named;
  while (!Current().IsOperator(")")) {
    RETURN_IF_ERROR(ParseArgument(&positional, &named, args));
    if (!SkipIfOperator(",")) break;
  }
  RETURN_IF_ERROR(ExpectOperator(")"));
  args->positional = out_.arena.Copy(positional);
  args->num_positional = positional.size();
  args->named = out_.arena.Copy(named);
  args->num_named = named.size();
  return args;
}

StatusOr<std::string_view> Parser::ParseDottedName() {
  if (Current().type != TokenType::kName) return Unexpected("a name");
  std::string name(Current().text);
  Skip();
  while (SkipIfOperator(".")) {
    if (Current().type != TokenType::kName) return Unexpected("a name");
    name += '.';
    name += Current().text;
    Skip();
  }
  return out_.arena.Copy(std::string_view(name));
}

StatusOr<Expr*> Parser::ParseFilter(Expr* value) {
  Expr* node = MakeExpr(ExprKind::kFilter, Current().line);
  node->a = value;
  ASSIGN_OR_RETURN(std::string_view name, ParseDottedName());
  node->text = MakeStr(name);
  node->filter = FindFilter(name);
  if (node->filter == nullptr) {
    unknown_.push_back({node->line, fmt::format("no filter named '{}'", name.substr(0, 40)), false});
  }
  if (Current().IsOperator("(")) {
    ASSIGN_OR_RETURN(node->args, ParseArguments());
  }
  return Checked(node);
}

StatusOr<Expr*> Parser::ParseFilterChain(Expr* value) {
  do {
    ASSIGN_OR_RETURN(value, ParseFilter(value));
  } while (SkipIfOperator("|"));
  return value;
}

StatusOr<Expr*> Parser::ParseTest(Expr* value) {
  Expr* node = MakeExpr(ExprKind::kTest, Current().line);
  Skip();  // is
  const bool negated = SkipIfName("not");
  node->a = value;
  ASSIGN_OR_RETURN(std::string_view name, ParseDottedName());
  node->text = MakeStr(name);
  node->test = FindTest(name);
  if (node->test == nullptr) {
    unknown_.push_back({node->line, fmt::format("no test named '{}'", name.substr(0, 40)), false});
  }
  const Token& token = Current();
  const bool bracket = token.IsOperator("[") || token.IsOperator("{");
  const bool literal =
      token.type == TokenType::kString || token.type == TokenType::kInteger || token.type == TokenType::kFloat;
  const bool word =
      token.type == TokenType::kName && !token.IsName("else") && !token.IsName("or") && !token.IsName("and");
  if (token.IsOperator("(")) {
    ASSIGN_OR_RETURN(node->args, ParseArguments());
  } else if (bracket || literal || word) {
    if (token.IsName("is")) return Fail("tests cannot be chained with 'is'");
    ASSIGN_OR_RETURN(Expr * argument, ParsePrimary());
    ASSIGN_OR_RETURN(argument, ParsePostfix(argument));
    Arguments* args = out_.arena.New<Arguments>();
    args->positional = out_.arena.Copy(std::vector<Expr*>{argument});
    args->num_positional = 1;
    node->args = args;
  }
  ASSIGN_OR_RETURN(node, Checked(node));
  if (!negated) return node;
  Expr* inverse = MakeExpr(ExprKind::kNot, node->line);
  inverse->a = node;
  return Checked(inverse);
}

}  // namespace bitrate::jinja
