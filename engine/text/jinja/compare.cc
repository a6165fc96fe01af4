#include <algorithm>
#include <map>

#include "engine/text/jinja/chars.h"
#include "engine/text/jinja/operators.h"

namespace bitrate::jinja {
namespace {

// Exact for every pair: an x86 long double holds any 64-bit integer and any double.
int CompareNumbers(const Value& a, const Value& b, bool* unordered) {
  const auto wide = [](const Value& v) -> long double {
    if (v.kind == Kind::kFloat) return v.real;
    if (v.kind == Kind::kUint) return v.unsigned_integer;
    return v.AsInt();
  };
  const long double x = wide(a);
  const long double y = wide(b);
  *unordered = x != x || y != y;
  return x < y ? -1 : x > y ? 1 : 0;
}

StatusOr<bool> EqualDicts(Runtime& runtime, const Dict& a, const Dict& b);

// Same Python type family, so that a list never equals a tuple.
int SequenceFamily(const List& list) { return list.IsTuple() ? 1 : static_cast<int>(list.seq) + 2; }

StatusOr<bool> EqualLists(Runtime& runtime, const List& a, const List& b) {
  if (&a == &b) return true;
  if (SequenceFamily(a) != SequenceFamily(b) || a.size != b.size) return false;
  if (a.seq == Seq::kValues || a.seq == Seq::kGenerator) return false;  // these compare by identity
  for (size_t i = 0; i < a.size; ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equals(runtime, a.items[i], b.items[i]));
    if (!equal) return false;
  }
  return true;
}

StatusOr<const Value*> FindKey(Runtime& runtime, const Dict& dict, const Value& key) {
  if (key.IsString()) {
    RETURN_IF_ERROR(runtime.Step());
    return dict.Find(key.text());
  }
  for (size_t i = 0; i < dict.size; ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equals(runtime, dict.entries[i].key, key));
    if (equal) return &dict.entries[i].value;
  }
  return static_cast<const Value*>(nullptr);
}

StatusOr<bool> EqualDicts(Runtime& runtime, const Dict& a, const Dict& b) {
  if (&a == &b) return true;
  if (a.size != b.size) return false;
  for (size_t i = 0; i < a.size; ++i) {
    ASSIGN_OR_RETURN(const Value* other, FindKey(runtime, b, a.entries[i].key));
    if (other == nullptr) return false;
    ASSIGN_OR_RETURN(const bool equal, Equals(runtime, a.entries[i].value, *other));
    if (!equal) return false;
  }
  return true;
}

[[gnu::noinline]] Status NotComparable(const Value& a, const Value& b) {
  if (a.IsUndefined()) return UndefinedError(a);
  if (b.IsUndefined()) return UndefinedError(b);
  return InvalidArgument("'<' is not supported between '{}' and '{}'", TypeName(a), TypeName(b));
}

StatusOr<Items> Characters(Runtime& runtime, const Str& text) {
  const size_t count = NumChars(text.view());
  RETURN_IF_ERROR(runtime.Reserve(count * (sizeof(Value) + sizeof(Str))));
  Value* items = runtime.arena().NewArray<Value>(count);
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t size = CharAt(text.view(), at).size;
    ASSIGN_OR_RETURN(items[i], runtime.Slice(text, at, at + size));
    at += size;
  }
  return Items{items, count};
}

}  // namespace

StatusOr<bool> Equals(Runtime& runtime, const Value& a, const Value& b) {
  RETURN_IF_ERROR(runtime.Step());
  if (a.IsNumber() && b.IsNumber()) {
    bool unordered = false;
    return CompareNumbers(a, b, &unordered) == 0 && !unordered;
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      RETURN_IF_ERROR(runtime.Work(a.str->size == b.str->size ? a.str->size : 0));
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kDict: {
      DepthScope depth(runtime);
      RETURN_IF_ERROR(depth.Enter());
      if (a.IsList()) return EqualLists(runtime, *a.list, *b.list);
      return EqualDicts(runtime, *a.dict, *b.dict);
    }
    case Kind::kFunction:
      return a.function == b.function;
    default:
      return a.ns == b.ns;  // identity
  }
}

StatusOr<bool> Less(Runtime& runtime, const Value& a, const Value& b) {
  RETURN_IF_ERROR(runtime.Step());
  if (a.IsNumber() && b.IsNumber()) {
    bool unordered = false;
    return CompareNumbers(a, b, &unordered) < 0 && !unordered;
  }
  if (a.IsString() && b.IsString()) {
    RETURN_IF_ERROR(runtime.Work(std::min(a.str->size, b.str->size)));
    return a.text() < b.text();  // UTF-8 sorts like its code points
  }
  const bool lists = a.IsList() && b.IsList() && SequenceFamily(*a.list) == SequenceFamily(*b.list) &&
                     (a.list->seq == Seq::kList || a.list->IsTuple());
  if (!lists) return NotComparable(a, b);
  DepthScope depth(runtime);
  RETURN_IF_ERROR(depth.Enter());
  for (size_t i = 0; i < std::min(a.list->size, b.list->size); ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equals(runtime, a.list->items[i], b.list->items[i]));
    if (!equal) return Less(runtime, a.list->items[i], b.list->items[i]);
  }
  return a.list->size < b.list->size;
}

