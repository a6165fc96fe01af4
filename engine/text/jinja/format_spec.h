// One formatted field, shared by both formatting languages.
#ifndef BITRATE_ENGINE_TEXT_JINJA_FORMAT_SPEC_H_
#define BITRATE_ENGINE_TEXT_JINJA_FORMAT_SPEC_H_

#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/text/jinja/runtime.h"
#include "engine/text/jinja/text_builder.h"
#include "engine/text/jinja/value.h"

namespace bitrate::jinja {

struct FormatSpec {
  std::string fill = " ";  // one character
  char align = '\0';       // < > ^ =, or unset
  char sign = '\0';        // + or space, or unset
  char separator = '\0';   // of thousands
  bool alternate = false;
  int64_t width = 0;       // characters
  int64_t precision = -1;  // unset
  char type = '\0';
};

// A number of digits at `*at`, or -1; fails beyond what any text may hold.
StatusOr<int64_t> ParseCount(std::string_view text, size_t* at);

// Sign, prefix and digits of a number under `spec`, not padded. Fails for a type the value does not have.
StatusOr<std::string> FormatNumber(const Value& value, const FormatSpec& spec);

// Appends `text` padded to spec.width; padding counts as the template's.
void AppendPadded(const Str& text, const FormatSpec& spec, char default_align, TextBuilder* out);

}  // namespace bitrate::jinja

#endif  // BITRATE_ENGINE_TEXT_JINJA_FORMAT_SPEC_H_
