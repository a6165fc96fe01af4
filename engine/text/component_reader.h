// What the readers of normalizers, pre-tokenizers, decoders and post-processors share: types, sequences, bounds.
#ifndef BITRATE_ENGINE_TEXT_COMPONENT_READER_H_
#define BITRATE_ENGINE_TEXT_COMPONENT_READER_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/base/status.h"
#include "engine/text/normalizer.h"
#include "engine/text/pre_tokenizer.h"

namespace bitrate::text {

// The "type" of a component, a view into `node`.
StatusOr<std::string_view> ReadType(const nlohmann::json& node);

// One component of a file is read by one reader, which counts its members and their nesting.
class ComponentReader {
 public:
  // Reads "type" of each component with fn(type, node), descending into sequences: `key` names the array of members
  // of a component of type "Sequence".
  template <typename Fn>
  Status Read(const nlohmann::json& node, std::string_view key, const Fn& fn) {
    if (++num_nodes_ > limits::kMaxTokenizerNodes) {
      return InvalidArgument("more than {} components", limits::kMaxTokenizerNodes);
    }
    if (depth_ >= limits::kMaxTokenizerDepth) {
      return InvalidArgument("components nest deeper than {}", limits::kMaxTokenizerDepth);
    }
    ASSIGN_OR_RETURN(const std::string_view type, ReadType(node));
    if (type != "Sequence") return Annotate(fn(type, node), type);
    ASSIGN_OR_RETURN(const nlohmann::json* members, GetArray(node, key));
    ++depth_;
    for (size_t i = 0; i < members->size(); ++i) {
      RETURN_IF_ERROR(Annotate(Read((*members)[i], key, fn), fmt::format("{}[{}]", key, i)));
    }
    --depth_;
    return OkStatus();
  }

 private:
  int depth_ = 0;
  int num_nodes_ = 0;
};

inline Status UnsupportedType(std::string_view type) {
  return FailedPrecondition("type {} is not supported", JsonToText(std::string(type)));
}

// A field that defaults.
inline StatusOr<bool> BoolOr(const nlohmann::json& node, std::string_view key, bool otherwise) {
  ASSIGN_OR_RETURN(const std::optional<bool> value, FindBool(node, key));
  return value.value_or(otherwise);
}

// {"String": "..."} or {"Regex": "..."} at node["pattern"].
StatusOr<TextPattern> ReadPattern(const nlohmann::json& node);
// A string of exactly one character.
StatusOr<std::string> ReadCharacter(const nlohmann::json& node, std::string_view key);
// Metaspace: "always" | "first" | "never", or the older add_prefix_space.
StatusOr<PrependScheme> ReadPrependScheme(const nlohmann::json& node);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_COMPONENT_READER_H_
