// The methods of str that filters share. `self` is a string. Thread rule: one rendering, one thread.
#ifndef BITRATE_ENGINE_TEXT_JINJA_STRING_METHODS_H_
#define BITRATE_ENGINE_TEXT_JINJA_STRING_METHODS_H_

#include <optional>
#include <string_view>

#include "engine/base/status.h"
#include "engine/text/jinja/interpreter.h"
#include "engine/text/jinja/unicode.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

StatusOr<Value> MapCase(Interpreter& in, const Str& text, Case to);  // every character alike
StatusOr<Value> Capitalize(Interpreter& in, const Value& self, const CallArgs& args);
StatusOr<Value> TitleMethod(Interpreter& in, const Value& self, const CallArgs& args);
StatusOr<Value> Strip(Interpreter& in, const Str& text, const Value* chars, bool left, bool right);
StatusOr<Value> Replace(Interpreter& in, const Str& text, const Str& from, const Str& to, int64_t count);
StatusOr<Value> Center(Interpreter& in, const Value& self, const CallArgs& args);
StatusOr<Value> Join(Interpreter& in, const Str& separator, const Value& items, bool convert);
StatusOr<std::vector<Value>> SplitLines(Interpreter& in, const Str& text, bool keep_ends);
bool IsLowerText(std::string_view text);
bool IsUpperText(std::string_view text);

// string_split.cc
FilterFn FindSplitMethod(std::string_view name);
// string_search.cc
FilterFn FindSearchMethod(std::string_view name);
// string_classes.cc
FilterFn FindClassMethod(std::string_view name);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_STRING_METHODS_H_
