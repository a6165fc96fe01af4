// A movable owner of 64-byte-aligned, zero-filled host memory; large ones lie on 2 MiB pages (large_memory.h). Thread
// rule: as a value; no hidden sharing.
#ifndef BITRATE_ENGINE_BASE_ALIGNED_BUFFER_H_
#define BITRATE_ENGINE_BASE_ALIGNED_BUFFER_H_

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "engine/base/large_memory.h"

namespace bitrate {

// AddressSanitizer sees an overrun of a heap block only.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kUseLargeMemory = false;
#elif defined(__has_feature)
inline constexpr bool kUseLargeMemory = !__has_feature(address_sanitizer);
#else
inline constexpr bool kUseLargeMemory = true;
#endif

template <typename T>
class AlignedBuffer {
 public:
  static constexpr size_t kAlignment = 64;  // one cache line, one AVX-512 vector

  AlignedBuffer() = default;
  // Throws std::bad_alloc like std::vector; callers bound `count` by limits.h or a memory budget first.
  explicit AlignedBuffer(size_t count) : size_(count) {
    if (count == 0) return;
    const size_t rounded = (bytes() + kAlignment - 1) / kAlignment * kAlignment;
    data_ = static_cast<T*>(IsLarge() ? AllocateLarge(bytes()) : std::aligned_alloc(kAlignment, rounded));
    if (data_ == nullptr) throw std::bad_alloc();
    if (!IsLarge()) std::memset(static_cast<void*>(data_), 0, rounded);
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() {
    if (data_ == nullptr) return;
    if (IsLarge()) {
      FreeLarge(data_, bytes());
    } else {
      std::free(data_);
    }
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  bool IsLarge() const { return kUseLargeMemory && bytes() >= kLargeMemoryBytes; }

  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_ALIGNED_BUFFER_H_
