#include "engine/text/component_json.h"

#include <utility>

#include "engine/text/component_reader.h"
#include "engine/text/oniguruma.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

using nlohmann::json;

using NormalizerPtr = std::unique_ptr<Normalizer>;
using PreTokenizerPtr = std::unique_ptr<PreTokenizer>;

StatusOr<NormalizerPtr> ReadOneNormalizer(std::string_view type, const json& node) {
  if (type == "NFC") return MakeUnicodeNormalizer(UnicodeForm::kNfc);
  if (type == "NFD") return MakeUnicodeNormalizer(UnicodeForm::kNfd);
  if (type == "NFKC") return MakeUnicodeNormalizer(UnicodeForm::kNfkc);
  if (type == "NFKD") return MakeUnicodeNormalizer(UnicodeForm::kNfkd);
  if (type == "Lowercase") return MakeLowercase();
  if (type == "StripAccents") return MakeStripAccents();
  if (type == "ByteLevel") return MakeByteLevelNormalizer();
  if (type == "Prepend") {
    ASSIGN_OR_RETURN(std::string prefix, GetString(node, "prepend"));
    return MakePrepend(std::move(prefix));
  }
  if (type == "Replace") {
    ASSIGN_OR_RETURN(TextPattern pattern, ReadPattern(node));
    ASSIGN_OR_RETURN(std::string content, GetString(node, "content"));
    return MakeReplace(std::move(pattern), std::move(content));
  }
  if (type == "Strip") {
    ASSIGN_OR_RETURN(const bool left, BoolOr(node, "strip_left", true));
    ASSIGN_OR_RETURN(const bool right, BoolOr(node, "strip_right", true));
    return MakeStrip(left, right);
  }
  return UnsupportedType(type);
}

StatusOr<SplitBehavior> ReadBehavior(const json& node, SplitBehavior otherwise) {
  ASSIGN_OR_RETURN(const std::optional<std::string> name, FindString(node, "behavior"));
  if (!name) return otherwise;
  constexpr std::pair<std::string_view, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  for (const auto& [known, behavior] : kNames) {
    if (*name == known) return behavior;
  }
  return InvalidArgument("behavior: got {}, want Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
                         JsonToText(*name));
}

StatusOr<PreTokenizerPtr> MakePatternSplit(std::string_view pattern, SplitBehavior behavior, bool invert) {
  ASSIGN_OR_RETURN(Regex regex, CompileOniguruma(pattern));
  return MakeSplit(TextPattern{{}, std::move(regex)}, behavior, invert);
}

StatusOr<PreTokenizerPtr> ReadByteLevel(const json& node) {
  ASSIGN_OR_RETURN(const bool prefix_space, BoolOr(node, "add_prefix_space", true));
  ASSIGN_OR_RETURN(const bool use_regex, BoolOr(node, "use_regex", true));
  std::vector<PreTokenizerPtr> members;
  if (prefix_space) members.push_back(MakePrefixSpace());
  if (use_regex) {
    ASSIGN_OR_RETURN(PreTokenizerPtr split, MakePatternSplit(kGpt2Pattern, SplitBehavior::kIsolated, false));
    members.push_back(std::move(split));
  }
  return MakePreTokenizerSequence(std::move(members));
}

StatusOr<PreTokenizerPtr> ReadMetaspace(const json& node) {
  ASSIGN_OR_RETURN(std::string replacement, ReadCharacter(node, "replacement"));
  ASSIGN_OR_RETURN(const PrependScheme scheme, ReadPrependScheme(node));
  ASSIGN_OR_RETURN(const bool split, BoolOr(node, "split", true));
  return MakeMetaspace(std::move(replacement), scheme, split);
}

