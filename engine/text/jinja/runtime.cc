#include "engine/text/jinja/runtime.h"

#include <algorithm>

namespace bitrate::jinja {
namespace {

constexpr size_t kIndexFrom = 16;  // entries; below, a scan is faster than a search

}  // namespace

Status Runtime::OutOfBudget() const {
  if (steps_left_ < 0) {
    return InvalidArgument("the template takes more than {} steps", limits::kMaxTemplateSteps);
  }
  return InvalidArgument("the template needs more than {} bytes of memory", kMaxRenderBytes);
}

Status Runtime::TooDeep() const { return InvalidArgument("nested deeper than {} levels", limits::kMaxTemplateDepth); }

Status Runtime::Reserve(size_t bytes) {
  RETURN_IF_ERROR(Work(bytes));
  if (arena_.Fits(bytes)) return OkStatus();
  return InvalidArgument("the template needs more than {} bytes of memory", kMaxRenderBytes);
}

Value Runtime::Literal(std::string_view text, bool input) {
  Str* str = arena_.New<Str>();
  str->data = text.data();
  str->size = text.size();
  if (input && !text.empty()) {
    str->ranges = arena_.New<ByteRange>(size_t{0}, text.size());
    str->num_ranges = 1;
  }
  return Value::Of(str);
}

StatusOr<Value> Runtime::Copy(std::string_view text, bool input) {
  RETURN_IF_ERROR(Reserve(text.size()));
  return Literal(arena_.Copy(text), input);
}

StatusOr<Value> Runtime::Finish(const TextBuilder& text) {
  if (text.overflow()) {
    return InvalidArgument("a text grows past {} bytes", limits::kMaxTemplateOutputBytes);
  }
  RETURN_IF_ERROR(Reserve(text.size() + text.ranges().size() * sizeof(ByteRange)));
  Str* str = arena_.New<Str>();
  const std::string_view copy = arena_.Copy(std::string_view(text.text()));
  str->data = copy.data();
  str->size = copy.size();
  str->ranges = arena_.Copy(text.ranges());
  str->num_ranges = text.ranges().size();
  return Value::Of(str);
}

StatusOr<Value> Runtime::Slice(const Str& text, size_t begin, size_t end) {
  RETURN_IF_ERROR(Step());
  if (begin == 0 && end == text.size) return Value::Of(&text);
  const ByteRange* last = text.ranges + text.num_ranges;
  const ByteRange* first =
      std::partition_point(text.ranges, last, [begin](const ByteRange& r) { return r.end <= begin; });
  last = std::partition_point(first, last, [end](const ByteRange& r) { return r.begin < end; });
  Str* str = arena_.New<Str>();
  str->data = text.data + begin;
  str->size = end - begin;
  str->num_ranges = static_cast<size_t>(last - first);
  if (begin == end || str->num_ranges == 0) {
    str->num_ranges = 0;
    return Value::Of(str);
  }
  RETURN_IF_ERROR(Reserve(str->num_ranges * sizeof(ByteRange)));
  ByteRange* ranges = arena_.NewArray<ByteRange>(str->num_ranges);
  for (size_t i = 0; i < str->num_ranges; ++i) {
    ranges[i] = {std::max(first[i].begin, begin) - begin, std::min(first[i].end, end) - begin};
  }
  str->ranges = ranges;
  return Value::Of(str);
}

StatusOr<Value> Runtime::MakeList(const std::vector<Value>& items, Seq seq, bool input) {
  RETURN_IF_ERROR(Reserve(items.size() * sizeof(Value)));
  List* list = arena_.New<List>();
  list->items = arena_.Copy(items);
  list->size = items.size();
  list->seq = seq;
  return Value::Of(list, input);
}

StatusOr<Value> Runtime::MakePair(const Value& first, const Value& second, bool input) {
  RETURN_IF_ERROR(Step());
  Value* items = arena_.NewArray<Value>(2);
  items[0] = first;
  items[1] = second;
  List* list = arena_.New<List>();
  list->items = items;
  list->size = 2;
  list->seq = Seq::kTuple;
  return Value::Of(list, input);
}

StatusOr<Value> Runtime::MakeDistinctDict(const std::vector<DictEntry>& entries, bool input) {
  RETURN_IF_ERROR(Reserve(entries.size() * (sizeof(DictEntry) + sizeof(uint32_t))));
  Dict* dict = arena_.New<Dict>();
  dict->entries = arena_.Copy(entries);
  dict->size = entries.size();
  if (entries.size() > kIndexFrom) {
    std::vector<uint32_t> order;
    size_t key_bytes = 0;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (!entries[i].key.IsString()) continue;
      order.push_back(static_cast<uint32_t>(i));
      key_bytes += entries[i].key.str->size;
    }
    RETURN_IF_ERROR(Work(16 * key_bytes));
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return entries[a].key.text() < entries[b].key.text(); });
    dict->by_key = arena_.Copy(order);
    dict->num_by_key = order.size();
    if (order.empty()) dict->by_key = arena_.New<uint32_t>(0u);
  }
  return Value::Of(dict, input);
}

}  // namespace bitrate::jinja
