// What one rendering may spend (steps, memory, depth) and the makers of its values. Thread rule: one thread.
//
// Every evaluated node and loop item costs a step; work on text costs a step per 32 bytes, so time is bounded by
// limits::kMaxTemplateSteps and memory by kMaxRenderBytes. All failures are INVALID_ARGUMENT.
#ifndef BITRATE_ENGINE_TEXT_JINJA_RUNTIME_H_
#define BITRATE_ENGINE_TEXT_JINJA_RUNTIME_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/base/limits.h"
#include "engine/base/status.h"
#include "engine/text/jinja/arena.h"
#include "engine/text/jinja/text_builder.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

// All values one rendering makes, none of which is freed before its end.
inline constexpr size_t kMaxRenderBytes = 8 * limits::kMaxTemplateOutputBytes;

class Runtime {
 public:
  Runtime() : arena_(kMaxRenderBytes) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  Arena& arena() { return arena_; }

  // Fails once the steps or the memory are spent.
  Status Step(int64_t steps = 1) {
    steps_left_ -= steps;
    if (steps_left_ >= 0 && arena_.Fits(0)) [[likely]]
      return OkStatus();
    return OutOfBudget();
  }
  Status Work(size_t bytes) { return Step(1 + static_cast<int64_t>(bytes / 32)); }
  Status Reserve(size_t bytes);  // Work, and fails unless the arena has room for `bytes`

  // Pairs with Leave; use DepthScope.
  Status Enter() {
    if (++depth_ <= limits::kMaxTemplateDepth) [[likely]]
      return Step();
    return TooDeep();
  }
  void Leave() { --depth_; }

  Value Literal(std::string_view text, bool input = false);  // `text` outlives the rendering
  StatusOr<Value> Copy(std::string_view text, bool input);
  StatusOr<Value> Finish(const TextBuilder& text);
  StatusOr<Value> Slice(const Str& text, size_t begin, size_t end);  // bytes; shares the text
  Value Whole(const Str& text) { return Value::Of(&text); }

  StatusOr<Value> MakeList(const std::vector<Value>& items, Seq seq, bool input);
  StatusOr<Value> MakePair(const Value& first, const Value& second, bool input);  // a tuple
  // Keys are distinct already (they come from a dict).
  StatusOr<Value> MakeDistinctDict(const std::vector<DictEntry>& entries, bool input);

  bool raised() const { return raised_; }  // the error is the template's own raise_exception
  void set_raised() { raised_ = true; }

 private:
  Status OutOfBudget() const;
  Status TooDeep() const;

  Arena arena_;
  int64_t steps_left_ = limits::kMaxTemplateSteps;
  int depth_ = 0;
  bool raised_ = false;
};

class DepthScope {
 public:
  explicit DepthScope(Runtime& runtime) : runtime_(runtime) {}
  ~DepthScope() { runtime_.Leave(); }
  DepthScope(const DepthScope&) = delete;
  DepthScope& operator=(const DepthScope&) = delete;
  Status Enter() { return runtime_.Enter(); }

 private:
  Runtime& runtime_;
};

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_RUNTIME_H_
