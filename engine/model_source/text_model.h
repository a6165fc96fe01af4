// What the text commands need of a model: tokenizer and chat templates, from anything that has them: a .gguf file, a
// model folder, or a folder with just tokenizer.json (and tokenizer_config.json, chat_template.jinja). Weights are not
// looked at where the folder has a tokenizer.json.
//
// Thread rule: immutable after load.
#ifndef BITRATE_ENGINE_MODEL_SOURCE_TEXT_MODEL_H_
#define BITRATE_ENGINE_MODEL_SOURCE_TEXT_MODEL_H_

#include <memory>
#include <string>

#include "engine/base/status.h"
#include "engine/text/tokenizer.h"

namespace bitrate {

class TextModel {
 public:
  // NOT_FOUND where nothing at `path` holds a tokenizer or a template; errors of the readers otherwise.
  static StatusOr<TextModel> Load(const std::string& path);

  // May be null: a folder with templates only.
  const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }

  // Text of the template for requests with or without tools (a tokenizer_config.json may hold one for each).
  // NOT_FOUND where there is none.
  StatusOr<std::string> ChatTemplateSource(bool has_tools) const;

 private:
  static StatusOr<TextModel> FromFolder(const std::string& path);

  std::string path_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::string chat_template_jinja_;
  std::string tokenizer_config_json_;
};

// The tokenizer of TextModel::Load; NOT_FOUND where there is none.
StatusOr<std::shared_ptr<const Tokenizer>> LoadTokenizerFromPath(const std::string& path);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_SOURCE_TEXT_MODEL_H_
