// Recursive descent over the tokens; recursion is counted against limits::kMaxTemplateDepth. Internal to ParseTemplate.
#ifndef BITRATE_ENGINE_TEXT_JINJA_PARSER_H_
#define BITRATE_ENGINE_TEXT_JINJA_PARSER_H_

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/limits.h"
#include "engine/text/jinja/ast.h"
#include "engine/text/jinja/lexer.h"

namespace bitrate::jinja {

class Parser {
 public:
  Parser(Template& out, std::vector<Token> tokens) : out_(out), tokens_(std::move(tokens)) {}
  Status Run();

 private:
  using Names = std::initializer_list<std::string_view>;
  // A filter or test the engine does not have; `guarded` by an `if`, it only fails when reached.
  struct Unknown {
    int line;
    std::string message;
    bool guarded;
  };
  class Depth;

  // parser_statement.cc
  StatusOr<Block> ParseBlock(Names end_names);  // leaves the end tag's name current; none: to the end of the template
  StatusOr<Block> ParseBody(Names end_names);   // after a tag's head: its end, then the block
  StatusOr<Block> ParseBodyAndEnd(std::string_view end_name);
  StatusOr<Stmt*> ParseOutput();
  StatusOr<Stmt*> ParseStatement();
  StatusOr<Stmt*> ParseFor();
  StatusOr<Stmt*> ParseIf();
  StatusOr<Stmt*> ParseSet();
  StatusOr<Stmt*> ParseWith();
  StatusOr<Stmt*> ParseMacro();
  StatusOr<Stmt*> ParseCallBlock();
  StatusOr<Stmt*> ParseFilterBlock();
  StatusOr<Stmt*> ParseScope(std::string_view end_name);
  StatusOr<Stmt*> ParsePrint();
  StatusOr<Stmt*> ParseLoopControl(StmtKind kind);
  Status ParseSignature(std::vector<Parameter>* parameters);
  Status ParseMacroBody(MacroDef* macro, std::string_view end_name);
  StatusOr<Expr*> ParseTarget(bool with_namespace, std::string_view end_name);
  StatusOr<Expr*> ParseTargetItem(bool with_namespace);

  // parser_expression.cc
  StatusOr<Expr*> ParseExpression(bool conditional = true);
  StatusOr<Expr*> ParseTuple(bool conditional, bool in_parentheses, std::string_view end_name = {});
  StatusOr<Expr*> ParseBinary(int level);
  StatusOr<Expr*> ParseNot();
  StatusOr<Expr*> ParseCompare(Expr* first);
  StatusOr<Expr*> ParseConcat(Expr* first);
  StatusOr<Expr*> ParseUnary(bool with_filters);
  StatusOr<Expr*> ParsePrimary();
  StatusOr<Expr*> ParseName();
  StatusOr<Expr*> ParseNumber();
  StatusOr<Expr*> ParseString();
  StatusOr<Expr*> ParseList();
  StatusOr<Expr*> ParseDict();
  StatusOr<Expr*> ParsePostfix(Expr* node);
  StatusOr<Expr*> ParseFilters(Expr* node);
  StatusOr<Expr*> ParseDot(Expr* node);
  StatusOr<Expr*> ParseSubscript(Expr* node);
  StatusOr<Expr*> ParseSubscriptItem(Expr* node, bool* slice);
  StatusOr<Expr*> ParseCall(Expr* node);
  StatusOr<Expr*> ParseFilter(Expr* node);
  StatusOr<Expr*> ParseFilterChain(Expr* node);  // name(args) | name ...
  StatusOr<Expr*> ParseTest(Expr* node);
  StatusOr<const Arguments*> ParseArguments();
  Status ParseArgument(std::vector<Expr*>* positional, std::vector<Keyword>* named, Arguments* args);
  StatusOr<std::string_view> ParseDottedName();

  // parser.cc
  const Token& Current() const { return tokens_[at_]; }
  const Token& Next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void Skip() { at_ = std::min(at_ + 1, tokens_.size() - 1); }
  bool SkipIfName(std::string_view name);
  bool SkipIfOperator(std::string_view op);
  Status ExpectName(std::string_view name);
  Status ExpectOperator(std::string_view op);
  Status Expect(TokenType type, std::string_view what);
  Status Fail(std::string_view what) const;
  Status Unexpected(std::string_view wanted) const;
  bool AtTupleEnd(std::string_view end_name) const;
  uint32_t Intern(std::string_view name);
  const Str* MakeStr(std::string_view text);
  Stmt* MakeStmt(StmtKind kind, int line);
  Expr* MakeExpr(ExprKind kind, int line);
  StatusOr<Expr*> Checked(Expr* node);  // sets the depth from the children and checks it, and the arena
  void GuardUnknown(size_t from);

  Template& out_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;                                          // enclosing loops that a break would leave
  int num_caller_ = 0, num_varargs_ = 0, num_kwargs_ = 0;  // uses so far
  std::map<std::string_view, uint32_t> ids_;
  std::vector<Unknown> unknown_;
};

class Parser::Depth {
 public:
  explicit Depth(Parser& parser) : parser_(parser) { ++parser_.depth_; }
  ~Depth() { --parser_.depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;
  Status Check() const {
    if (parser_.depth_ <= limits::kMaxTemplateDepth) return OkStatus();
    return parser_.Fail(fmt::format("nested deeper than {} levels", limits::kMaxTemplateDepth));
  }

 private:
  Parser& parser_;
};

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_PARSER_H_