StatusOr<PreTokenizerPtr> ReadOnePreTokenizer(std::string_view type, const json& node) {
  if (type == "ByteLevel") return ReadByteLevel(node);
  if (type == "Metaspace") return ReadMetaspace(node);
  if (type == "Split") {
    ASSIGN_OR_RETURN(TextPattern pattern, ReadPattern(node));
    ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadBehavior(node, SplitBehavior::kIsolated));
    ASSIGN_OR_RETURN(const bool invert, BoolOr(node, "invert", false));
    return MakeSplit(std::move(pattern), behavior, invert);
  }
  if (type == "Digits") {
    ASSIGN_OR_RETURN(const bool alone, BoolOr(node, "individual_digits", false));
    return MakeCharSplit(&IsNumeric, alone ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  }
  if (type == "Punctuation") {
    ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadBehavior(node, SplitBehavior::kIsolated));
    return MakeCharSplit(&IsPunctuation, behavior);
  }
  if (type == "WhitespaceSplit") return MakeCharSplit(&IsWhitespace, SplitBehavior::kRemoved);
  if (type == "Whitespace") {
    // This \w is not Oniguruma's: it has the two joiners too.
    constexpr std::string_view kPattern = R"([\w\x{200c}\x{200d}]+|[^\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d}\s]+)";
    return MakePatternSplit(kPattern, SplitBehavior::kRemoved, /*invert=*/true);
  }
  if (type == "CharDelimiterSplit") {
    ASSIGN_OR_RETURN(std::string delimiter, ReadCharacter(node, "delimiter"));
    return MakeSplit(TextPattern{std::move(delimiter), std::nullopt}, SplitBehavior::kRemoved, false);
  }
  return UnsupportedType(type);
}

}  // namespace

StatusOr<std::string_view> ReadType(const json& node) {
  const json* type = FindField(node, "type");
  if (type == nullptr || !type->is_string()) return InvalidArgument("type: missing or not a string");
  return std::string_view(type->get_ref<const std::string&>());
}

StatusOr<TextPattern> ReadPattern(const json& node) {
  ASSIGN_OR_RETURN(const json* pattern, GetObject(node, "pattern"));
  TextPattern result;
  ASSIGN_OR_RETURN(std::optional<std::string> literal, FindString(*pattern, "String"));
  if (literal) {
    if (literal->size() > limits::kMaxPatternBytes) {
      return InvalidArgument("pattern.String: {} bytes, the limit is {}", literal->size(), limits::kMaxPatternBytes);
    }
    result.literal = std::move(*literal);
    return result;
  }
  ASSIGN_OR_RETURN(const std::string regex, GetString(*pattern, "Regex"));
  auto compiled = CompileOniguruma(regex);
  if (!compiled.ok()) return Annotate(compiled.status(), "pattern.Regex");
  result.regex = std::move(*compiled);
  return result;
}

StatusOr<std::string> ReadCharacter(const json& node, std::string_view key) {
  ASSIGN_OR_RETURN(std::string c, GetString(node, key));
  if (c.empty() || CodePointBytes(c[0]) != c.size()) {
    return InvalidArgument("{}: got {}, want one character", key, JsonToText(c));
  }
  return c;
}

StatusOr<PrependScheme> ReadPrependScheme(const json& node) {
  ASSIGN_OR_RETURN(const std::optional<std::string> name, FindString(node, "prepend_scheme"));
  if (!name) {
    ASSIGN_OR_RETURN(const bool add, BoolOr(node, "add_prefix_space", true));
    return add ? PrependScheme::kAlways : PrependScheme::kNever;
  }
  if (*name == "always") return PrependScheme::kAlways;
  if (*name == "first") return PrependScheme::kFirst;
  if (*name == "never") return PrependScheme::kNever;
  return InvalidArgument("prepend_scheme: got {}, want always, first or never", JsonToText(*name));
}

StatusOr<NormalizerPtr> ReadNormalizer(const json* node) {
  if (node == nullptr) return NormalizerPtr();
  std::vector<NormalizerPtr> members;
  RETURN_IF_ERROR(Annotate(ComponentReader().Read(*node, "normalizers",
                                                  [&](std::string_view type, const json& member) -> Status {
                                                    ASSIGN_OR_RETURN(NormalizerPtr one,
                                                                     ReadOneNormalizer(type, member));
                                                    members.push_back(std::move(one));
                                                    return OkStatus();
                                                  }),
                           "normalizer"));
  return MakeNormalizerSequence(std::move(members));
}

StatusOr<PreTokenizerSpec> ReadPreTokenizer(const json* node) {
  PreTokenizerSpec spec;
  if (node == nullptr) return spec;
  std::vector<PreTokenizerPtr> members;
  const auto read = [&](std::string_view type, const json& member) -> Status {
    if (spec.byte_level) return FailedPrecondition("a component after ByteLevel is not supported");
    ASSIGN_OR_RETURN(PreTokenizerPtr one, ReadOnePreTokenizer(type, member));
    members.push_back(std::move(one));
    spec.byte_level = type == "ByteLevel";
    return OkStatus();
  };
  RETURN_IF_ERROR(Annotate(ComponentReader().Read(*node, "pretokenizers", read), "pre_tokenizer"));
  spec.pre_tokenizer = MakePreTokenizerSequence(std::move(members));
  return spec;
}

}  // namespace bitrate::text
