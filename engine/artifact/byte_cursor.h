// Bounds-checked reading of a little-endian byte string, front to back. A value; never reads past the end.
#ifndef BITRATE_ENGINE_ARTIFACT_BYTE_CURSOR_H_
#define BITRATE_ENGINE_ARTIFACT_BYTE_CURSOR_H_

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "engine/artifact/checked.h"
#include "engine/base/limits.h"
#include "engine/base/status.h"

namespace bitrate {

class ByteCursor {
 public:
  ByteCursor(std::span<const std::byte> bytes, uint64_t position) : bytes_(bytes), position_(position) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

  // `what` and `of` name the field in the DATA_LOSS message: "dimension of blk.0.attn_q.weight".
  template <typename T>
  StatusOr<T> Read(std::string_view what, std::string_view of = {}) {
    if (remaining() < sizeof(T)) return Truncated(what, of);
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  StatusOr<std::span<const std::byte>> Take(uint64_t count, std::string_view what, std::string_view of = {}) {
    if (remaining() < count) return Truncated(what, of);
    const auto taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }

  // u64 length and that many bytes, not copied.
  StatusOr<std::string_view> ReadString(uint64_t max_bytes, std::string_view what, std::string_view of = {}) {
    ASSIGN_OR_RETURN(const uint64_t length, Read<uint64_t>(what, of));
    if (length > max_bytes) {
      return ResourceExhausted("GGUF {} {}: a string of {} bytes, the limit is {}", what, Printable(of), length,
                               max_bytes);
    }
    ASSIGN_OR_RETURN(const std::span<const std::byte> taken, Take(length, what, of));
    return std::string_view(reinterpret_cast<const char*>(taken.data()), taken.size());
  }

 private:
  Status Truncated(std::string_view what, std::string_view of) const {
    return DataLoss("GGUF {}{}{}: the file ends at byte {}", what, of.empty() ? "" : " ", Printable(of), bytes_.size());
  }

  std::span<const std::byte> bytes_;
  uint64_t position_;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_BYTE_CURSOR_H_
