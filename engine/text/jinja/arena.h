// A bump allocator for the syntax tree of a template and for every value of one rendering. Nothing in it has a
// destructor: it is freed as a whole, so cycles and very deep values cannot leak or overflow the stack when they die.
//
// Thread rule: one thread; a finished tree is read by many. Sizes in bytes. Never returns null: running out is
// reported by Fits(), which callers ask before any allocation whose size an input chose.
#ifndef BITRATE_ENGINE_TEXT_JINJA_ARENA_H_
#define BITRATE_ENGINE_TEXT_JINJA_ARENA_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitrate::jinja {

class Arena {
 public:
  explicit Arena(size_t limit_bytes) : limit_(limit_bytes) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  bool Fits(size_t bytes) const { return bytes <= limit_ && used_ <= limit_ - bytes; }
  size_t used_bytes() const { return used_; }

  void* Allocate(size_t bytes) {
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    used_ += bytes;
    if (bytes > left_) NewChunk(bytes);
    char* result = next_;
    next_ += bytes;
    left_ -= bytes;
    return result;
  }

  template <typename T, typename... Args>
  T* New(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= kAlignment);
    return new (Allocate(sizeof(T))) T{std::forward<Args>(args)...};
  }

  template <typename T>
  T* NewArray(size_t count) {  // value-initialised; the caller has asked Fits(count * sizeof(T))
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= kAlignment);
    T* items = static_cast<T*>(Allocate(count * sizeof(T)));
    for (size_t i = 0; i < count; ++i) new (items + i) T();
    return items;
  }

  template <typename T>
  T* Copy(const std::vector<T>& items) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= kAlignment);
    if (items.empty()) return nullptr;
    T* copy = static_cast<T*>(Allocate(items.size() * sizeof(T)));
    std::memcpy(static_cast<void*>(copy), items.data(), items.size() * sizeof(T));
    return copy;
  }

  std::string_view Copy(std::string_view text) {
    if (text.empty()) return {};
    char* copy = static_cast<char*>(Allocate(text.size()));
    std::memcpy(copy, text.data(), text.size());
    return {copy, text.size()};
  }

 private:
  static constexpr size_t kAlignment = 16;
  static constexpr size_t kFirstChunkBytes = 16u << 10;
  static constexpr size_t kMaxChunkBytes = 1u << 20;

  void NewChunk(size_t bytes) {
    const size_t chunk = std::max(bytes, next_chunk_);
    next_chunk_ = std::min(kMaxChunkBytes, next_chunk_ * 2);
    chunks_.push_back(std::unique_ptr<char[]>(new char[chunk]));
    next_ = chunks_.back().get();
    left_ = chunk;
  }

  const size_t limit_;
  size_t used_ = 0;
  size_t next_chunk_ = kFirstChunkBytes;
  size_t left_ = 0;
  char* next_ = nullptr;
  std::vector<std::unique_ptr<char[]>> chunks_;
};

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_ARENA_H_
