// A half-open range of bytes of a text. Thread rule: a value.
#ifndef BITRATE_ENGINE_TEXT_JINJA_BYTE_RANGE_H_
#define BITRATE_ENGINE_TEXT_JINJA_BYTE_RANGE_H_

#include <cstddef>

namespace bitrate {

struct ByteRange {
  size_t begin = 0;  // bytes
  size_t end = 0;    // bytes, one past the last
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_TEXT_JINJA_BYTE_RANGE_H_
