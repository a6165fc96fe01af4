// Decoders and post-processors of tokenizer.json.
#include <algorithm>

#include "engine/text/component_json.h"
#include "engine/text/component_reader.h"

namespace bitrate::text {
namespace {

using nlohmann::json;

StatusOr<DecodeStep> ReadStep(std::string_view type, const json& node) {
  DecodeStep step{};
  if (type == "ByteLevel") {
    step.kind = DecodeStep::kByteLevel;
  } else if (type == "ByteFallback") {
    step.kind = DecodeStep::kByteFallback;
  } else if (type == "Fuse") {
    step.kind = DecodeStep::kFuse;
  } else if (type == "Replace") {
    step.kind = DecodeStep::kReplace;
    ASSIGN_OR_RETURN(TextPattern pattern, ReadPattern(node));
    if (pattern.regex) return FailedPrecondition("pattern.Regex is not supported in a decoder");
    step.from = std::move(pattern.literal);
    ASSIGN_OR_RETURN(step.to, GetString(node, "content"));
    if (step.to.size() > limits::kMaxMatchedTokenBytes) {
      return InvalidArgument("content: {} bytes, the limit is {}", step.to.size(), limits::kMaxMatchedTokenBytes);
    }
  } else if (type == "Strip") {
    step.kind = DecodeStep::kStrip;
    ASSIGN_OR_RETURN(step.from, ReadCharacter(node, "content"));
    ASSIGN_OR_RETURN(step.start, GetIntInRange(node, "start", 0, INT32_MAX));
    ASSIGN_OR_RETURN(step.stop, GetIntInRange(node, "stop", 0, INT32_MAX));
  } else if (type == "Metaspace") {
    step.kind = DecodeStep::kMetaspace;
    ASSIGN_OR_RETURN(step.from, ReadCharacter(node, "replacement"));
    ASSIGN_OR_RETURN(const PrependScheme scheme, ReadPrependScheme(node));
    step.drop_first = scheme != PrependScheme::kNever;
  } else {
    return UnsupportedType(type);
  }
  return step;
}

Status CheckId(int64_t id, std::string_view what) {
  if (id >= 0 && id < limits::kMaxVocab) return OkStatus();
  return InvalidArgument("{}: id {} is out of range", what, id);
}

// What one post-processor puts before and after a text.
StatusOr<PostProcessor> ReadTemplate(const json& node) {
  ASSIGN_OR_RETURN(const json* single, GetArray(node, "single"));
  ASSIGN_OR_RETURN(const json* tokens, FindObject(node, "special_tokens"));
  PostProcessor result;
  bool seen_text = false;
  for (size_t i = 0; i < single->size(); ++i) {
    const auto place = [&](const Status& status) { return Annotate(status, fmt::format("single[{}]", i)); };
    const json& item = (*single)[i];
    if (FindField(item, "Sequence") != nullptr) {
      if (seen_text) return place(FailedPrecondition("Sequence: the text twice is not supported"));
      seen_text = true;
      continue;
    }
    auto special = GetObject(item, "SpecialToken");
    if (!special.ok()) return place(special.status());
    auto name = GetString(**special, "id");
    if (!name.ok()) return place(name.status());
    const json* entry = tokens == nullptr ? nullptr : FindField(*tokens, *name);
    if (entry == nullptr) return place(InvalidArgument("{} is not in special_tokens", JsonToText(*name)));
    auto ids = GetArray(*entry, "ids");
    if (!ids.ok()) return place(ids.status());
    for (const json& value : **ids) {
      auto id = JsonToInt(value, "ids");
      if (!id.ok()) return place(id.status());
      RETURN_IF_ERROR(place(CheckId(*id, "ids")));
      (seen_text ? result.suffix : result.prefix).push_back(static_cast<int32_t>(*id));
    }
  }
  if (!seen_text) return InvalidArgument("single: no Sequence, want the text once");
  return result;
}

// RoBERTa and BERT: cls text sep, each ["token", id].
StatusOr<PostProcessor> ReadClsSep(const json& node) {
  PostProcessor result;
  for (const std::string_view key : {"cls", "sep"}) {
    ASSIGN_OR_RETURN(const json* pair, GetArray(node, key));
    if (pair->size() != 2) return InvalidArgument("{}: got {} values, want token and id", key, pair->size());
    ASSIGN_OR_RETURN(const int64_t id, JsonToInt((*pair)[1], key));
    RETURN_IF_ERROR(CheckId(id, key));
    (key == "cls" ? result.prefix : result.suffix).push_back(static_cast<int32_t>(id));
  }
  return result;
}

}  // namespace

StatusOr<Decoder> ReadDecoder(const json* node) {
  if (node == nullptr) return Decoder::Compile({}, " ", {});
  std::vector<DecodeStep> steps;
  const auto read = [&](std::string_view type, const json& member) -> Status {
    ASSIGN_OR_RETURN(DecodeStep step, ReadStep(type, member));
    steps.push_back(std::move(step));
    return OkStatus();
  };
  RETURN_IF_ERROR(Annotate(ComponentReader().Read(*node, "decoders", read), "decoder"));
  return Decoder::Compile(std::move(steps), "", {});
}

StatusOr<PostProcessor> ReadPostProcessor(const json* node) {
  PostProcessor result;
  if (node == nullptr) return result;
  const auto read = [&](std::string_view type, const json& member) -> Status {
    PostProcessor one;
    if (type == "TemplateProcessing") {
      ASSIGN_OR_RETURN(one, ReadTemplate(member));
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      ASSIGN_OR_RETURN(one, ReadClsSep(member));
    } else if (type != "ByteLevel") {  // ByteLevel only moves offsets
      return UnsupportedType(type);
    }
    result.prefix.insert(result.prefix.begin(), one.prefix.begin(), one.prefix.end());
    result.suffix.insert(result.suffix.end(), one.suffix.begin(), one.suffix.end());
    if (std::max(result.prefix.size(), result.suffix.size()) > limits::kMaxTokensAround) {
      return InvalidArgument("more than {} tokens on one side of a text", limits::kMaxTokensAround);
    }
    return OkStatus();
  };
  RETURN_IF_ERROR(Annotate(ComponentReader().Read(*node, "processors", read), "post_processor"));
  return result;
}

}  // namespace bitrate::text
