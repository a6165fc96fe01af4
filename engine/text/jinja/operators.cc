#include "engine/text/jinja/operators.h"

#include <cmath>
#include <limits>

#include "engine/text/jinja/format.h"

namespace bitrate::jinja {
namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

[[gnu::noinline]] Status Unsupported(Op op, const Value& a, const Value& b) {
  if (a.IsUndefined()) return UndefinedError(a);
  if (b.IsUndefined()) return UndefinedError(b);
  return InvalidArgument("unsupported operand types for {}: '{}' and '{}'", kSymbols[static_cast<int>(op)], TypeName(a),
                         TypeName(b));
}

[[gnu::noinline]] Status TooLarge() { return InvalidArgument("an integer leaves 64 bits"); }
[[gnu::noinline]] Status DividedByZero() { return InvalidArgument("division by zero"); }

StatusOr<Value> IntPower(int64_t base, int64_t exponent, bool input) {
  if (exponent < 0) {
    if (base == 0) return DividedByZero();
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)), input);
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return TooLarge();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return TooLarge();
  }
  return Value::Int(result, input);
}

StatusOr<Value> IntArithmetic(Op op, int64_t a, int64_t b, bool input) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Op::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Op::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Op::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Op::kPower:
      return IntPower(a, b, input);
    case Op::kDivide:
      if (b == 0) return DividedByZero();
      return Value::Float(static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)), input);
    default: {
      if (b == 0) return DividedByZero();
      if (b == -1) {  // the one quotient that overflows
        if (op == Op::kModulo) return Value::Int(0, input);
        overflow = __builtin_sub_overflow(int64_t{0}, a, &result);
        break;
      }
      const int64_t remainder = a % b;
      const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);
      result = op == Op::kModulo ? remainder + (adjust ? b : 0) : a / b - (adjust ? 1 : 0);
    }
  }
  if (overflow) return TooLarge();
  return Value::Int(result, input);
}

StatusOr<Value> FloatArithmetic(Op op, double a, double b, bool input) {
  switch (op) {
    case Op::kAdd:
      return Value::Float(a + b, input);
    case Op::kSubtract:
      return Value::Float(a - b, input);
    case Op::kMultiply:
      return Value::Float(a * b, input);
    case Op::kPower: {
      if (a == 0 && b < 0) return DividedByZero();
      if (a < 0 && std::isfinite(b) && b != std::floor(b)) return InvalidArgument("a power is a complex number");
      const double power = std::pow(a, b);
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) return InvalidArgument("a power is too large");
      return Value::Float(power, input);
    }
    default:
      break;
  }
  if (b == 0) return DividedByZero();
  if (op == Op::kDivide) return Value::Float(a / b, input);
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) {
    remainder += b;
    quotient -= 1;
  }
  if (op == Op::kModulo) return Value::Float(remainder == 0 ? std::copysign(0.0, b) : remainder, input);
  const double floor = quotient == 0 ? std::copysign(0.0, a / b) : std::floor(quotient);
  return Value::Float(quotient - floor > 0.5 ? floor + 1 : floor, input);
}

StatusOr<Value> AddSequences(Runtime& runtime, const Value& a, const Value& b) {
  std::vector<Value> items;
  RETURN_IF_ERROR(runtime.Reserve((a.list->size + b.list->size) * sizeof(Value)));
  items.insert(items.end(), a.list->items, a.list->items + a.list->size);
  items.insert(items.end(), b.list->items, b.list->items + b.list->size);
  return runtime.MakeList(items, a.list->IsTuple() ? Seq::kTuple : Seq::kList, a.input || b.input);
}

StatusOr<Value> Repeat(Runtime& runtime, const Value& what, int64_t times) {
  const size_t size = what.IsString() ? what.str->size : what.list->size * sizeof(Value);
  if (times < 0 || size == 0) times = 0;
  if (times > 0 && static_cast<uint64_t>(times) > kMaxRenderBytes / size) {
    return InvalidArgument("a repetition needs more than {} bytes", kMaxRenderBytes);
  }
  RETURN_IF_ERROR(runtime.Reserve(size * static_cast<size_t>(times)));
  if (what.IsString()) {
    TextBuilder text;
    for (int64_t i = 0; i < times && !text.overflow(); ++i) text.Append(*what.str);
    return runtime.Finish(text);
  }
  std::vector<Value> items;
  for (int64_t i = 0; i < times; ++i) {
    items.insert(items.end(), what.list->items, what.list->items + what.list->size);
  }
  return runtime.MakeList(items, what.list->IsTuple() ? Seq::kTuple : Seq::kList, what.input);
}

bool IsRepeatable(const Value& value) {
  return value.IsString() || (value.IsList() && (value.list->seq == Seq::kList || value.list->IsTuple()));
}

}  // namespace

StatusOr<Value> Arithmetic(Runtime& runtime, Op op, const Value& a, const Value& b) {
  if (a.IsNumber() && b.IsNumber()) {
    const bool input = a.input || b.input;
    if (a.IsInteger() && b.IsInteger()) return IntArithmetic(op, a.AsInt(), b.AsInt(), input);
    return FloatArithmetic(op, a.AsDouble(), b.AsDouble(), input);
  }
  if (op == Op::kAdd) {
    if (a.IsString() && b.IsString()) {
      TextBuilder text;
      text.Append(*a.str);
      text.Append(*b.str);
      return runtime.Finish(text);
    }
    if (a.IsList() && b.IsList() && IsRepeatable(a) && IsRepeatable(b) && a.list->IsTuple() == b.list->IsTuple()) {
      return AddSequences(runtime, a, b);
    }
  }
  if (op == Op::kMultiply) {
    if (IsRepeatable(a) && b.IsInteger()) return Repeat(runtime, a, b.AsInt());
    if (IsRepeatable(b) && a.IsInteger()) return Repeat(runtime, b, a.AsInt());
  }
  if (op == Op::kModulo && a.IsString()) return FormatPercent(runtime, *a.str, b);
  return Unsupported(op, a, b);
}

StatusOr<Value> Negate(const Value& value, bool negative) {
  if (value.IsUndefined()) return UndefinedError(value);
  if (!value.IsNumber()) return InvalidArgument("bad operand type for a sign: '{}'", TypeName(value));
  if (!value.IsInteger()) return Value::Float(negative ? -value.AsDouble() : value.AsDouble(), value.input);
  const int64_t integer = value.AsInt();
  if (negative && integer == std::numeric_limits<int64_t>::min()) return TooLarge();
  return Value::Int(negative ? -integer : integer, value.input);
}

Status UndefinedError(const Value& value) {
  if (value.str == nullptr) return InvalidArgument("a value is undefined");
  return InvalidArgument("'{}' is undefined", value.str->view().substr(0, 200));
}

}  // namespace bitrate::jinja
