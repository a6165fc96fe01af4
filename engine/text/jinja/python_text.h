// str() and repr() of template values, with origin. Thread rule: one rendering, one thread.
// Errors: INVALID_ARGUMENT when nested too deeply or out of budget.
#ifndef BITRATE_ENGINE_TEXT_JINJA_PYTHON_TEXT_H_
#define BITRATE_ENGINE_TEXT_JINJA_PYTHON_TEXT_H_

#include "engine/base/status.h"
#include "engine/text/jinja/runtime.h"
#include "engine/text/jinja/text_builder.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

Status AppendStr(Runtime& runtime, const Value& value, TextBuilder* out);
Status AppendRepr(Runtime& runtime, const Value& value, TextBuilder* out);
StatusOr<Value> ToStr(Runtime& runtime, const Value& value);  // a string value; strings are returned as they are

// Walks a text's origin ranges forwards.
class OriginCursor {
 public:
  explicit OriginCursor(const Str& text) : next_(text.ranges), end_(text.ranges + text.num_ranges) {}
  // Whether any of bytes [begin, end) came from the request. `begin` never decreases between calls.
  bool Input(size_t begin, size_t end) {
    while (next_ != end_ && next_->end <= begin) ++next_;
    return next_ != end_ && next_->begin < end;
  }

 private:
  const ByteRange* next_;
  const ByteRange* end_;
};

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_PYTHON_TEXT_H_
