// Checked arithmetic and text rules that the file readers share. Pure.
#ifndef BITRATE_ENGINE_ARTIFACT_CHECKED_H_
#define BITRATE_ENGINE_ARTIFACT_CHECKED_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace bitrate {

inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

inline std::optional<uint64_t> CheckedMul(uint64_t a, uint64_t b) {
  uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// Product of dimensions, nullopt where it is over `limit` (a later dimension of zero does not excuse an overflow).
inline std::optional<uint64_t> CheckedElements(std::span<const int64_t> shape, uint64_t limit) {
  uint64_t count = 1;
  for (int64_t dim : shape) {
    if (dim < 0) return std::nullopt;
    const auto product = CheckedMul(count, static_cast<uint64_t>(dim));
    if (!product || *product > limit) return std::nullopt;
    count = *product;
  }
  return count;
}

// Well-formed UTF-8 as RFC 3629 defines it (no surrogates, no overlong forms).
bool IsValidUtf8(std::string_view text);

// "[2, 3]", with "any" for what is below 0.
std::string ShapeText(std::span<const int64_t> shape);

// Text from a file made fit for a message: control and non-ASCII bytes as \xNN, cut after 80 bytes.
std::string Printable(std::string_view text);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_CHECKED_H_
