// Statements: everything between {% and %}.
#include "engine/text/jinja/parser.h"

namespace bitrate::jinja {
namespace {

bool Binds(const Expr& target, uint32_t name) {  // no deeper than the parser went
  if (target.kind == ExprKind::kName) return target.name == name;
  return std::any_of(target.items, target.items + target.num_items,
                     [name](const Expr* item) { return Binds(*item, name); });
}

}  // namespace

StatusOr<Block> Parser::ParseBlock(Names end_names) {
  std::vector<Stmt*> items;
  while (Current().type != TokenType::kEnd) {
    if (!out_.arena.Fits(0)) return Fail("the template is too large");
    if (Current().type == TokenType::kData) {
      Stmt* text = MakeStmt(StmtKind::kText, Current().line);
      text->text = MakeStr(Current().text);
      items.push_back(text);
      Skip();
      continue;
    }
    if (Current().type == TokenType::kVariableBegin) {
      ASSIGN_OR_RETURN(Stmt * output, ParseOutput());
      items.push_back(output);
      continue;
    }
    RETURN_IF_ERROR(Expect(TokenType::kBlockBegin, "text or a tag"));
    for (std::string_view name : end_names) {
      if (Current().IsName(name)) return Block{out_.arena.Copy(items), items.size()};
    }
    ASSIGN_OR_RETURN(Stmt * statement, ParseStatement());
    RETURN_IF_ERROR(Expect(TokenType::kBlockEnd, "'%}'"));
    items.push_back(statement);
  }
  if (end_names.size() != 0) return Unexpected(fmt::format("'{}'", *(end_names.end() - 1)));
  return Block{out_.arena.Copy(items), items.size()};
}

StatusOr<Block> Parser::ParseBody(Names end_names) {
  SkipIfOperator(":");
  RETURN_IF_ERROR(Expect(TokenType::kBlockEnd, "'%}'"));
  return ParseBlock(end_names);
}

StatusOr<Block> Parser::ParseBodyAndEnd(std::string_view end_name) {
  ASSIGN_OR_RETURN(Block body, ParseBody({end_name}));
  Skip();
  return body;
}

StatusOr<Stmt*> Parser::ParseOutput() {
  Stmt* output = MakeStmt(StmtKind::kOutput, Current().line);
  Skip();
  ASSIGN_OR_RETURN(output->value, ParseTuple(true, false));
  RETURN_IF_ERROR(Expect(TokenType::kVariableEnd, "'}}'"));
  return output;
}

StatusOr<Stmt*> Parser::ParseStatement() {
  Depth depth(*this);
  RETURN_IF_ERROR(depth.Check());
  if (Current().type != TokenType::kName) return Unexpected("a tag's name");
  const std::string_view name = Current().text;
  if (name == "for") return ParseFor();
  if (name == "if") return ParseIf();
  if (name == "set") return ParseSet();
  if (name == "with") return ParseWith();
  if (name == "macro") return ParseMacro();
  if (name == "call") return ParseCallBlock();
  if (name == "filter") return ParseFilterBlock();
  if (name == "generation") return ParseScope("endgeneration");
  if (name == "print") return ParsePrint();
  if (name == "break") return ParseLoopControl(StmtKind::kBreak);
  if (name == "continue") return ParseLoopControl(StmtKind::kContinue);
  return Fail(fmt::format("unknown tag '{}'", name.substr(0, 40)));
}

StatusOr<Expr*> Parser::ParseTargetItem(bool with_namespace) {
  if (Current().type == TokenType::kOperator && Current().text == "(") {
    Depth depth(*this);
    RETURN_IF_ERROR(depth.Check());
    Skip();
    ASSIGN_OR_RETURN(Expr * inner, ParseTarget(with_namespace, {}));
    RETURN_IF_ERROR(ExpectOperator(")"));
    return inner;
  }
  if (Current().type != TokenType::kName) return Unexpected("a name to assign to");
  const Token& token = Current();
  if (token.text == "true" || token.text == "false" || token.text == "none" || token.text == "True" ||
      token.text == "False" || token.text == "None") {
    return Unexpected("a name to assign to");
  }
  Expr* name = MakeExpr(ExprKind::kName, token.line);
  name->name = Intern(token.text);
  name->text = MakeStr(token.text);
  Skip();
  if (!with_namespace || !SkipIfOperator(".")) return name;
  if (Current().type != TokenType::kName) return Unexpected("the name of an attribute");
  Expr* attribute = MakeExpr(ExprKind::kAttribute, token.line);
  attribute->a = name;
  attribute->text = MakeStr(Current().text);
  Skip();
  return Checked(attribute);
}

StatusOr<Expr*> Parser::ParseTarget(bool with_namespace, std::string_view end_name) {
  const int line = Current().line;
  std::vector<Expr*> items;
  bool tuple = false;
  while (true) {
    ASSIGN_OR_RETURN(Expr * item, ParseTargetItem(with_namespace));
    items.push_back(item);
    if (!SkipIfOperator(",")) break;
    tuple = true;
    if (AtTupleEnd(end_name) || Current().IsOperator("=")) break;
  }
  if (!tuple) return items[0];
  Expr* node = MakeExpr(ExprKind::kTuple, line);
  node->items = out_.arena.Copy(items);
  node->num_items = static_cast<uint32_t>(items.size());
  return Checked(node);
}

StatusOr<Stmt*> Parser::ParseFor() {
  Stmt* loop = MakeStmt(StmtKind::kFor, Current().line);
  Skip();
  ASSIGN_OR_RETURN(loop->target, ParseTarget(false, "in"));
  if (Binds(*loop->target, out_.known.loop)) return Fail("a loop cannot assign to 'loop'");
  RETURN_IF_ERROR(ExpectName("in"));
  ASSIGN_OR_RETURN(loop->value, ParseTuple(false, false, "recursive"));
  if (SkipIfName("if")) {
    ASSIGN_OR_RETURN(loop->test, ParseExpression());
  }
  loop->recursive = SkipIfName("recursive");
  ++loops_;
  ASSIGN_OR_RETURN(loop->body, ParseBody({"else", "endfor"}));
  --loops_;
  if (SkipIfName("else")) {
    ASSIGN_OR_RETURN(loop->otherwise, ParseBody({"endfor"}));
  }
  Skip();
  return loop;
}

StatusOr<Stmt*> Parser::ParseIf() {
  Stmt* statement = MakeStmt(StmtKind::kIf, Current().line);
  const size_t unknown = unknown_.size();
  std::vector<Branch> branches;
  while (true) {
    Skip();  // if, elif
    Branch branch;
    ASSIGN_OR_RETURN(branch.test, ParseTuple(false, false));
    ASSIGN_OR_RETURN(branch.body, ParseBody({"elif", "else", "endif"}));
    branches.push_back(branch);
    if (!Current().IsName("elif")) break;
  }
  if (SkipIfName("else")) {
    Branch branch;
    ASSIGN_OR_RETURN(branch.body, ParseBody({"endif"}));
    branches.push_back(branch);
  }
  Skip();  // endif
  GuardUnknown(unknown);
  statement->branches = out_.arena.Copy(branches);
  statement->num_branches = branches.size();
  return statement;
}

StatusOr<Stmt*> Parser::ParseSet() {
  Stmt* statement = MakeStmt(StmtKind::kSet, Current().line);
  Skip();
  ASSIGN_OR_RETURN(statement->target, ParseTarget(true, {}));
  if (SkipIfOperator("=")) {
    ASSIGN_OR_RETURN(statement->value, ParseTuple(true, false));
    return statement;
  }
  statement->kind = StmtKind::kSetBlock;
  if (SkipIfOperator("|")) {
    ASSIGN_OR_RETURN(statement->value, ParseFilterChain(MakeExpr(ExprKind::kBody, statement->line)));
  }
  ASSIGN_OR_RETURN(statement->body, ParseBodyAndEnd("endset"));
  return statement;
}

StatusOr<Stmt*> Parser::ParseWith() {
  Stmt* statement = MakeStmt(StmtKind::kWith, Current().line);
  Skip();
  std::vector<Expr*> pairs;
  while (Current().type != TokenType::kBlockEnd) {
    if (!pairs.empty()) RETURN_IF_ERROR(ExpectOperator(","));
    ASSIGN_OR_RETURN(Expr * target, ParseTargetItem(false));
    RETURN_IF_ERROR(ExpectOperator("="));
    ASSIGN_OR_RETURN(Expr * value, ParseExpression());
    pairs.push_back(target);
    pairs.push_back(value);
  }
  statement->with_targets = out_.arena.Copy(pairs);
  statement->num_with = pairs.size() / 2;
  ASSIGN_OR_RETURN(statement->body, ParseBodyAndEnd("endwith"));
  return statement;
}

Status Parser::ParseSignature(std::vector<Parameter>* parameters) {
  RETURN_IF_ERROR(ExpectOperator("("));
  while (!Current().IsOperator(")")) {
    if (!parameters->empty()) RETURN_IF_ERROR(ExpectOperator(","));
    if (Current().type != TokenType::kName) return Unexpected("the name of a parameter");
    Parameter parameter;
    parameter.name = Intern(Current().text);
    parameter.text = MakeStr(Current().text);
    Skip();
    if (SkipIfOperator("=")) {
      ASSIGN_OR_RETURN(parameter.fallback, ParseExpression());
    } else if (!parameters->empty() && parameters->back().fallback != nullptr) {
      return Fail("a parameter without a default follows one with a default");
    }
    parameters->push_back(parameter);
  }
  Skip();
  return OkStatus();
}

Status Parser::ParseMacroBody(MacroDef* macro, std::string_view end_name) {
  const int callers = num_caller_, varargs = num_varargs_, kwargs = num_kwargs_;
  const int loops = std::exchange(loops_, 0);
  ASSIGN_OR_RETURN(macro->body, ParseBodyAndEnd(end_name));
  loops_ = loops;
  macro->uses_caller = num_caller_ != callers;
  macro->uses_varargs = num_varargs_ != varargs;
  macro->uses_kwargs = num_kwargs_ != kwargs;
  return OkStatus();
}

StatusOr<Stmt*> Parser::ParseMacro() {
  Stmt* statement = MakeStmt(StmtKind::kMacro, Current().line);
  Skip();
  if (Current().type != TokenType::kName) return Unexpected("the name of the macro");
  MacroDef* macro = out_.arena.New<MacroDef>();
  macro->name = Intern(Current().text);
  macro->text = MakeStr(Current().text);
  Skip();
  std::vector<Parameter> parameters;
  RETURN_IF_ERROR(ParseSignature(&parameters));
  macro->parameters = out_.arena.Copy(parameters);
  macro->num_parameters = parameters.size();
  RETURN_IF_ERROR(ParseMacroBody(macro, "endmacro"));
  statement->macro = macro;
  return statement;
}

StatusOr<Stmt*> Parser::ParseCallBlock() {
  Stmt* statement = MakeStmt(StmtKind::kCallBlock, Current().line);
  Skip();
  MacroDef* body = out_.arena.New<MacroDef>();
  std::vector<Parameter> parameters;
  if (Current().IsOperator("(")) RETURN_IF_ERROR(ParseSignature(&parameters));
  body->parameters = out_.arena.Copy(parameters);
  body->num_parameters = parameters.size();
  ASSIGN_OR_RETURN(statement->value, ParseExpression());
  if (statement->value->kind != ExprKind::kCall) return Fail("expected a call");
  RETURN_IF_ERROR(ParseMacroBody(body, "endcall"));
  statement->macro = body;
  return statement;
}

StatusOr<Stmt*> Parser::ParseFilterBlock() {
  Stmt* statement = MakeStmt(StmtKind::kFilterBlock, Current().line);
  Skip();
  ASSIGN_OR_RETURN(statement->value, ParseFilterChain(MakeExpr(ExprKind::kBody, statement->line)));
  ASSIGN_OR_RETURN(statement->body, ParseBodyAndEnd("endfilter"));
  return statement;
}

StatusOr<Stmt*> Parser::ParseScope(std::string_view end_name) {
  Stmt* statement = MakeStmt(StmtKind::kScope, Current().line);
  Skip();
  const int loops = std::exchange(loops_, 0);
  ASSIGN_OR_RETURN(statement->body, ParseBodyAndEnd(end_name));
  loops_ = loops;
  return statement;
}

// {% print a, b %} is {{ a ~ b }}.
StatusOr<Stmt*> Parser::ParsePrint() {
  Stmt* statement = MakeStmt(StmtKind::kOutput, Current().line);
  Skip();
  std::vector<Expr*> items;
  while (Current().type != TokenType::kBlockEnd) {
    if (!items.empty()) RETURN_IF_ERROR(ExpectOperator(","));
    ASSIGN_OR_RETURN(Expr * item, ParseExpression());
    items.push_back(item);
  }
  Expr* joined = MakeExpr(ExprKind::kConcat, statement->line);
  joined->items = out_.arena.Copy(items);
  joined->num_items = static_cast<uint32_t>(items.size());
  ASSIGN_OR_RETURN(statement->value, Checked(joined));
  return statement;
}

StatusOr<Stmt*> Parser::ParseLoopControl(StmtKind kind) {
  if (loops_ == 0) return Fail(fmt::format("'{}' outside a loop", Current().text));
  Stmt* statement = MakeStmt(kind, Current().line);
  Skip();
  return statement;
}

}  // namespace bitrate::jinja
