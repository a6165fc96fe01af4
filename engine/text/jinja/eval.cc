// Expressions. Each kind has a function of its own so that a level of nesting costs two small stack frames.
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/jinja/subscript.h"

namespace bitrate::jinja {

StatusOr<Value> Interpreter::Lookup(uint32_t name, const Str* text, Scope* scope) {
  int64_t seen = 0;
  for (; scope != nullptr; scope = scope->parent) {
    for (const Binding* binding = scope->first; binding != nullptr; binding = binding->next, ++seen) {
      if (binding->name != name) continue;
      RETURN_IF_ERROR(Step(seen / 16));
      return binding->value;
    }
  }
  RETURN_IF_ERROR(Step(seen / 16));
  const Value& value = context_[name];
  if (value.IsUndefined()) return Value::Undefined(text);
  return value;
}

StatusOr<Value> Interpreter::Eval(const Expr& expr, Scope* scope) {
  if (expr.kind == ExprKind::kConst) return expr.constant;
  line_ = expr.line;
  if (expr.kind == ExprKind::kName) {
    RETURN_IF_ERROR(Step());
    return Lookup(expr.name, expr.text, scope);
  }
  if (expr.kind == ExprKind::kBody) return body_;
  DepthScope depth(*this);
  RETURN_IF_ERROR(depth.Enter());
  return EvalInner(expr, scope);
}

StatusOr<Value> Interpreter::EvalInner(const Expr& expr, Scope* scope) {
  switch (expr.kind) {
    case ExprKind::kList:
    case ExprKind::kTuple:
      return EvalSequence(expr, scope);
    case ExprKind::kDict:
      return EvalDict(expr, scope);
    case ExprKind::kNot:
    case ExprKind::kNegative:
    case ExprKind::kPositive:
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return EvalLogic(expr, scope);
    case ExprKind::kBinary:
      return EvalBinary(expr, scope);
    case ExprKind::kCompare:
      return EvalCompare(expr, scope);
    case ExprKind::kConcat:
      return EvalConcat(expr, scope);
    case ExprKind::kConditional:
      return EvalConditional(expr, scope);
    case ExprKind::kAttribute:
      return EvalAttribute(expr, scope);
    case ExprKind::kItem:
      return EvalItem(expr, scope);
    case ExprKind::kSlice:
      return EvalSlice(expr, scope);
    case ExprKind::kCall:
      return EvalCall(expr, scope);
    case ExprKind::kFilter:
      return EvalFilter(expr, scope);
    case ExprKind::kTest:
      return EvalTest(expr, scope);
    default:
      return Internal("an expression of unknown kind");
  }
}

StatusOr<Value> Interpreter::EvalLogic(const Expr& expr, Scope* scope) {
  ASSIGN_OR_RETURN(const Value value, Eval(*expr.a, scope));
  switch (expr.kind) {
    case ExprKind::kNot:
      return Value::Bool(!Truthy(value));
    case ExprKind::kAnd:
      return Truthy(value) ? Eval(*expr.b, scope) : StatusOr<Value>(value);
    case ExprKind::kOr:
      return Truthy(value) ? StatusOr<Value>(value) : Eval(*expr.b, scope);
    default:
      return Negate(value, expr.kind == ExprKind::kNegative);
  }
}

StatusOr<Value> Interpreter::EvalBinary(const Expr& expr, Scope* scope) {
  ASSIGN_OR_RETURN(const Value a, Eval(*expr.a, scope));
  ASSIGN_OR_RETURN(const Value b, Eval(*expr.b, scope));
  line_ = expr.line;
  return Arithmetic(*this, expr.op, a, b);
}

// a < b < c is a < b and b < c, with b evaluated once.
StatusOr<Value> Interpreter::EvalCompare(const Expr& expr, Scope* scope) {
  ASSIGN_OR_RETURN(Value left, Eval(*expr.items[0], scope));
  for (uint32_t i = 1; i < expr.num_items; ++i) {
    ASSIGN_OR_RETURN(const Value right, Eval(*expr.items[i], scope));
    ASSIGN_OR_RETURN(const bool holds, CompareWith(*this, expr.ops[i - 1], left, right));
    if (!holds) return Value::Bool(false);
    left = right;
  }
  return Value::Bool(true);
}

StatusOr<Value> Interpreter::EvalConcat(const Expr& expr, Scope* scope) {
  TextBuilder text;
  for (uint32_t i = 0; i < expr.num_items; ++i) {
    ASSIGN_OR_RETURN(const Value value, Eval(*expr.items[i], scope));
    RETURN_IF_ERROR(AppendStr(*this, value, &text));
  }
  return Finish(text);
}

StatusOr<Value> Interpreter::EvalSequence(const Expr& expr, Scope* scope) {
  std::vector<Value> items(expr.num_items);
  for (uint32_t i = 0; i < expr.num_items; ++i) {
    ASSIGN_OR_RETURN(items[i], Eval(*expr.items[i], scope));
  }
  return MakeList(items, expr.kind == ExprKind::kTuple ? Seq::kTuple : Seq::kList, false);
}

StatusOr<Value> Interpreter::EvalDict(const Expr& expr, Scope* scope) {
  std::vector<DictEntry> entries(expr.num_items / 2);
  for (size_t i = 0; i < entries.size(); ++i) {
    ASSIGN_OR_RETURN(entries[i].key, Eval(*expr.items[2 * i], scope));
    ASSIGN_OR_RETURN(entries[i].value, Eval(*expr.items[2 * i + 1], scope));
  }
  return MakeDict(*this, entries, false);
}

StatusOr<Value> Interpreter::EvalConditional(const Expr& expr, Scope* scope) {
  ASSIGN_OR_RETURN(const Value test, Eval(*expr.b, scope));
  if (Truthy(test)) return Eval(*expr.a, scope);
  if (expr.c != nullptr) return Eval(*expr.c, scope);
  return Value::Undefined();
}

StatusOr<Value> Interpreter::EvalAttribute(const Expr& expr, Scope* scope) {
  ASSIGN_OR_RETURN(const Value object, Eval(*expr.a, scope));
  line_ = expr.line;
  return GetAttribute(*this, object, *expr.text);
}

StatusOr<Value> Interpreter::EvalItem(const Expr& expr, Scope* scope) {
  ASSIGN_OR_RETURN(const Value object, Eval(*expr.a, scope));
  ASSIGN_OR_RETURN(const Value index, Eval(*expr.b, scope));
  line_ = expr.line;
  return GetItem(*this, object, index);
}

StatusOr<Value> Interpreter::EvalSlice(const Expr& expr, Scope* scope) {
  ASSIGN_OR_RETURN(const Value object, Eval(*expr.a, scope));
  Value parts[3] = {Value::None(), Value::None(), Value::None()};
  for (int i = 0; i < 3; ++i) {
    if (expr.items[i] == nullptr) continue;
    ASSIGN_OR_RETURN(parts[i], Eval(*expr.items[i], scope));
  }
  line_ = expr.line;
  return GetSlice(*this, object, parts[0], parts[1], parts[2]);
}

Status Interpreter::EvalArguments(const Arguments& args, Scope* scope, CallArgs* out) {
  for (size_t i = 0; i < args.num_positional; ++i) {
    ASSIGN_OR_RETURN(const Value value, Eval(*args.positional[i], scope));
    out->positional.push_back(value);
  }
  for (size_t i = 0; i < args.num_named; ++i) {
    ASSIGN_OR_RETURN(const Value value, Eval(*args.named[i].value, scope));
    out->named.push_back({args.named[i].name, value});
  }
  if (args.star != nullptr) {
    ASSIGN_OR_RETURN(const Value list, Eval(*args.star, scope));
    ASSIGN_OR_RETURN(const Items items, Iterate(*this, list));
    RETURN_IF_ERROR(Reserve(items.size * sizeof(Value)));
    out->positional.insert(out->positional.end(), items.begin(), items.end());
  }
  if (args.double_star != nullptr) {
    ASSIGN_OR_RETURN(const Value dict, Eval(*args.double_star, scope));
    if (!dict.IsDict()) return InvalidArgument("the argument after ** must be a mapping");
    RETURN_IF_ERROR(Reserve(dict.dict->size * sizeof(NamedValue)));
    for (size_t i = 0; i < dict.dict->size; ++i) {
      const DictEntry& entry = dict.dict->entries[i];
      if (!entry.key.IsString()) return InvalidArgument("keywords must be strings");
      out->named.push_back({entry.key.str, entry.value});
    }
  }
  return OkStatus();
}

StatusOr<Value> Interpreter::EvalCall(const Expr& expr, Scope* scope) {
  ASSIGN_OR_RETURN(const Value callee, Eval(*expr.a, scope));
  CallArgs args;
  RETURN_IF_ERROR(EvalArguments(*expr.args, scope, &args));
  line_ = expr.line;
  return Call(callee, args);
}

StatusOr<Value> Interpreter::EvalFilter(const Expr& expr, Scope* scope) {
  ASSIGN_OR_RETURN(const Value value, Eval(*expr.a, scope));
  CallArgs args;
  if (expr.args != nullptr) RETURN_IF_ERROR(EvalArguments(*expr.args, scope, &args));
  line_ = expr.line;
  if (expr.filter == nullptr) return InvalidArgument("no filter named '{}'", expr.text->view().substr(0, 40));
  return expr.filter(*this, value, args);
}

StatusOr<Value> Interpreter::EvalTest(const Expr& expr, Scope* scope) {
  ASSIGN_OR_RETURN(const Value value, Eval(*expr.a, scope));
  CallArgs args;
  if (expr.args != nullptr) RETURN_IF_ERROR(EvalArguments(*expr.args, scope, &args));
  line_ = expr.line;
  if (expr.test == nullptr) return InvalidArgument("no test named '{}'", expr.text->view().substr(0, 40));
  ASSIGN_OR_RETURN(const bool holds, expr.test(*this, value, args));
  return Value::Bool(holds);
}

}  // namespace bitrate::jinja
