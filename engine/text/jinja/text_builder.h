// Collects text together with where it came from. Thread rule: one thread. Sizes in bytes. Growing past the limit drops
// what follows and sets overflow(): callers may go on and find out once, when they finish.
#ifndef BITRATE_ENGINE_TEXT_JINJA_TEXT_BUILDER_H_
#define BITRATE_ENGINE_TEXT_JINJA_TEXT_BUILDER_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/limits.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

class TextBuilder {
 public:
  explicit TextBuilder(size_t limit_bytes = limits::kMaxTemplateOutputBytes) : limit_(limit_bytes) {}

  void Append(std::string_view bytes, bool input);
  void Append(const Str& text) { AppendSlice(text, 0, text.size); }
  void AppendSlice(const Str& text, size_t begin, size_t end);  // bytes [begin, end) of `text`
  void Append(const TextBuilder& other);

  size_t size() const { return text_.size(); }
  bool overflow() const { return overflow_; }
  const std::string& text() const { return text_; }
  const std::vector<ByteRange>& ranges() const { return ranges_; }
  std::string TakeText() { return std::move(text_); }
  std::vector<ByteRange> TakeRanges() { return std::move(ranges_); }

 private:
  bool Grow(std::string_view bytes);
  void Mark(size_t begin, size_t end);

  size_t limit_;
  bool overflow_ = false;
  std::string text_;
  std::vector<ByteRange> ranges_;
};

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_TEXT_BUILDER_H_
