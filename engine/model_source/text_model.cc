#include "engine/model_source/text_model.h"

#include <nlohmann/json.hpp>

#include "engine/artifact/checkpoint.h"
#include "engine/artifact/hf_folder.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/model_source/tokenizer_loader.h"
#include "engine/text/chat_template.h"

namespace bitrate {

StatusOr<TextModel> TextModel::FromFolder(const std::string& path) {
  TextModel out;
  ASSIGN_OR_RETURN(const HfFolder folder, HfFolder::Open(path));
  ASSIGN_OR_RETURN(const std::string tokenizer_json, folder.ReadOptional("tokenizer.json", limits::kMaxJsonBytes));
  ASSIGN_OR_RETURN(out.tokenizer_config_json_, folder.ReadOptional("tokenizer_config.json", limits::kMaxJsonBytes));
  ASSIGN_OR_RETURN(out.chat_template_jinja_, folder.ReadOptional("chat_template.jinja", limits::kMaxTemplateBytes));
  if (tokenizer_json.empty()) {
    if (!out.tokenizer_config_json_.empty() || !out.chat_template_jinja_.empty()) return out;
    return NotFound("{}: no tokenizer.json in it", path);
  }
  StatusOr<std::shared_ptr<const Tokenizer>> tokenizer =
      Tokenizer::FromTokenizerJson(tokenizer_json, out.tokenizer_config_json_);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), path);
  out.tokenizer_ = *std::move(tokenizer);
  return out;
}

StatusOr<TextModel> TextModel::Load(const std::string& path) {
  if (HfFolder::Open(path).ok()) {
    StatusOr<TextModel> folder = FromFolder(path);
    if (folder.ok() || folder.status().code() != StatusCode::kNotFound) {
      if (folder.ok()) folder->path_ = path;
      return folder;
    }
    // Perhaps a folder that holds one .gguf file.
    if (!Checkpoint::Open(path).ok()) return folder;
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const Checkpoint> checkpoint, Checkpoint::Open(path));
  TextModel out;
  out.path_ = path;
  StatusOr<std::shared_ptr<const Tokenizer>> tokenizer = LoadTokenizer(*checkpoint);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), path);
  if (*tokenizer == nullptr) return NotFound("{}: the model has no tokenizer", path);
  out.tokenizer_ = *std::move(tokenizer);
  return out;
}

StatusOr<std::string> TextModel::ChatTemplateSource(bool has_tools) const {
  if (!chat_template_jinja_.empty()) return chat_template_jinja_;
  if (!tokenizer_config_json_.empty()) {
    ASSIGN_OR_RETURN(const nlohmann::json config, ParseJson(tokenizer_config_json_, "tokenizer_config.json"));
    if (FindField(config, "chat_template") != nullptr) return SelectChatTemplate(config, has_tools);
  }
  if (tokenizer_ != nullptr && !tokenizer_->chat_template().empty()) return tokenizer_->chat_template();
  return NotFound("{}: the model has no chat template", path_);
}

StatusOr<std::shared_ptr<const Tokenizer>> LoadTokenizerFromPath(const std::string& path) {
  ASSIGN_OR_RETURN(const TextModel model, TextModel::Load(path));
  if (model.tokenizer() == nullptr) return NotFound("{}: no tokenizer.json in it", path);
  return model.tokenizer();
}

}  // namespace bitrate
