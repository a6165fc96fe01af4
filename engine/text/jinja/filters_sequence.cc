// Filters of iterables that keep the items' order.
#include <algorithm>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/filters.h"
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/python_text.h"
#include "engine/text/jinja/string_methods.h"
#include "engine/text/jinja/subscript.h"

namespace bitrate::jinja {
namespace {

std::vector<Value> ToVector(const Items& items) { return std::vector<Value>(items.begin(), items.end()); }

StatusOr<Value> ListFilter(Interpreter& in, const Value& value, const CallArgs&) {
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  RETURN_IF_ERROR(in.Reserve(items.size * sizeof(Value)));
  return in.MakeList(ToVector(items), Seq::kList, FromInput(value));
}

StatusOr<Value> First(Interpreter& in, const Value& value, const CallArgs&) {
  if (value.IsString()) return GetItem(in, value, Value::Int(0));
  if (value.IsList() && value.list->seq == Seq::kGenerator) {  // takes one item, not all
    if (value.list->consumed == value.list->size) return Value::Undefined();
    return value.list->items[value.list->consumed++];
  }
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  return items.size > 0 ? items.data[0] : Value::Undefined();
}

StatusOr<Value> Last(Interpreter& in, const Value& value, const CallArgs&) {
  if (value.IsUndefined()) return Value::Undefined();
  if (value.IsString()) return GetItem(in, value, Value::Int(-1));
  if (value.IsList() && value.list->seq == Seq::kGenerator)
    return InvalidArgument("last: a generator has no last item");
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  return items.size > 0 ? items.data[items.size - 1] : Value::Undefined();
}

StatusOr<Value> Length(Interpreter& in, const Value& value, const CallArgs&) {
  const bool input = FromInput(value);
  switch (value.kind) {
    case Kind::kUndefined:
      return Value::Int(0);
    case Kind::kString:
      RETURN_IF_ERROR(in.Work(value.str->size));
      return Value::Int(static_cast<int64_t>(NumChars(value.text())), input);
    case Kind::kDict:
      return Value::Int(static_cast<int64_t>(value.dict->size), input);
    case Kind::kLoop:
      return Value::Int(static_cast<int64_t>(value.loop->size));
    case Kind::kList:
      if (value.list->seq != Seq::kGenerator) return Value::Int(static_cast<int64_t>(value.list->size), input);
      break;
    default:
      break;
  }
  return InvalidArgument("'{}' has no length", TypeName(value));
}

StatusOr<Value> Reverse(Interpreter& in, const Value& value, const CallArgs&) {
  if (value.IsString()) return GetSlice(in, value, Value::None(), Value::None(), Value::Int(-1));
  if (value.IsUndefined()) return in.MakeList({}, Seq::kList, false);
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  RETURN_IF_ERROR(in.Reserve(items.size * sizeof(Value)));
  std::vector<Value> reversed = ToVector(items);
  std::reverse(reversed.begin(), reversed.end());
  const bool list = value.IsList() && value.list->seq == Seq::kGenerator;
  return in.MakeList(reversed, list ? Seq::kList : Seq::kGenerator, value.input);
}

StatusOr<Value> JoinFilter(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "join", {"d", "attribute"}, 0));
  ASSIGN_OR_RETURN(const Value separator, ToStr(in, bound.Or(0, in.Literal({}))));
  if (bound[1] == nullptr || bound[1]->IsNone()) return Join(in, *separator.str, value, true);
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  std::vector<Value> parts;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(const Value part, GetPath(in, item, *bound[1]));
    parts.push_back(part);
  }
  ASSIGN_OR_RETURN(const Value list, in.MakeList(parts, Seq::kList, false));
  return Join(in, *separator.str, list, true);
}

StatusOr<Value> Sum(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "sum", {"attribute", "start"}, 0));
  Value total = bound.Or(1, Value::Int(0));
  if (total.IsString()) return InvalidArgument("sum cannot add strings");
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  for (const Value& item : items) {
    Value term = item;
    if (bound[0] != nullptr && !bound[0]->IsNone()) {
      ASSIGN_OR_RETURN(term, GetPath(in, item, *bound[0]));
    }
    RETURN_IF_ERROR(in.Step());
    ASSIGN_OR_RETURN(total, Arithmetic(in, Op::kAdd, total, term));
  }
  return total;
}

StatusOr<Value> ItemsFilter(Interpreter& in, const Value& value, const CallArgs& args) {
  if (value.IsUndefined()) return in.MakeList({}, Seq::kGenerator, false);
  if (!value.IsDict()) return InvalidArgument("items needs a mapping, got '{}'", TypeName(value));
  ASSIGN_OR_RETURN(const Value items, FindContainerMethod(value, "items")(in, value, args));
  items.list->seq = Seq::kGenerator;
  return items;
}

StatusOr<Value> Batch(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "batch", {"linecount", "fill_with"}, 1));
  ASSIGN_OR_RETURN(const int64_t count, bound.Integer(0, 1));
  if (count < 1 || count > limits::kMaxTemplateRange) return InvalidArgument("batch: a size of {} is wrong", count);
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  std::vector<Value> batches;
  for (size_t begin = 0; begin < items.size; begin += static_cast<size_t>(count)) {
    const size_t end = std::min(items.size, begin + static_cast<size_t>(count));
    std::vector<Value> batch(items.begin() + begin, items.begin() + end);
    if (bound[1] != nullptr && !bound[1]->IsNone()) {
      RETURN_IF_ERROR(in.Reserve(static_cast<size_t>(count) * sizeof(Value)));
      batch.resize(static_cast<size_t>(count), *bound[1]);
    }
    ASSIGN_OR_RETURN(const Value list, in.MakeList(batch, Seq::kList, value.input));
    batches.push_back(list);
  }
  return in.MakeList(batches, Seq::kGenerator, value.input);
}

StatusOr<Value> Slice(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "slice", {"slices", "fill_with"}, 1));
  ASSIGN_OR_RETURN(const int64_t slices, bound.Integer(0, 1));
  if (slices < 1 || slices > limits::kMaxTemplateRange) return InvalidArgument("slice: {} slices are wrong", slices);
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  const size_t count = static_cast<size_t>(slices);
  const size_t longer = items.size % count;
  std::vector<Value> lists;
  size_t begin = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t end = begin + items.size / count + (i < longer ? 1 : 0);
    std::vector<Value> part(items.begin() + begin, items.begin() + end);
    if (bound[1] != nullptr && !bound[1]->IsNone() && i >= longer) part.push_back(*bound[1]);
    ASSIGN_OR_RETURN(const Value list, in.MakeList(part, Seq::kList, value.input));
    lists.push_back(list);
    begin = end;
  }
  return in.MakeList(lists, Seq::kGenerator, value.input);
}

}  // namespace

FilterFn FindSequenceFilter(std::string_view name) {
  static constexpr NamedFunction<FilterFn> kFilters[] = {
      {"list", ListFilter},   {"first", First},     {"last", Last},       {"length", Length},
      {"count", Length},      {"reverse", Reverse}, {"join", JoinFilter}, {"sum", Sum},
      {"items", ItemsFilter}, {"batch", Batch},     {"slice", Slice},
  };
  return FindNamedFunction(kFilters, name);
}

}  // namespace bitrate::jinja
