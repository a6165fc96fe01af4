// Methods of dicts, lists and tuples that change nothing.
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/method_table.h"
#include "engine/text/jinja/operators.h"
#include "engine/text/jinja/subscript.h"

namespace bitrate::jinja {
namespace {

template <Seq seq>
StatusOr<Value> View(Interpreter& in, const Value& self, const CallArgs& args) {
  RETURN_IF_ERROR(BindArgs(args, "the method", {}, 0).status());
  std::vector<Value> items;
  RETURN_IF_ERROR(in.Reserve(self.dict->size * sizeof(Value)));
  for (size_t i = 0; i < self.dict->size; ++i) {
    const DictEntry& entry = self.dict->entries[i];
    if (seq == Seq::kItems) {
      ASSIGN_OR_RETURN(const Value pair, in.MakePair(entry.key, entry.value, self.input));
      items.push_back(pair);
    } else {
      items.push_back(seq == Seq::kKeys ? entry.key : entry.value);
    }
  }
  return in.MakeList(items, seq, self.input);
}

StatusOr<Value> Get(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "get", {"key", "default"}, 1));
  if (bound[0]->IsString()) {
    const Value* found = self.dict->Find(bound[0]->text());
    return found != nullptr ? *found : bound.Or(1, Value::None());
  }
  if (!IsHashable(*bound[0])) return InvalidArgument("'{}' cannot be a key", TypeName(*bound[0]));
  ASSIGN_OR_RETURN(const Value found, GetItem(in, self, *bound[0]));
  return found.IsUndefined() ? bound.Or(1, Value::None()) : found;
}

StatusOr<Value> Copy(Interpreter&, const Value& self, const CallArgs&) { return self; }

StatusOr<Value> IndexOf(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "index", {"value"}, 1));
  for (size_t i = 0; i < self.list->size; ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equals(in, self.list->items[i], *bound[0]));
    if (equal) return Value::Int(static_cast<int64_t>(i), self.input);
  }
  return InvalidArgument("index: the value is not in the list");
}

StatusOr<Value> CountOf(Interpreter& in, const Value& self, const CallArgs& args) {
  ASSIGN_OR_RETURN(const Bound bound, BindArgs(args, "count", {"value"}, 1));
  int64_t count = 0;
  for (size_t i = 0; i < self.list->size; ++i) {
    ASSIGN_OR_RETURN(const bool equal, Equals(in, self.list->items[i], *bound[0]));
    count += equal ? 1 : 0;
  }
  return Value::Int(count, self.input);
}

}  // namespace

FilterFn FindContainerMethod(const Value& self, std::string_view name) {
  static constexpr NamedFunction<FilterFn> kDictMethods[] = {
      {"items", View<Seq::kItems>},
      {"keys", View<Seq::kKeys>},
      {"values", View<Seq::kValues>},
      {"get", Get},
      {"copy", Copy},
  };
  static constexpr NamedFunction<FilterFn> kListMethods[] = {{"index", IndexOf}, {"count", CountOf}};
  if (self.IsDict()) return FindNamedFunction(kDictMethods, name);
  if (!self.list->IsIndexable()) return nullptr;
  if (self.list->seq == Seq::kList && name == "copy") return Copy;
  return FindNamedFunction(kListMethods, name);
}

}  // namespace bitrate::jinja
