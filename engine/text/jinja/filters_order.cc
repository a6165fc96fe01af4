// Filters that compare items: sort, dictsort, unique, min, max, groupby.
#include <algorithm>

#include "engine/text/jinja/filters.h"
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/string_methods.h"
#include "engine/text/jinja/subscript.h"

namespace bitrate::jinja {
namespace {

StatusOr<Value> FoldKey(Interpreter& in, const Value& key, bool case_sensitive) {
  if (case_sensitive) return key;
  if (key.IsString()) return MapCase(in, *key.str, Case::kLower);
  return key;
}

StatusOr<Value> Sort(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "sort", {"reverse", "case_sensitive", "attribute"}, 0));
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  ASSIGN_OR_RETURN(const std::vector<Value> keys,
                   SortKeys(in, items.data, items.size, bound.Or(2, Value::None()), bound.Flag(1, false)));
  // Jinja sorts by lists of attributes, so that equal keys need no order.
  std::vector<Value> lists;
  for (const Value& key : keys) {
    ASSIGN_OR_RETURN(const Value list, in.MakeList({key}, Seq::kList, false));
    lists.push_back(list);
  }
  ASSIGN_OR_RETURN(const std::vector<size_t> order, SortedOrder(in, lists, bound.Flag(0, false)));
  std::vector<Value> sorted;
  for (size_t i : order) sorted.push_back(items.data[i]);
  return in.MakeList(sorted, Seq::kList, FromInput(value));
}

StatusOr<Value> DictSort(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "dictsort", {"case_sensitive", "by", "reverse"}, 0));
  if (!value.IsDict()) return InvalidArgument("dictsort needs a mapping, got '{}'", TypeName(value));
  const std::string_view by = bound[1] == nullptr ? "key" : bound[1]->IsString() ? bound[1]->text() : "";
  if (by != "key" && by != "value") return InvalidArgument("dictsort sorts by key or by value");
  std::vector<Value> keys, pairs;
  for (size_t i = 0; i < value.dict->size; ++i) {
    const DictEntry& entry = value.dict->entries[i];
    ASSIGN_OR_RETURN(const Value key, FoldKey(in, by == "key" ? entry.key : entry.value, bound.Flag(0, false)));
    keys.push_back(key);
    ASSIGN_OR_RETURN(const Value pair, in.MakePair(entry.key, entry.value, value.input));
    pairs.push_back(pair);
  }
  ASSIGN_OR_RETURN(const std::vector<size_t> order, SortedOrder(in, keys, bound.Flag(2, false)));
  std::vector<Value> sorted;
  for (size_t i : order) sorted.push_back(pairs[i]);
  return in.MakeList(sorted, Seq::kList, value.input);
}

StatusOr<Value> Unique(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "unique", {"case_sensitive", "attribute"}, 0));
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  ASSIGN_OR_RETURN(const std::vector<Value> keys,
                   SortKeys(in, items.data, items.size, bound.Or(1, Value::None()), bound.Flag(0, false)));
  std::vector<size_t> kept;
  std::vector<Value> distinct;
  for (size_t i = 0; i < items.size; ++i) {
    if (!IsHashable(keys[i])) return InvalidArgument("unique: '{}' cannot be compared", TypeName(keys[i]));
    bool seen = false;
    for (size_t k = 0; k < kept.size() && !seen; ++k) {
      ASSIGN_OR_RETURN(seen, Equals(in, keys[kept[k]], keys[i]));
    }
    if (seen) continue;
    kept.push_back(i);
    distinct.push_back(items.data[i]);
  }
  return in.MakeList(distinct, Seq::kGenerator, FromInput(value));
}

template <bool max>
StatusOr<Value> Extreme(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, max ? "max" : "min", {"case_sensitive", "attribute"}, 0));
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  if (items.size == 0) return Value::Undefined();
  ASSIGN_OR_RETURN(const std::vector<Value> keys,
                   SortKeys(in, items.data, items.size, bound.Or(1, Value::None()), bound.Flag(0, false)));
  size_t best = 0;
  for (size_t i = 1; i < items.size; ++i) {
    ASSIGN_OR_RETURN(const bool better, max ? Less(in, keys[best], keys[i]) : Less(in, keys[i], keys[best]));
    if (better) best = i;
  }
  return items.data[best];
}

// Groups are (grouper, list) pairs in the order of their keys.
StatusOr<Value> GroupBy(Interpreter& in, const Value& value, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "groupby", {"attribute", "default", "case_sensitive"}, 1));
  ASSIGN_OR_RETURN(const Items items, Iterate(in, value));
  std::vector<Value> shown, keys;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(Value key, GetPath(in, item, *bound[0]));
    if (key.IsUndefined()) key = bound.Or(1, key);
    shown.push_back(key);
    ASSIGN_OR_RETURN(key, FoldKey(in, key, bound.Flag(2, false)));
    keys.push_back(key);
  }
  ASSIGN_OR_RETURN(const std::vector<size_t> order, SortedOrder(in, keys, false));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < order.size();) {
    std::vector<Value> members;
    size_t end = begin;
    for (bool same = true; same; same = same && end < order.size()) {
      members.push_back(items.data[order[end++]]);
      if (end == order.size()) break;
      ASSIGN_OR_RETURN(same, Equals(in, keys[order[begin]], keys[order[end]]));
    }
    ASSIGN_OR_RETURN(const Value list, in.MakeList(members, Seq::kList, value.input));
    ASSIGN_OR_RETURN(const Value group, in.MakePair(shown[order[begin]], list, value.input));
    group.list->seq = Seq::kGroup;
    groups.push_back(group);
    begin = end;
  }
  return in.MakeList(groups, Seq::kList, value.input);
}

}  // namespace

StatusOr<std::vector<Value>> SortKeys(Interpreter& in, const Value* items, size_t num_items, const Value& path,
                                      bool case_sensitive) {
  std::vector<Value> keys;
  for (size_t i = 0; i < num_items; ++i) {
    RETURN_IF_ERROR(in.Step());
    Value key = items[i];
    if (!path.IsNone()) {
      ASSIGN_OR_RETURN(key, GetPath(in, key, path));
    }
    if (!case_sensitive && key.IsList() && key.list->seq == Seq::kTuple && !path.IsNone()) {
      std::vector<Value> folded(key.list->size);
      for (size_t part = 0; part < folded.size(); ++part) {
        ASSIGN_OR_RETURN(folded[part], FoldKey(in, key.list->items[part], false));
      }
      ASSIGN_OR_RETURN(key, in.MakeList(folded, Seq::kTuple, false));
    } else {
      ASSIGN_OR_RETURN(key, FoldKey(in, key, case_sensitive));
    }
    keys.push_back(key);
  }
  return keys;
}

FilterFn FindOrderFilter(std::string_view name) {
  static constexpr NamedFunction<FilterFn> kFilters[] = {
      {"sort", Sort},          {"dictsort", DictSort}, {"unique", Unique},
      {"min", Extreme<false>}, {"max", Extreme<true>}, {"groupby", GroupBy},
  };
  return FindNamedFunction(kFilters, name);
}

}  // namespace bitrate::jinja
