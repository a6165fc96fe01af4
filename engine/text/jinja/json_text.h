// json.dumps(value, ensure_ascii, indent, separators, sort_keys): the tojson filter of chat templates, which unlike
// Jinja's own escapes neither < > & ' nor, by default, anything outside ASCII. Thread rule: one rendering, one thread.
#ifndef BITRATE_ENGINE_TEXT_JINJA_JSON_TEXT_H_
#define BITRATE_ENGINE_TEXT_JINJA_JSON_TEXT_H_

#include <optional>
#include <string>

#include "engine/base/status.h"
#include "engine/text/jinja/runtime.h"
#include "engine/text/jinja/text_builder.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // the text of one level; unset: one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// Errors: INVALID_ARGUMENT for a value or key JSON does not have, nesting or budget.
Status AppendJson(Runtime& runtime, const Value& value, const JsonStyle& style, TextBuilder* out);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_JSON_TEXT_H_
