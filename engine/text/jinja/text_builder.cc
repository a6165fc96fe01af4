#include "engine/text/jinja/text_builder.h"

#include <algorithm>

namespace bitrate::jinja {

bool TextBuilder::Grow(std::string_view bytes) {
  // Ranges count too: text of alternating origin would otherwise cost many times its length.
  const size_t held = text_.size() + ranges_.size() * sizeof(ByteRange) / 4;
  if (overflow_ || held > limit_ || bytes.size() > limit_ - held) {
    overflow_ = true;
    return false;
  }
  text_.append(bytes);
  return true;
}

void TextBuilder::Mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!ranges_.empty() && ranges_.back().end == begin) {
    ranges_.back().end = end;
  } else {
    ranges_.push_back({begin, end});
  }
}

void TextBuilder::Append(std::string_view bytes, bool input) {
  const size_t begin = text_.size();
  if (Grow(bytes) && input) Mark(begin, text_.size());
}

void TextBuilder::AppendSlice(const Str& text, size_t begin, size_t end) {
  const size_t base = text_.size();
  if (!Grow(text.view().substr(begin, end - begin))) return;
  const ByteRange* last = text.ranges + text.num_ranges;
  const ByteRange* range =
      std::partition_point(text.ranges, last, [begin](const ByteRange& r) { return r.end <= begin; });
  for (; range != last && range->begin < end; ++range) {
    Mark(base + std::max(range->begin, begin) - begin, base + std::min(range->end, end) - begin);
  }
}

void TextBuilder::Append(const TextBuilder& other) {
  Append(Str{other.text_.data(), other.text_.size(), other.ranges_.data(), other.ranges_.size()});
  overflow_ = overflow_ || other.overflow_;
}

}  // namespace bitrate::jinja