StatusOr<bool> Contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.IsString()) {
    if (!item.IsString()) return InvalidArgument("'in <str>' needs a string on its left, got '{}'", TypeName(item));
    RETURN_IF_ERROR(runtime.Work(4 * container.str->size));
    return FindText(container.text(), item.text(), 0) != std::string_view::npos;
  }
  if (container.IsDict()) {
    if (!IsHashable(item)) return InvalidArgument("'{}' cannot be a key", TypeName(item));
    ASSIGN_OR_RETURN(const Value* found, FindKey(runtime, *container.dict, item));
    return found != nullptr;
  }
  ASSIGN_OR_RETURN(const Items items, Iterate(runtime, container));
  for (const Value& candidate : items) {
    ASSIGN_OR_RETURN(const bool equal, Equals(runtime, candidate, item));
    if (equal) return true;
  }
  return false;
}

StatusOr<bool> CompareWith(Runtime& runtime, Op op, const Value& a, const Value& b) {
  bool unordered = false;
  if (a.IsNumber() && b.IsNumber()) CompareNumbers(a, b, &unordered);
  bool invert = false;
  StatusOr<bool> result = false;
  switch (op) {
    case Op::kNotEqual:
      invert = true;
      [[fallthrough]];
    case Op::kEqual:
      result = Equals(runtime, a, b);
      break;
    case Op::kGreaterEqual:
      invert = true;
      [[fallthrough]];
    case Op::kLess:
      result = Less(runtime, a, b);
      break;
    case Op::kLessEqual:
      invert = true;
      [[fallthrough]];
    case Op::kGreater:
      result = Less(runtime, b, a);
      break;
    case Op::kNotIn:
      invert = true;
      [[fallthrough]];
    default:
      result = Contains(runtime, b, a);
      break;
  }
  if (!result.ok() || !invert) return result;
  if (unordered && op != Op::kNotEqual) return false;  // nothing is ordered with NaN
  return !*result;
}

bool IsHashable(const Value& value) {
  if (value.IsDict() || value.IsUndefined()) return value.IsUndefined();
  if (!value.IsList()) return true;
  if (!value.list->IsTuple()) return value.list->seq == Seq::kRange || value.list->seq == Seq::kGenerator;
  // Tuples nest no deeper than the evaluator that built them, but may hold lists.
  return std::none_of(value.list->items, value.list->items + value.list->size,
                      [](const Value& item) { return item.IsDict() || (item.IsList() && !item.list->IsTuple()); });
}

StatusOr<Value> MakeDict(Runtime& runtime, const std::vector<DictEntry>& entries, bool input) {
  std::vector<DictEntry> distinct;
  std::map<std::string_view, size_t> strings;
  std::vector<size_t> others;
  for (const DictEntry& entry : entries) {
    RETURN_IF_ERROR(runtime.Step());
    if (!IsHashable(entry.key)) return InvalidArgument("'{}' cannot be a key", TypeName(entry.key));
    size_t place = distinct.size();
    if (entry.key.IsString()) {
      RETURN_IF_ERROR(runtime.Work(8 * entry.key.str->size));
      place = strings.try_emplace(entry.key.text(), place).first->second;
    } else {
      for (size_t other : others) {
        ASSIGN_OR_RETURN(const bool equal, Equals(runtime, distinct[other].key, entry.key));
        if (equal) place = other;
      }
      if (place == distinct.size()) others.push_back(place);
    }
    if (place < distinct.size()) {
      distinct[place].value = entry.value;
    } else {
      distinct.push_back(entry);
    }
  }
  return runtime.MakeDistinctDict(distinct, input);
}

StatusOr<std::vector<size_t>> SortedOrder(Runtime& runtime, const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::vector<size_t> merged(order.size());
  // Bottom-up merges: std::stable_sort may run out of bounds when NaNs make the order inconsistent.
  for (size_t width = 1; width < order.size(); width *= 2) {
    for (size_t begin = 0; begin < order.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, order.size());
      const size_t end = std::min(begin + 2 * width, order.size());
      size_t left = begin, right = middle;
      for (size_t out = begin; out < end; ++out) {
        bool take_right = left == middle;
        if (!take_right && right < end) {
          const Value& l = keys[order[left]];
          const Value& r = keys[order[right]];
          ASSIGN_OR_RETURN(take_right, reverse ? Less(runtime, l, r) : Less(runtime, r, l));
        }
        merged[out] = order[take_right ? right++ : left++];
      }
    }
    order.swap(merged);
  }
  return order;
}

StatusOr<Items> Iterate(Runtime& runtime, const Value& value) {
  RETURN_IF_ERROR(runtime.Step());
  switch (value.kind) {
    case Kind::kUndefined:
      return Items{};
    case Kind::kString:
      return Characters(runtime, *value.str);
    case Kind::kList: {
      const size_t from = value.list->consumed;
      if (value.list->seq == Seq::kGenerator) value.list->consumed = value.list->size;
      return Items{value.list->items + from, value.list->size - from};
    }
    case Kind::kDict: {
      RETURN_IF_ERROR(runtime.Reserve(value.dict->size * sizeof(Value)));
      Value* keys = runtime.arena().NewArray<Value>(value.dict->size);
      for (size_t i = 0; i < value.dict->size; ++i) keys[i] = value.dict->entries[i].key;
      return Items{keys, value.dict->size};
    }
    default:
      return InvalidArgument("'{}' is not iterable", TypeName(value));
  }
}

}  // namespace bitrate::jinja
