// Python's operators on template values. Thread rule: one rendering, one thread. Errors: INVALID_ARGUMENT where Python
// would raise, and where a result leaves 64 bits.
#ifndef BITRATE_ENGINE_TEXT_JINJA_OPERATORS_H_
#define BITRATE_ENGINE_TEXT_JINJA_OPERATORS_H_

#include <functional>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/jinja/ast.h"
#include "engine/text/jinja/runtime.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

// operators.cc
StatusOr<Value> Arithmetic(Runtime& runtime, Op op, const Value& a, const Value& b);
StatusOr<Value> Negate(const Value& value, bool negative);  // -value or +value

// compare.cc
StatusOr<bool> Equals(Runtime& runtime, const Value& a, const Value& b);
StatusOr<bool> Less(Runtime& runtime, const Value& a, const Value& b);
StatusOr<bool> Contains(Runtime& runtime, const Value& container, const Value& item);
StatusOr<bool> CompareWith(Runtime& runtime, Op op, const Value& a, const Value& b);
bool IsHashable(const Value& value);
// A dict from pairs whose keys may repeat (the last value wins at the first one's place).
StatusOr<Value> MakeDict(Runtime& runtime, const std::vector<DictEntry>& entries, bool input);
// Stable, and safe whatever the keys compare like. Returns the order.
StatusOr<std::vector<size_t>> SortedOrder(Runtime& runtime, const std::vector<Value>& keys, bool reverse);

// The items a for loop would see. Takes a generator's items.
struct Items {
  const Value* data = nullptr;
  size_t size = 0;
  const Value* begin() const { return data; }
  const Value* end() const { return data + size; }
};
StatusOr<Items> Iterate(Runtime& runtime, const Value& value);

Status UndefinedError(const Value& value);  // "'name' is undefined"

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_OPERATORS_H_
