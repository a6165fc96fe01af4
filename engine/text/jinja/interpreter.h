// Evaluates one template once. Thread rule: one rendering, one thread; the Template is shared and const.
// Bounds: Runtime's. Errors: INVALID_ARGUMENT; line() says where, unless raised().
#ifndef BITRATE_ENGINE_TEXT_JINJA_INTERPRETER_H_
#define BITRATE_ENGINE_TEXT_JINJA_INTERPRETER_H_

#include <ctime>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/jinja/ast.h"
#include "engine/text/jinja/call_args.h"
#include "engine/text/jinja/runtime.h"
#include "engine/text/jinja/text_builder.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

struct Binding {
  uint32_t name = 0;
  Value value;
  Binding* next = nullptr;
};

struct Scope {
  Scope* parent = nullptr;
  Binding* first = nullptr;
};

struct Macro {
  const MacroDef* def = nullptr;
  Scope* scope = nullptr;  // where it was defined: macros see that, not their caller
};

struct LoopState {
  const Stmt* stmt = nullptr;
  Scope* scope = nullptr;  // around the loop
  const Value* items = nullptr;
  size_t size = 0;
  size_t index = 0;
  int depth = 0;
  const List* last_changed = nullptr;
};

// loop.index, loop.first ...; false when there is no such property.
bool LoopProperty(const LoopState& loop, std::string_view name, Value* out);

class Interpreter : public Runtime {
 public:
  // `context`: a value for each Template::names, undefined where there is none.
  Interpreter(const Template& tmpl, std::vector<Value> context, const std::optional<std::tm>& now)
      : template_(tmpl), context_(std::move(context)), now_(now) {}

  Status Run(TextBuilder* out);
  int line() const { return line_; }
  const std::optional<std::tm>& now() const { return now_; }

  StatusOr<Value> Call(const Value& callee, const CallArgs& args);

 private:
  enum class Flow { kNormal, kBreak, kContinue };

  // exec.cc
  Status ExecBlock(const Block& block, Scope* scope);
  Status Exec(const Stmt& stmt, Scope* scope);
  Status ExecOutput(const Stmt& stmt, Scope* scope);
  Status ExecIf(const Stmt& stmt, Scope* scope);
  Status ExecFor(const Stmt& stmt, Scope* scope);
  Status RunLoop(const Stmt& stmt, Scope* scope, const Value& iterable, int depth);
  Status LoopItems(const Stmt& stmt, Scope* scope, const Value& iterable, LoopState* loop);
  Status ExecSet(const Stmt& stmt, Scope* scope);
  Status ExecSetBlock(const Stmt& stmt, Scope* scope);
  Status ExecWith(const Stmt& stmt, Scope* scope);
  Status ExecMacro(const Stmt& stmt, Scope* scope);
  Status ExecCallBlock(const Stmt& stmt, Scope* scope);
  Status ExecFilterBlock(const Stmt& stmt, Scope* scope);
  StatusOr<Value> Capture(const Block& block, Scope* scope);  // the text a block prints
  Status Assign(const Expr& target, const Value& value, Scope* scope);
  Status AssignTuple(const Expr& target, const Value& value, Scope* scope);
  Status AssignAttribute(const Expr& target, const Value& value, Scope* scope);
  Status Bind(uint32_t name, const Value& value, Scope* scope);
  Value MakeMacro(const MacroDef* def, Scope* scope);
  // Empties a scope that a turn of a loop or a macro is done with, unless a macro defined meanwhile may still see it.
  void Recycle(Scope* scope, int64_t num_macros_before);

  // eval.cc
  StatusOr<Value> Eval(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalInner(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalLogic(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalBinary(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalCompare(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalConcat(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalSequence(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalDict(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalConditional(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalAttribute(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalItem(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalSlice(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalCall(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalFilter(const Expr& expr, Scope* scope);
  StatusOr<Value> EvalTest(const Expr& expr, Scope* scope);
  Status EvalArguments(const Arguments& args, Scope* scope, CallArgs* out);
  StatusOr<Value> Lookup(uint32_t name, const Str* text, Scope* scope);

  // call.cc
  StatusOr<Value> CallMacro(const Macro& macro, const CallArgs& args);
  Status BindMacro(const Macro& macro, const CallArgs& args, Scope* scope);
  Status BindParameter(const MacroDef& def, size_t i, const CallArgs& args, Scope* scope, bool* caller);
  Status BindRest(const MacroDef& def, const CallArgs& args, bool caller_bound, Scope* scope);
  StatusOr<Value> CallMethod(const Method& method, const CallArgs& args);
  StatusOr<Value> CallLoop(const LoopState& loop, const CallArgs& args);
  StatusOr<Value> CallJoiner(Joiner* joiner);

  const Template& template_;
  const std::vector<Value> context_;
  const std::optional<std::tm> now_;
  TextBuilder* out_ = nullptr;
  Binding* free_bindings_ = nullptr;
  int64_t num_macros_ = 0;  // made so far
  Flow flow_ = Flow::kNormal;
  Value body_;  // what ExprKind::kBody stands for, read before anything can replace it
  int line_ = 1;
};

// functions.cc: range, dict, namespace, cycler, joiner, raise_exception, strftime_now.
StatusOr<Value> CallFunction(Interpreter& interpreter, Function function, const CallArgs& args);
std::optional<Function> FindFunction(std::string_view name);

// Methods of loop and cycler objects.
StatusOr<Value> CallLoopMethod(Interpreter& interpreter, LoopState* loop, std::string_view name, const CallArgs& args);
StatusOr<Value> CallCyclerMethod(Cycler* cycler, std::string_view name);

// strftime(format) in the C locale. Errors: INVALID_ARGUMENT for an impossible date.
StatusOr<std::string> FormatTime(std::string_view format, const std::tm& time);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_INTERPRETER_H_
