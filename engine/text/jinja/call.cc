// Calls: macros, methods, loops and binding of arguments.
#include <algorithm>

#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/subscript.h"

namespace bitrate::jinja {
namespace {

const NamedValue* FindNamed(const CallArgs& args, std::string_view name) {
  for (const NamedValue& named : args.named) {
    if (named.name->view() == name) return &named;
  }
  return nullptr;
}

bool IsParameter(const MacroDef& def, std::string_view name) {
  return std::any_of(def.parameters, def.parameters + def.num_parameters,
                     [name](const Parameter& parameter) { return parameter.text->view() == name; });
}

}  // namespace

StatusOr<int64_t> Bound::Integer(size_t i, int64_t fallback) const {
  if (!given_[i]) return fallback;
  if (!values_[i].IsInteger()) return InvalidArgument("an integer is needed, got '{}'", TypeName(values_[i]));
  return values_[i].AsInt();
}

StatusOr<Bound> BindArgs(const CallArgs& args, std::string_view function,
                         std::initializer_list<std::string_view> parameters, size_t required) {
  Bound bound;
  if (args.positional.size() > parameters.size()) {
    return InvalidArgument("{} takes at most {} arguments, got {}", function, parameters.size(),
                           args.positional.size());
  }
  for (size_t i = 0; i < args.positional.size(); ++i) {
    bound.values_[i] = args.positional[i];
    bound.given_[i] = true;
  }
  for (const NamedValue& named : args.named) {
    const auto found = std::find(parameters.begin(), parameters.end(), named.name->view());
    if (found == parameters.end()) {
      return InvalidArgument("{} has no argument '{}'", function, named.name->view().substr(0, 40));
    }
    const size_t i = static_cast<size_t>(found - parameters.begin());
    if (bound.given_[i]) return InvalidArgument("{} got '{}' twice", function, *found);
    bound.values_[i] = named.value;
    bound.given_[i] = true;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!bound.given_[i]) return InvalidArgument("{} needs '{}'", function, *(parameters.begin() + i));
  }
  return bound;
}

StatusOr<Value> Interpreter::Call(const Value& callee, const CallArgs& args) {
  RETURN_IF_ERROR(Step());
  switch (callee.kind) {
    case Kind::kMacro:
      return CallMacro(*callee.macro, args);
    case Kind::kFunction:
      return CallFunction(*this, callee.function, args);
    case Kind::kMethod:
      return CallMethod(*callee.method, args);
    case Kind::kLoop:
      return CallLoop(*callee.loop, args);
    case Kind::kJoiner:
      return CallJoiner(callee.joiner);
    case Kind::kUndefined:
      return UndefinedError(callee);
    default:
      return InvalidArgument("'{}' cannot be called", TypeName(callee));
  }
}

StatusOr<Value> Interpreter::CallMethod(const Method& method, const CallArgs& args) {
  const std::string_view name = method.name->view();
  switch (method.self.kind) {
    case Kind::kString:
      return FindStringMethod(name)(*this, method.self, args);
    case Kind::kLoop:
      return CallLoopMethod(*this, method.self.loop, name, args);
    case Kind::kCycler:
      return CallCyclerMethod(method.self.cycler, name);
    default:
      return FindContainerMethod(method.self, name)(*this, method.self, args);
  }
}

StatusOr<Value> Interpreter::CallJoiner(Joiner* joiner) {
  if (!joiner->used) {
    joiner->used = true;
    return Literal({});
  }
  return joiner->separator;
}

// loop(items) of a recursive loop renders the loop again, one level down.
StatusOr<Value> Interpreter::CallLoop(const LoopState& loop, const CallArgs& args) {
  if (!loop.stmt->recursive) return InvalidArgument("loop() needs a loop marked 'recursive'");
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "loop", {"iterable"}, 1));
  DepthScope depth(*this);
  RETURN_IF_ERROR(depth.Enter());
  TextBuilder text;
  TextBuilder* const outer = std::exchange(out_, &text);
  const Status status = RunLoop(*loop.stmt, loop.scope, *bound[0], loop.depth + 1);
  out_ = outer;
  RETURN_IF_ERROR(status);
  return Finish(text);
}

