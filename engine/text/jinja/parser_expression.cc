// Expressions, by precedence climbing so that a bracket costs few stack frames.
#include <charconv>
#include <cmath>
#include <limits>

#include "engine/text/jinja/number_text.h"
#include "engine/text/jinja/parser.h"

namespace bitrate::jinja {
namespace {

// Loosest first. Unlike Python, `~` binds tighter than `+`.
enum Level { kOrLevel, kAndLevel, kNotLevel, kCompareLevel, kAddLevel, kConcatLevel, kMultiplyLevel, kPowerLevel };

struct BinaryOp {
  std::string_view text;
  int level;
  Op op;
};
constexpr BinaryOp kBinaryOps[] = {{"+", kAddLevel, Op::kAdd},
                                   {"-", kAddLevel, Op::kSubtract},
                                   {"*", kMultiplyLevel, Op::kMultiply},
                                   {"/", kMultiplyLevel, Op::kDivide},
                                   {"//", kMultiplyLevel, Op::kFloorDivide},
                                   {"%", kMultiplyLevel, Op::kModulo},
                                   {"**", kPowerLevel, Op::kPower},
                                   {"==", kCompareLevel, Op::kEqual},
                                   {"!=", kCompareLevel, Op::kNotEqual},
                                   {"<", kCompareLevel, Op::kLess},
                                   {"<=", kCompareLevel, Op::kLessEqual},
                                   {">", kCompareLevel, Op::kGreater},
                                   {">=", kCompareLevel, Op::kGreaterEqual}};

const BinaryOp* FindBinaryOp(const Token& token) {
  if (token.type != TokenType::kOperator) return nullptr;
  for (const BinaryOp& op : kBinaryOps) {
    if (token.text == op.text) return &op;
  }
  return nullptr;
}

bool StartsCompare(const Token& token, const Token& next, Op* op) {
  if (token.IsName("in")) {
    *op = Op::kIn;
    return true;
  }
  if (token.IsName("not") && next.IsName("in")) {
    *op = Op::kNotIn;
    return true;
  }
  const BinaryOp* binary = FindBinaryOp(token);
  if (binary == nullptr || binary->level != kCompareLevel) return false;
  *op = binary->op;
  return true;
}

}  // namespace

StatusOr<Expr*> Parser::ParseExpression(bool conditional) {
  Depth depth(*this);
  RETURN_IF_ERROR(depth.Check());
  const size_t unknown = unknown_.size();
  ASSIGN_OR_RETURN(Expr * value, ParseBinary(kOrLevel));
  while (conditional && Current().IsName("if")) {
    Expr* node = MakeExpr(ExprKind::kConditional, Current().line);
    Skip();
    node->a = value;
    ASSIGN_OR_RETURN(node->b, ParseBinary(kOrLevel));
    if (SkipIfName("else")) {
      ASSIGN_OR_RETURN(node->c, ParseExpression());
    }
    GuardUnknown(unknown);
    ASSIGN_OR_RETURN(value, Checked(node));
  }
  return value;
}

StatusOr<Expr*> Parser::ParseTuple(bool conditional, bool in_parentheses, std::string_view end_name) {
  const int line = Current().line;
  std::vector<Expr*> items;
  bool tuple = false;
  while (!AtTupleEnd(end_name)) {
    ASSIGN_OR_RETURN(Expr * item, ParseExpression(conditional));
    items.push_back(item);
    if (!SkipIfOperator(",")) break;
    tuple = true;
  }
  if (!tuple && !items.empty()) return items[0];
  if (items.empty() && !in_parentheses) return Unexpected("an expression");
  Expr* node = MakeExpr(ExprKind::kTuple, line);
  node->items = out_.arena.Copy(items);
  node->num_items = static_cast<uint32_t>(items.size());
  return Checked(node);
}

StatusOr<Expr*> Parser::ParseNot() {
  Depth depth(*this);
  RETURN_IF_ERROR(depth.Check());
  Expr* node = MakeExpr(ExprKind::kNot, Current().line);
  Skip();
  ASSIGN_OR_RETURN(node->a, ParseBinary(kNotLevel));
  return Checked(node);
}

StatusOr<Expr*> Parser::ParseBinary(int level) {
  const bool is_not = level <= kNotLevel && Current().IsName("not");
  ASSIGN_OR_RETURN(Expr * left, is_not ? ParseNot() : ParseUnary(true));
  while (true) {
    const Token& token = Current();
    Op compare;
    if (StartsCompare(token, Next(), &compare)) {
      if (level > kCompareLevel) return left;
      ASSIGN_OR_RETURN(left, ParseCompare(left));
      continue;
    }
    if (token.IsOperator("~")) {
      if (level > kConcatLevel) return left;
      ASSIGN_OR_RETURN(left, ParseConcat(left));
      continue;
    }
    const BinaryOp* binary = FindBinaryOp(token);
    const bool logical = token.IsName("or") || token.IsName("and");
    const int found = binary != nullptr ? binary->level : token.IsName("or") ? kOrLevel : kAndLevel;
    if ((binary == nullptr && !logical) || found < level) return left;
    Expr* node = MakeExpr(binary != nullptr   ? ExprKind::kBinary
                          : found == kOrLevel ? ExprKind::kOr
                                              : ExprKind::kAnd,
                          token.line);
    if (binary != nullptr) node->op = binary->op;
    Skip();
    node->a = left;
    ASSIGN_OR_RETURN(node->b, ParseBinary(found + 1));
    ASSIGN_OR_RETURN(left, Checked(node));
  }
}

StatusOr<Expr*> Parser::ParseCompare(Expr* first) {
  Expr* node = MakeExpr(ExprKind::kCompare, Current().line);
  std::vector<Expr*> items = {first};
  std::vector<Op> ops;
  Op op;
  while (StartsCompare(Current(), Next(), &op)) {
    Skip();
    if (op == Op::kNotIn) Skip();
    ASSIGN_OR_RETURN(Expr * operand, ParseBinary(kCompareLevel + 1));
    items.push_back(operand);
    ops.push_back(op);
  }
  node->items = out_.arena.Copy(items);
  node->num_items = static_cast<uint32_t>(items.size());
  node->ops = out_.arena.Copy(ops);
  return Checked(node);
}

StatusOr<Expr*> Parser::ParseConcat(Expr* first) {
  Expr* node = MakeExpr(ExprKind::kConcat, Current().line);
  std::vector<Expr*> items = {first};
  while (SkipIfOperator("~")) {
    ASSIGN_OR_RETURN(Expr * operand, ParseBinary(kConcatLevel + 1));
    items.push_back(operand);
  }
  node->items = out_.arena.Copy(items);
  node->num_items = static_cast<uint32_t>(items.size());
  return Checked(node);
}

StatusOr<Expr*> Parser::ParseUnary(bool with_filters) {
  Expr* node = nullptr;
  const Token& token = Current();
  if (token.IsOperator("-") || token.IsOperator("+")) {
    Depth depth(*this);
    RETURN_IF_ERROR(depth.Check());
    Skip();
    Expr* sign = MakeExpr(token.text == "-" ? ExprKind::kNegative : ExprKind::kPositive, token.line);
    ASSIGN_OR_RETURN(sign->a, ParseUnary(false));
    ASSIGN_OR_RETURN(node, Checked(sign));
  } else {
    ASSIGN_OR_RETURN(node, ParsePrimary());
  }
  ASSIGN_OR_RETURN(node, ParsePostfix(node));
  if (!with_filters) return node;
  return ParseFilters(node);
}

StatusOr<Expr*> Parser::ParsePrimary() {
  const Token& token = Current();
  switch (token.type) {
    case TokenType::kName:
      return ParseName();
    case TokenType::kString:
      return ParseString();
    case TokenType::kInteger:
    case TokenType::kFloat:
      return ParseNumber();
    default:
      break;
  }
  if (token.IsOperator("[")) return ParseList();
  if (token.IsOperator("{")) return ParseDict();
  if (!token.IsOperator("(")) return Unexpected("an expression");
  Skip();
  ASSIGN_OR_RETURN(Expr * inner, ParseTuple(true, true));
  RETURN_IF_ERROR(ExpectOperator(")"));
  return inner;
}

StatusOr<Expr*> Parser::ParseName() {
  const Token& token = Current();
  Expr* node = MakeExpr(ExprKind::kConst, token.line);
  Skip();
  if (token.text == "true" || token.text == "True") {
    node->constant = Value::Bool(true);
  } else if (token.text == "false" || token.text == "False") {
    node->constant = Value::Bool(false);
  } else if (token.text == "none" || token.text == "None") {
    node->constant = Value::None();
  } else {
    node->kind = ExprKind::kName;
    node->name = Intern(token.text);
    node->text = MakeStr(token.text);
    num_caller_ += token.text == "caller" ? 1 : 0;
    num_varargs_ += token.text == "varargs" ? 1 : 0;
    num_kwargs_ += token.text == "kwargs" ? 1 : 0;
  }
  return node;
}

StatusOr<Expr*> Parser::ParseNumber() {
  const Token& token = Current();
  Expr* node = MakeExpr(ExprKind::kConst, token.line);
  if (token.type == TokenType::kFloat) {
    node->constant = Value::Float(ParseDouble(token.text).value_or(0));
  } else {
    const std::optional<int64_t> value = ParseInteger(token.text, 0);
    if (!value.has_value()) return Fail(fmt::format("{} is not a 64-bit integer", token.text.substr(0, 40)));
    node->constant = Value::Int(*value);
  }
  Skip();
  return node;
}

StatusOr<Expr*> Parser::ParseString() {
  Expr* node = MakeExpr(ExprKind::kConst, Current().line);
  std::string_view text = Current().text;
  Skip();
  if (Current().type == TokenType::kString) {  // 'a' 'b' is 'ab'
    std::string joined(text);
    for (; Current().type == TokenType::kString; Skip()) joined += Current().text;
    text = out_.arena.Copy(std::string_view(joined));
  }
  node->constant = Value::Of(MakeStr(text));
  return node;
}

StatusOr<Expr*> Parser::ParseList() {
  Expr* node = MakeExpr(ExprKind::kList, Current().line);
  Skip();
  std::vector<Expr*> items;
  while (!Current().IsOperator("]")) {
    ASSIGN_OR_RETURN(Expr * item, ParseExpression());
    items.push_back(item);
    if (!SkipIfOperator(",")) break;
  }
  RETURN_IF_ERROR(ExpectOperator("]"));
  node->items = out_.arena.Copy(items);
  node->num_items = static_cast<uint32_t>(items.size());
  return Checked(node);
}

StatusOr<Expr*> Parser::ParseDict() {
  Expr* node = MakeExpr(ExprKind::kDict, Current().line);
  Skip();
  std::vector<Expr*> items;
  while (!Current().IsOperator("}")) {
    ASSIGN_OR_RETURN(Expr * key, ParseExpression());
    RETURN_IF_ERROR(ExpectOperator(":"));
    ASSIGN_OR_RETURN(Expr * value, ParseExpression());
    items.push_back(key);
    items.push_back(value);
    if (!SkipIfOperator(",")) break;
  }
  RETURN_IF_ERROR(ExpectOperator("}"));
  node->items = out_.arena.Copy(items);
  node->num_items = static_cast<uint32_t>(items.size());
  return Checked(node);
}

}  // namespace bitrate::jinja
