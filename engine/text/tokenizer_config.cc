#include "engine/text/tokenizer_config.h"

#include "engine/base/json.h"
#include "engine/base/limits.h"

namespace bitrate::text {
namespace {

using nlohmann::json;

Status ReadToken(const json& config, std::string_view key, const Vocab& vocab, std::optional<int32_t>* id) {
  const json* field = FindField(config, key);
  if (field == nullptr) return OkStatus();
  std::string content;
  if (field->is_object()) {
    auto inner = GetString(*field, "content");
    if (!inner.ok()) return Annotate(inner.status(), key);
    content = std::move(*inner);
  } else {
    ASSIGN_OR_RETURN(content, GetString(config, key));
  }
  const int32_t found = vocab.FindAny(content);
  if (found >= 0) *id = found;
  return OkStatus();
}

StatusOr<std::string> ReadChatTemplate(const json& config) {
  const json* field = FindField(config, "chat_template");
  if (field == nullptr) return std::string();
  if (!field->is_array()) return GetString(config, "chat_template");
  std::string first;
  for (size_t i = 0; i < field->size(); ++i) {
    const std::string place = fmt::format("chat_template[{}]", i);
    auto name = GetString((*field)[i], "name");
    if (!name.ok()) return Annotate(name.status(), place);
    auto text = GetString((*field)[i], "template");
    if (!text.ok()) return Annotate(text.status(), place);
    if (*name == "default") return std::move(*text);
    if (i == 0) first = std::move(*text);
  }
  return first;
}

// add_bos_token / add_eos_token: explicit values override what the post-processor does at that end.
Status ReadAdd(const json& config, std::string_view key, std::optional<int32_t> token, bool front,
               std::vector<int32_t>* around) {
  ASSIGN_OR_RETURN(const std::optional<bool> add, FindBool(config, key));
  if (!add || !token) return OkStatus();
  const bool there = !around->empty() && (front ? around->front() : around->back()) == *token;
  const auto place = front ? around->begin() : around->end();
  if (*add && !there) around->insert(place, *token);
  if (!*add && there) around->erase(front ? place : place - 1);
  return OkStatus();
}

Status ReadConfig(const json& config, TokenizerParts* parts) {
  if (!config.is_object()) return InvalidArgument("got {}, want an object", config.type_name());
  RETURN_IF_ERROR(ReadToken(config, "bos_token", parts->vocab, &parts->bos));
  RETURN_IF_ERROR(ReadToken(config, "eos_token", parts->vocab, &parts->eos));
  RETURN_IF_ERROR(ReadToken(config, "pad_token", parts->vocab, &parts->pad));
  RETURN_IF_ERROR(ReadToken(config, "unk_token", parts->vocab, &parts->unk));
  RETURN_IF_ERROR(ReadAdd(config, "add_bos_token", parts->bos, /*front=*/true, &parts->prefix));
  RETURN_IF_ERROR(ReadAdd(config, "add_eos_token", parts->eos, /*front=*/false, &parts->suffix));
  ASSIGN_OR_RETURN(parts->chat_template, ReadChatTemplate(config));
  if (parts->chat_template.size() > limits::kMaxTemplateBytes) {
    return InvalidArgument("chat_template: {} bytes, the limit is {}", parts->chat_template.size(),
                           limits::kMaxTemplateBytes);
  }
  return OkStatus();
}

}  // namespace

Status ApplyTokenizerConfig(std::string_view config_json, TokenizerParts* parts) {
  if (!config_json.empty()) {
    ASSIGN_OR_RETURN(const json config, ParseJson(config_json, "tokenizer_config.json"));
    RETURN_IF_ERROR(Annotate(ReadConfig(config, parts), "tokenizer_config.json"));
  }
  if (!parts->bos && parts->prefix.size() == 1) parts->bos = parts->prefix[0];
  if (parts->eos) parts->end_ids = {*parts->eos};
  return OkStatus();
}

}  // namespace bitrate::text