StatusOr<Value> Interpreter::CallMacro(const Macro& macro, const CallArgs& args) {
  DepthScope depth(*this);
  RETURN_IF_ERROR(depth.Enter());
  Scope* scope = arena().New<Scope>(macro.scope);
  const int64_t num_macros = num_macros_;
  RETURN_IF_ERROR(BindMacro(macro, args, scope));
  StatusOr<Value> text = Capture(macro.def->body, scope);
  Recycle(scope, num_macros);
  return text;
}

Status Interpreter::BindMacro(const Macro& macro, const CallArgs& args, Scope* scope) {
  const MacroDef& def = *macro.def;
  bool caller_bound = false;
  for (size_t i = 0; i < def.num_parameters; ++i) {
    RETURN_IF_ERROR(BindParameter(def, i, args, scope, &caller_bound));
  }
  return BindRest(def, args, caller_bound, scope);
}

Status Interpreter::BindParameter(const MacroDef& def, size_t i, const CallArgs& args, Scope* scope, bool* caller) {
  const Parameter& parameter = def.parameters[i];
  RETURN_IF_ERROR(Step(1 + static_cast<int64_t>(args.named.size() / 16)));
  *caller = *caller || parameter.name == template_.known.caller;
  const NamedValue* named = FindNamed(args, parameter.text->view());
  if (i < args.positional.size()) {
    if (named != nullptr) return InvalidArgument("a macro got '{}' twice", parameter.text->view().substr(0, 40));
    return Bind(parameter.name, args.positional[i], scope);
  }
  if (named != nullptr) return Bind(parameter.name, named->value, scope);
  if (parameter.fallback == nullptr) return Bind(parameter.name, Value::Undefined(parameter.text), scope);
  ASSIGN_OR_RETURN(const Value value, Eval(*parameter.fallback, scope));
  return Bind(parameter.name, value, scope);
}

// What the signature does not name: caller, varargs and kwargs, where the macro's body mentions them.
Status Interpreter::BindRest(const MacroDef& def, const CallArgs& args, bool caller_bound, Scope* scope) {
  static constexpr Str kCaller = {"caller", 6, nullptr, 0};
  const bool takes_caller = def.uses_caller && !caller_bound;
  if (takes_caller) {
    const NamedValue* caller = FindNamed(args, kCaller.view());
    RETURN_IF_ERROR(
        Bind(template_.known.caller, caller != nullptr ? caller->value : Value::Undefined(&kCaller), scope));
  }
  std::vector<DictEntry> rest;
  for (const NamedValue& named : args.named) {
    RETURN_IF_ERROR(Step(1 + static_cast<int64_t>(def.num_parameters / 16)));
    if (IsParameter(def, named.name->view())) continue;
    if (takes_caller && named.name->view() == kCaller.view()) continue;
    if (!def.uses_kwargs) return InvalidArgument("a macro takes no argument '{}'", named.name->view().substr(0, 40));
    rest.push_back({Value::Of(named.name), named.value});
  }
  if (def.uses_kwargs) {
    ASSIGN_OR_RETURN(const Value kwargs, MakeDict(*this, rest, false));
    RETURN_IF_ERROR(Bind(template_.known.kwargs, kwargs, scope));
  }
  const size_t extra = args.positional.size() - std::min(args.positional.size(), def.num_parameters);
  if (def.uses_varargs) {
    const std::vector<Value> values(args.positional.end() - static_cast<std::ptrdiff_t>(extra), args.positional.end());
    ASSIGN_OR_RETURN(const Value varargs, MakeList(values, Seq::kTuple, false));
    return Bind(template_.known.varargs, varargs, scope);
  }
  if (extra > 0) return InvalidArgument("a macro takes at most {} arguments", def.num_parameters);
  return OkStatus();
}

}  // namespace bitrate::jinja
