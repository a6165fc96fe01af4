#include "engine/text/jinja/parser.h"

namespace bitrate::jinja {
namespace {

// The tree of a template: a node is about 130 bytes and takes at least two characters of source.
constexpr size_t kMaxTreeBytes = 128 * limits::kMaxTemplateBytes;

std::string Describe(const Token& token) {
  switch (token.type) {
    case TokenType::kData:
      return "text";
    case TokenType::kVariableBegin:
      return "'{{'";
    case TokenType::kVariableEnd:
      return "'}}'";
    case TokenType::kBlockBegin:
      return "'{%'";
    case TokenType::kBlockEnd:
      return "'%}'";
    case TokenType::kString:
      return "a string";
    case TokenType::kEnd:
      return "the end of the template";
    default:
      return fmt::format("'{}'", token.text.substr(0, 40));
  }
}

}  // namespace

bool Parser::SkipIfName(std::string_view name) {
  if (!Current().IsName(name)) return false;
  Skip();
  return true;
}

bool Parser::SkipIfOperator(std::string_view op) {
  if (!Current().IsOperator(op)) return false;
  Skip();
  return true;
}

Status Parser::Fail(std::string_view what) const { return TemplateError(Current().line, what); }

Status Parser::Unexpected(std::string_view wanted) const {
  return Fail(fmt::format("unexpected {}, expected {}", Describe(Current()), wanted));
}

Status Parser::ExpectName(std::string_view name) {
  return SkipIfName(name) ? OkStatus() : Unexpected(fmt::format("'{}'", name));
}

Status Parser::ExpectOperator(std::string_view op) {
  return SkipIfOperator(op) ? OkStatus() : Unexpected(fmt::format("'{}'", op));
}

Status Parser::Expect(TokenType type, std::string_view what) {
  if (Current().type != type) return Unexpected(what);
  Skip();
  return OkStatus();
}

bool Parser::AtTupleEnd(std::string_view end_name) const {
  const Token& token = Current();
  return token.type == TokenType::kVariableEnd || token.type == TokenType::kBlockEnd || token.IsOperator(")") ||
         (!end_name.empty() && token.IsName(end_name));
}

uint32_t Parser::Intern(std::string_view name) {
  const auto [it, added] = ids_.try_emplace(name, static_cast<uint32_t>(out_.names.size()));
  if (added) out_.names.push_back(name);
  return it->second;
}

const Str* Parser::MakeStr(std::string_view text) {
  Str* str = out_.arena.New<Str>();
  str->data = text.data();
  str->size = text.size();
  return str;
}

Stmt* Parser::MakeStmt(StmtKind kind, int line) {
  Stmt* stmt = out_.arena.New<Stmt>();
  stmt->kind = kind;
  stmt->line = line;
  return stmt;
}

Expr* Parser::MakeExpr(ExprKind kind, int line) {
  Expr* expr = out_.arena.New<Expr>();
  expr->kind = kind;
  expr->line = line;
  return expr;
}

StatusOr<Expr*> Parser::Checked(Expr* node) {
  int below = 0;
  const auto see = [&below](const Expr* child) {
    if (child != nullptr) below = std::max<int>(below, child->depth);
  };
  see(node->a);
  see(node->b);
  see(node->c);
  for (uint32_t i = 0; i < node->num_items; ++i) see(node->items[i]);
  if (node->args != nullptr) {
    for (size_t i = 0; i < node->args->num_positional; ++i) see(node->args->positional[i]);
    for (size_t i = 0; i < node->args->num_named; ++i) see(node->args->named[i].value);
    see(node->args->star);
    see(node->args->double_star);
  }
  if (below >= limits::kMaxTemplateDepth) {
    return TemplateError(node->line, fmt::format("nested deeper than {} levels", limits::kMaxTemplateDepth));
  }
  if (!out_.arena.Fits(0)) return TemplateError(node->line, "the template is too large");
  node->depth = static_cast<uint16_t>(below + 1);
  return node;
}

void Parser::GuardUnknown(size_t from) {
  for (size_t i = from; i < unknown_.size(); ++i) unknown_[i].guarded = true;
}

Status Parser::Run() {
  out_.known = {Intern("loop"), Intern("caller"), Intern("varargs"), Intern("kwargs")};
  ASSIGN_OR_RETURN(out_.body, ParseBlock({}));
  for (const Unknown& unknown : unknown_) {
    if (!unknown.guarded) return TemplateError(unknown.line, unknown.message);
  }
  return OkStatus();
}

StatusOr<std::shared_ptr<const Template>> ParseTemplate(std::string_view source) {
  if (source.size() > limits::kMaxTemplateBytes) {
    return InvalidArgument("chat template of {} bytes, at most {} are allowed", source.size(),
                           limits::kMaxTemplateBytes);
  }
  auto parsed = std::make_shared<Template>(NormalizeNewlines(source), kMaxTreeBytes);
  ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(parsed->source, parsed->arena));
  Parser parser(*parsed, std::move(tokens));
  RETURN_IF_ERROR(parser.Run());
  return std::shared_ptr<const Template>(std::move(parsed));
}

}  // namespace bitrate::jinja
