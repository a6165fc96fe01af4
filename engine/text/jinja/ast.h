// The syntax tree of a template. Built once by the parser in the template's Arena, immutable afterwards and shared by
// renderings on any thread. No node is deeper than limits::kMaxTemplateDepth below another, so walking it is safe.
#ifndef BITRATE_ENGINE_TEXT_JINJA_AST_H_
#define BITRATE_ENGINE_TEXT_JINJA_AST_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/jinja/arena.h"
#include "engine/text/jinja/call_args.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

enum class ExprKind : uint8_t {
  kConst,        // constant
  kName,         // name
  kBody,         // the rendered body of a filter or set block
  kList,         // items
  kTuple,        // items
  kDict,         // items: key, value, key, value ...
  kNot,          // a
  kNegative,     // a
  kPositive,     // a
  kBinary,       // a op b
  kAnd,          // a, b
  kOr,           // a, b
  kCompare,      // items[0] ops[0] items[1] ops[1] ...
  kConcat,       // items
  kConditional,  // a if b else c (c may be null)
  kAttribute,    // a.text
  kItem,         // a[b]
  kSlice,        // a[items[0]:items[1]:items[2]], each may be null
  kCall,         // a(args)
  kFilter,       // a | text(args)
  kTest          // a is text(args)
};

enum class Op : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

struct Expr;

struct Keyword {
  const Str* name = nullptr;
  Expr* value = nullptr;
};

struct Arguments {
  Expr* const* positional = nullptr;
  size_t num_positional = 0;
  const Keyword* named = nullptr;
  size_t num_named = 0;
  Expr* star = nullptr;         // *list
  Expr* double_star = nullptr;  // **dict
};

struct Expr {
  ExprKind kind = ExprKind::kConst;
  Op op = Op::kAdd;
  uint16_t depth = 1;
  int line = 1;
  uint32_t name = 0;  // index in Template::names
  uint32_t num_items = 0;
  Expr* a = nullptr;
  Expr* b = nullptr;
  Expr* c = nullptr;
  Expr* const* items = nullptr;
  const Op* ops = nullptr;
  const Str* text = nullptr;
  const Arguments* args = nullptr;
  FilterFn filter = nullptr;  // null: unknown, fails when reached
  TestFn test = nullptr;
  Value constant;
};

enum class StmtKind : uint8_t {
  kText,         // text
  kOutput,       // value
  kSet,          // target = value
  kSetBlock,     // target = body | value (value null: no filter)
  kIf,           // branches; the last may have a null test
  kFor,          // target in value if test: body, else otherwise
  kMacro,        // macro
  kCallBlock,    // value is the call, macro the body
  kFilterBlock,  // body | value
  kWith,         // with_targets[i] = with_values[i] in body
  kScope,        // body in a scope of its own
  kBreak,
  kContinue
};

struct Stmt;

struct Block {
  Stmt* const* items = nullptr;
  size_t size = 0;
};

struct Branch {
  Expr* test = nullptr;
  Block body;
};

struct Parameter {
  uint32_t name = 0;
  const Str* text = nullptr;
  Expr* fallback = nullptr;
};

struct MacroDef {
  uint32_t name = 0;
  const Str* text = nullptr;  // null for a call block's body
  const Parameter* parameters = nullptr;
  size_t num_parameters = 0;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
  Block body;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  bool recursive = false;
  int line = 1;
  const Str* text = nullptr;
  Expr* target = nullptr;
  Expr* value = nullptr;
  Expr* test = nullptr;
  const Branch* branches = nullptr;
  size_t num_branches = 0;
  const MacroDef* macro = nullptr;
  Expr* const* with_targets = nullptr;  // pairs: target, value
  size_t num_with = 0;
  Block body;
  Block otherwise;
};

// Names every template may mention that the interpreter itself binds.
struct WellKnownNames {
  uint32_t loop = 0, caller = 0, varargs = 0, kwargs = 0;
};

struct Template {
  Template(std::string text, size_t limit_bytes) : source(std::move(text)), arena(limit_bytes) {}
  const std::string source;
  Arena arena;
  std::vector<std::string_view> names;  // of variables; Expr::name indexes it
  WellKnownNames known;
  Block body;
};

// Errors: INVALID_ARGUMENT "template line N: ...". Unknown filters and tests fail here unless an `if` guards them, as
// in Jinja.
StatusOr<std::shared_ptr<const Template>> ParseTemplate(std::string_view source);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_AST_H_
