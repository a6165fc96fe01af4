// Filters that apply a filter, a test or an attribute to each item. As in Jinja they give iterators, used up once.
#include "engine/text/jinja/filters.h"
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/subscript.h"

namespace bitrate::jinja {
namespace {

const Value* FindNamedArgument(const CallArgs& args, std::string_view name) {
  for (const NamedValue& named : args.named) {
    if (named.name->view() == name) return &named.value;
  }
  return nullptr;
}

// The arguments after the first `skip` positional ones.
CallArgs Rest(const CallArgs& args, size_t skip) {
  CallArgs rest;
  rest.positional.assign(args.positional.begin() + static_cast<std::ptrdiff_t>(skip), args.positional.end());
  rest.named = args.named;
  return rest;
}

StatusOr<Value> MapAttribute(Interpreter& in, const Items& items, const CallArgs& args, bool input) {
  const Value* path = FindNamedArgument(args, "attribute");
  const Value* fallback = FindNamedArgument(args, "default");
  const size_t known = 1 + (fallback != nullptr ? 1 : 0);
  if (args.named.size() != known) return InvalidArgument("map takes 'attribute' and 'default' only");
  std::vector<Value> mapped;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(Value value, GetPath(in, item, *path));
    if (value.IsUndefined() && fallback != nullptr) value = *fallback;
    mapped.push_back(value);
  }
  return in.MakeList(mapped, Seq::kGenerator, input);
}

StatusOr<Value> Map(Interpreter& in, const Value& value, const CallArgs& args) {
  DepthScope depth(in);
  RETURN_IF_ERROR(depth.Enter());
  if (!Truthy(value)) return in.MakeList({}, Seq::kGenerator, false);  // whatever it is
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  const bool input = FromInput(value);
  if (args.positional.empty()) {
    if (FindNamedArgument(args, "attribute") == nullptr) return InvalidArgument("map needs a filter or an attribute");
    return MapAttribute(in, items, args, input);
  }
  if (!args.positional[0].IsString()) return InvalidArgument("map needs the name of a filter");
  const std::string_view name = args.positional[0].text();
  const FilterFn filter = FindFilter(name);
  if (filter == nullptr) return InvalidArgument("no filter named '{}'", name.substr(0, 40));
  const CallArgs rest = Rest(args, 1);
  std::vector<Value> mapped;
  for (const Value& item : items) {
    RETURN_IF_ERROR(in.Step());
    ASSIGN_OR_RETURN(const Value result, filter(in, item, rest));
    mapped.push_back(result);
  }
  return in.MakeList(mapped, Seq::kGenerator, input);
}

// keep: select, otherwise reject; with_path: the test sees an attribute of the item.
template <bool keep, bool with_path>
StatusOr<Value> Select(Interpreter& in, const Value& value, const CallArgs& args) {
  DepthScope depth(in);
  RETURN_IF_ERROR(depth.Enter());
  if (with_path && args.positional.empty()) return InvalidArgument("selectattr and rejectattr need an attribute");
  const size_t at = with_path ? 1 : 0;
  TestFn test = nullptr;
  CallArgs rest;
  if (args.positional.size() > at) {
    const Value& name = args.positional[at];
    test = name.IsString() ? FindTest(name.text()) : nullptr;
    if (test == nullptr) return InvalidArgument("select and reject need the name of a test");
    rest = Rest(args, at + 1);
  }
  if (!Truthy(value)) return in.MakeList({}, Seq::kGenerator, false);
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  std::vector<Value> kept;
  for (const Value& item : items) {
    RETURN_IF_ERROR(in.Step());
    Value seen = item;
    if (with_path) {
      ASSIGN_OR_RETURN(seen, GetPath(in, item, args.positional[0]));
    }
    bool holds = Truthy(seen);
    if (test != nullptr) {
      ASSIGN_OR_RETURN(holds, test(in, seen, rest));
    }
    if (holds == keep) kept.push_back(item);
  }
  return in.MakeList(kept, Seq::kGenerator, FromInput(value));
}

}  // namespace

FilterFn FindAttributeFilter(std::string_view name) {
  static constexpr NamedFunction<FilterFn> kFilters[] = {
      {"map", Map},
      {"select", Select<true, false>},
      {"reject", Select<false, false>},
      {"selectattr", Select<true, true>},
      {"rejectattr", Select<false, true>},
  };
  return FindNamedFunction(kFilters, name);
}

}  // namespace bitrate::jinja
