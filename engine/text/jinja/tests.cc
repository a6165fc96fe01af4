// The tests: what may follow `is`.
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/jinja/string_methods.h"

namespace bitrate::jinja {
namespace {

template <bool (*holds)(const Value&)>
StatusOr<bool> Of(Interpreter&, const Value& value, const CallArgs& args) {
  RETURN_IF_ERROR(BindArgs(args, "the test", {}, 0).status());
  return holds(value);
}

bool IsDefined(const Value& value) { return !value.IsUndefined(); }
bool IsUndefined(const Value& value) { return value.IsUndefined(); }
bool IsNone(const Value& value) { return value.IsNone(); }
bool IsBoolean(const Value& value) { return value.kind == Kind::kBool; }
bool IsTrue(const Value& value) { return value.kind == Kind::kBool && value.boolean; }
bool IsFalse(const Value& value) { return value.kind == Kind::kBool && !value.boolean; }
bool IsInteger(const Value& value) { return value.kind == Kind::kInt || value.kind == Kind::kUint; }
bool IsFloat(const Value& value) { return value.kind == Kind::kFloat; }
bool IsNumber(const Value& value) { return value.IsNumber(); }
bool IsString(const Value& value) { return value.IsString(); }
bool IsMapping(const Value& value) { return value.IsDict(); }
bool IsSequence(const Value& value) {
  // An undefined has a length; reading its __getitem__ raises nothing either.
  return value.IsString() || value.IsDict() || value.IsUndefined() || (value.IsList() && value.list->IsIndexable());
}
bool IsIterable(const Value& value) {
  return value.IsString() || value.IsDict() || value.IsUndefined() || value.IsList() || value.kind == Kind::kLoop;
}
bool IsCallable(const Value& value) {
  switch (value.kind) {
    case Kind::kMacro:
    case Kind::kFunction:
    case Kind::kMethod:
    case Kind::kLoop:
    case Kind::kJoiner:
    case Kind::kUndefined:
      return true;
    default:
      return false;
  }
}
bool Never(const Value&) { return false; }

StatusOr<int64_t> Remainder(Interpreter& in, const Value& value, const Value& divisor) {
  ASSIGN_OR_RETURN(const Value rest, Arithmetic(in, Op::kModulo, value, divisor));
  if (rest.IsInteger()) return rest.AsInt();
  if (rest.IsNumber()) return rest.AsDouble() == 0 ? 0 : rest.AsDouble() == 1 ? 1 : 2;
  return InvalidArgument("a number is needed, got '{}'", TypeName(value));
}

StatusOr<bool> IsOdd(Interpreter& in, const Value& value, const CallArgs&) {
  ASSIGN_OR_RETURN(const int64_t rest, Remainder(in, value, Value::Int(2)));
  return rest == 1;
}

StatusOr<bool> IsEven(Interpreter& in, const Value& value, const CallArgs&) {
  ASSIGN_OR_RETURN(const int64_t rest, Remainder(in, value, Value::Int(2)));
  return rest == 0;
}

StatusOr<bool> IsDivisibleBy(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "divisibleby", {"num"}, 1));
  ASSIGN_OR_RETURN(const int64_t rest, Remainder(in, value, *bound[0]));
  return rest == 0;
}

template <Op op>
StatusOr<bool> Compare(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "the test", {"other"}, 1));
  return CompareWith(in, op, value, *bound[0]);
}

StatusOr<bool> IsSameAs(Interpreter&, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "sameas", {"other"}, 1));
  const Value& other = *bound[0];
  if (value.kind != other.kind) return false;
  switch (value.kind) {
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return value.boolean == other.boolean;
    case Kind::kInt:
      return value.integer == other.integer;
    case Kind::kString:
      return value.text() == other.text();
    case Kind::kFunction:
      return value.function == other.function;
    default:
      return value.ns == other.ns;
  }
}

template <bool (*holds)(std::string_view)>
StatusOr<bool> OfText(Interpreter& in, const Value& value, const CallArgs&) {
  ASSIGN_OR_RETURN(const Value text, ToStr(in, value));
  RETURN_IF_ERROR(in.Work(8 * text.str->size));
  return holds(text.text());
}

StatusOr<bool> IsFilterName(Interpreter&, const Value& value, const CallArgs&) {
  if (!IsHashable(value)) return InvalidArgument("'{}' is no name", TypeName(value));
  return value.IsString() && FindFilter(value.text()) != nullptr;
}

StatusOr<bool> IsTestName(Interpreter&, const Value& value, const CallArgs&) {
  if (!IsHashable(value)) return InvalidArgument("'{}' is no name", TypeName(value));
  return value.IsString() && FindTest(value.text()) != nullptr;
}

}  // namespace

TestFn FindTest(std::string_view name) {
  static constexpr NamedFunction<TestFn> kTests[] = {
      {"defined", Of<IsDefined>},
      {"undefined", Of<IsUndefined>},
      {"none", Of<IsNone>},
      {"boolean", Of<IsBoolean>},
      {"true", Of<IsTrue>},
      {"false", Of<IsFalse>},
      {"integer", Of<IsInteger>},
      {"float", Of<IsFloat>},
      {"number", Of<IsNumber>},
      {"string", Of<IsString>},
      {"mapping", Of<IsMapping>},
      {"sequence", Of<IsSequence>},
      {"iterable", Of<IsIterable>},
      {"callable", Of<IsCallable>},
      {"escaped", Of<Never>},
      {"odd", IsOdd},
      {"even", IsEven},
      {"divisibleby", IsDivisibleBy},
      {"sameas", IsSameAs},
      {"lower", OfText<IsLowerText>},
      {"upper", OfText<IsUpperText>},
      {"filter", IsFilterName},
      {"test", IsTestName},
      {"in", Compare<Op::kIn>},
      {"eq", Compare<Op::kEqual>},
      {"equalto", Compare<Op::kEqual>},
      {"==", Compare<Op::kEqual>},
      {"ne", Compare<Op::kNotEqual>},
      {"!=", Compare<Op::kNotEqual>},
      {"lt", Compare<Op::kLess>},
      {"lessthan", Compare<Op::kLess>},
      {"<", Compare<Op::kLess>},
      {"le", Compare<Op::kLessEqual>},
      {"<=", Compare<Op::kLessEqual>},
      {"gt", Compare<Op::kGreater>},
      {"greaterthan", Compare<Op::kGreater>},
      {">", Compare<Op::kGreater>},
      {"ge", Compare<Op::kGreaterEqual>},
      {">=", Compare<Op::kGreaterEqual>},
  };
  return FindNamedFunction(kTests, name);
}

}  // namespace bitrate::jinja
