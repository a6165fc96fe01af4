// Filters of numbers, dicts and values of any type.
#include <cmath>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/filters.h"
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/json_text.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/number_text.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/jinja/subscript.h"

namespace bitrate::jinja {
namespace {

StatusOr<Value> Default(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "default", {"default_value", "boolean"}, 0));
  if (value.IsUndefined() || (bound.Flag(1, false) && !Truthy(value))) return bound.Or(0, in.Literal({}));
  return value;
}

StatusOr<Value> Abs(Interpreter&, const Value& value, const CallArgs&) {
  if (!value.IsNumber()) return InvalidArgument("abs needs a number, got '{}'", TypeName(value));
  if (!value.IsInteger()) return Value::Float(std::fabs(value.AsDouble()), value.input);
  return value.AsInt() < 0 ? Negate(value, true) : StatusOr<Value>(Value::Int(value.AsInt(), value.input));
}

StatusOr<Value> TruncateToInt(double value, bool input) {
  if (!(std::fabs(value) < 9.2e18)) return InvalidArgument("int: {} is no 64-bit integer", FloatRepr(value));
  return Value::Int(static_cast<int64_t>(value), input);
}

StatusOr<Value> Int(Interpreter&, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "int", {"default", "base"}, 0));
  ASSIGN_OR_RETURN(const int64_t base, bound.Integer(1, 10));
  if (value.IsUndefined()) return UndefinedError(value);
  const Value fallback = bound.Or(0, Value::Int(0));
  const bool input = FromInput(value);
  if (value.IsInteger()) return Value::Int(value.AsInt(), input);
  if (value.kind == Kind::kFloat && std::isnan(value.real)) return fallback;
  if (value.IsNumber()) return TruncateToInt(value.AsDouble(), input);
  if (!value.IsString()) return fallback;
  const std::optional<int64_t> integer = ParseInteger(value.text(), static_cast<int>(base));
  if (integer.has_value()) return Value::Int(*integer, input);
  const std::optional<double> real = ParseDouble(value.text());
  if (!real.has_value() || !std::isfinite(*real)) return fallback;
  return TruncateToInt(*real, input);
}

StatusOr<Value> Float(Interpreter&, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "float", {"default"}, 0));
  if (value.IsUndefined()) return UndefinedError(value);
  if (value.IsNumber()) return Value::Float(value.AsDouble(), value.input);
  const std::optional<double> real = value.IsString() ? ParseDouble(value.text()) : std::nullopt;
  return real.has_value() ? Value::Float(*real, FromInput(value)) : bound.Or(0, Value::Float(0));
}

StatusOr<Value> Round(Interpreter&, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "round", {"precision", "method"}, 0));
  ASSIGN_OR_RETURN(const int64_t precision, bound.Integer(0, 0));
  if (!value.IsNumber()) return InvalidArgument("round needs a number, got '{}'", TypeName(value));
  const std::string_view method = bound[1] == nullptr ? "common" : bound[1]->IsString() ? bound[1]->text() : "";
  if (method == "common") {
    if (value.IsInteger() && precision >= 0) return Value::Int(value.AsInt(), value.input);
    const double rounded = RoundTo(value.AsDouble(), precision);
    return value.IsInteger() ? TruncateToInt(rounded, value.input) : Value::Float(rounded, value.input);
  }
  if (method != "ceil" && method != "floor") return InvalidArgument("round: the method must be common, ceil or floor");
  if (precision > 300 || precision < -300) return InvalidArgument("round: a precision of {} is too large", precision);
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value.AsDouble() * scale;
  return Value::Float((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale, value.input);
}

StatusOr<Value> ToJson(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound,
                   BindArgs(args, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, 0));
  JsonStyle style;
  style.ensure_ascii = bound.Flag(0, false);
  style.sort_keys = bound.Flag(3, false);
  const Value indent = bound.Or(1, Value::None());
  if (indent.IsString()) {
    style.indent = std::string(indent.text());
  } else if (indent.IsInteger()) {
    if (indent.AsInt() > 1000) return InvalidArgument("tojson: an indent of {} is too wide", indent.AsInt());
    style.indent = std::string(static_cast<size_t>(std::max<int64_t>(indent.AsInt(), 0)), ' ');
  } else if (!indent.IsNone()) {
    return InvalidArgument("tojson: the indent must be an integer or a string");
  }
  if (style.indent.has_value()) style.item_separator.assign(1, ',');
  const Value separators = bound.Or(2, Value::None());
  if (!separators.IsNone()) {
    const bool pair = separators.IsList() && separators.list->size == 2 && separators.list->items[0].IsString() &&
                      separators.list->items[1].IsString();
    if (!pair) return InvalidArgument("tojson: separators must be a pair of strings");
    style.item_separator = std::string(separators.list->items[0].text());
    style.key_separator = std::string(separators.list->items[1].text());
  }
  TextBuilder text;
  RETURN_IF_ERROR(AppendJson(in, value, style, &text));
  return in.Finish(text);
}

StatusOr<Value> Attr(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "attr", {"name"}, 1));
  ASSIGN_OR_RETURN(const Value name, ToStr(in, *bound[0]));
  if (value.IsUndefined()) return UndefinedError(value);
  ASSIGN_OR_RETURN(const Value found, GetAttribute(in, value, *name.str));
  // Only true attributes: a dict's items do not count.
  return value.IsDict() && found.kind != Kind::kMethod ? Value::Undefined(name.str) : found;
}

StatusOr<Value> FileSize(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "filesizeformat", {"binary"}, 0));
  const std::optional<double> bytes = value.IsNumber()   ? value.AsDouble()
                                      : value.IsString() ? ParseDouble(value.text())
                                                         : std::nullopt;
  if (!bytes.has_value()) return InvalidArgument("filesizeformat needs a number");
  const bool binary = bound.Flag(0, false);
  const double base = binary ? 1024 : 1000;
  static constexpr std::string_view kPrefixes = "kMGTPEZY";
  if (*bytes == 1) return in.Copy("1 Byte", FromInput(value));
  if (*bytes < base) return in.Copy(fmt::format("{} Bytes", Fixed(std::trunc(*bytes), 0)), FromInput(value));
  double unit = base;
  for (size_t i = 0; i < kPrefixes.size(); ++i) {
    unit *= base;
    if (*bytes >= unit && i + 1 < kPrefixes.size()) continue;
    const char prefix = binary && i == 0 ? 'K' : kPrefixes[i];
    const std::string text = fmt::format("{} {}{}B", Fixed(base * *bytes / unit, 1), prefix, binary ? "i" : "");
    return in.Copy(text, FromInput(value));
  }
  return Internal("filesizeformat");
}

StatusOr<Value> PrettyPrint(Interpreter& in, const Value& value, const CallArgs&) {
  TextBuilder text;
  RETURN_IF_ERROR(AppendRepr(in, value, &text));
  return in.Finish(text);
}

}  // namespace

FilterFn FindValueFilter(std::string_view name) {
  static constexpr NamedFunction<FilterFn> kFilters[] = {
      {"default", Default},
      {"d", Default},
      {"abs", Abs},
      {"int", Int},
      {"float", Float},
      {"round", Round},
      {"tojson", ToJson},
      {"attr", Attr},
      {"filesizeformat", FileSize},
      {"pprint", PrettyPrint},
  };
  return FindNamedFunction(kFilters, name);
}

}  // namespace bitrate::jinja
