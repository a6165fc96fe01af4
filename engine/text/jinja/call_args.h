// Arguments of a call, and binding them to parameters the way Python does. Thread rule: one rendering, one thread.
#ifndef BITRATE_ENGINE_TEXT_JINJA_CALL_ARGS_H_
#define BITRATE_ENGINE_TEXT_JINJA_CALL_ARGS_H_

#include <array>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

class Interpreter;

struct NamedValue {
  const Str* name = nullptr;
  Value value;
};

struct CallArgs {
  std::vector<Value> positional;
  std::vector<NamedValue> named;
  bool empty() const { return positional.empty() && named.empty(); }
};

// value | filter(args); value is test(args).
using FilterFn = StatusOr<Value> (*)(Interpreter&, const Value&, const CallArgs&);
using TestFn = StatusOr<bool> (*)(Interpreter&, const Value&, const CallArgs&);

FilterFn FindFilter(std::string_view name);  // null when unknown
TestFn FindTest(std::string_view name);

// The values of at most kMax parameters, null where the call gave none.
class Bound {
 public:
  static constexpr size_t kMax = 6;
  const Value* operator[](size_t i) const { return given_[i] ? &values_[i] : nullptr; }
  Value Or(size_t i, const Value& fallback) const { return given_[i] ? values_[i] : fallback; }
  bool Flag(size_t i, bool fallback) const { return given_[i] ? Truthy(values_[i]) : fallback; }
  StatusOr<int64_t> Integer(size_t i, int64_t fallback) const;  // fails unless an int

 private:
  friend StatusOr<Bound> BindArgs(const CallArgs&, std::string_view, std::initializer_list<std::string_view>, size_t);
  std::array<Value, kMax> values_;
  std::array<bool, kMax> given_ = {};
};

// Fails on an unknown, repeated or missing argument; the first `required` parameters must be given.
StatusOr<Bound> BindArgs(const CallArgs& args, std::string_view function,
                         std::initializer_list<std::string_view> parameters, size_t required);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_CALL_ARGS_H_
