#include "engine/model_source/tokenizer_loader.h"

#include <optional>
#include <vector>

#include "engine/artifact/gguf_metadata.h"

namespace bitrate {
namespace {

Status ReadId(const GgufMetadata& metadata, const char* key, std::optional<int32_t>* out) {
  if (!metadata.Has(key)) return OkStatus();
  ASSIGN_OR_RETURN(const uint64_t id, metadata.GetU64(key));
  if (id > INT32_MAX) return InvalidArgument("{}: got {}, wanted a token id", key, id);
  *out = static_cast<int32_t>(id);
  return OkStatus();
}

Status ReadFlag(const GgufMetadata& metadata, const char* key, std::optional<bool>* out) {
  if (!metadata.Has(key)) return OkStatus();
  ASSIGN_OR_RETURN(*out, metadata.GetBool(key));
  return OkStatus();
}

StatusOr<GgufVocab> ReadVocab(const GgufMetadata& metadata) {
  GgufVocab vocab;
  ASSIGN_OR_RETURN(vocab.model, metadata.GetString("tokenizer.ggml.model"));
  ASSIGN_OR_RETURN(vocab.pre, metadata.GetStringOr("tokenizer.ggml.pre", ""));
  ASSIGN_OR_RETURN(vocab.tokens, metadata.GetStringArray("tokenizer.ggml.tokens"));
  if (metadata.Has("tokenizer.ggml.scores")) {
    ASSIGN_OR_RETURN(vocab.scores, metadata.GetFloatArray("tokenizer.ggml.scores"));
  }
  if (metadata.Has("tokenizer.ggml.token_type")) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> types, metadata.GetIntArray("tokenizer.ggml.token_type"));
    vocab.token_types.assign(types.begin(), types.end());
  }
  if (metadata.Has("tokenizer.ggml.merges")) {
    ASSIGN_OR_RETURN(vocab.merges, metadata.GetStringArray("tokenizer.ggml.merges"));
  }
  RETURN_IF_ERROR(ReadId(metadata, "tokenizer.ggml.bos_token_id", &vocab.bos_id));
  RETURN_IF_ERROR(ReadId(metadata, "tokenizer.ggml.eos_token_id", &vocab.eos_id));
  RETURN_IF_ERROR(ReadId(metadata, "tokenizer.ggml.eot_token_id", &vocab.eot_id));
  RETURN_IF_ERROR(ReadId(metadata, "tokenizer.ggml.eom_token_id", &vocab.eom_id));
  RETURN_IF_ERROR(ReadId(metadata, "tokenizer.ggml.unknown_token_id", &vocab.unk_id));
  RETURN_IF_ERROR(ReadId(metadata, "tokenizer.ggml.padding_token_id", &vocab.pad_id));
  RETURN_IF_ERROR(ReadFlag(metadata, "tokenizer.ggml.add_bos_token", &vocab.add_bos));
  RETURN_IF_ERROR(ReadFlag(metadata, "tokenizer.ggml.add_eos_token", &vocab.add_eos));
  RETURN_IF_ERROR(ReadFlag(metadata, "tokenizer.ggml.add_space_prefix", &vocab.add_space_prefix));
  ASSIGN_OR_RETURN(vocab.chat_template, metadata.GetStringOr("tokenizer.chat_template", ""));
  return vocab;
}

}  // namespace

StatusOr<std::shared_ptr<const Tokenizer>> LoadTokenizer(const Checkpoint& checkpoint) {
  if (const GgufMetadata* metadata = checkpoint.gguf_metadata(); metadata != nullptr) {
    if (!metadata->Has("tokenizer.ggml.model")) return std::shared_ptr<const Tokenizer>();
    ASSIGN_OR_RETURN(const GgufVocab vocab, ReadVocab(*metadata));
    return Tokenizer::FromGguf(vocab);
  }
  if (checkpoint.tokenizer_json().empty()) return std::shared_ptr<const Tokenizer>();
  return Tokenizer::FromTokenizerJson(checkpoint.tokenizer_json(), checkpoint.tokenizer_config_json());
}

StatusOr<std::shared_ptr<const ChatTemplate>> LoadChatTemplate(const Checkpoint& checkpoint,
                                                               const Tokenizer& tokenizer) {
  const std::string& file = checkpoint.chat_template_jinja();
  const std::string& source = file.empty() ? tokenizer.chat_template() : file;
  if (source.empty()) return std::shared_ptr<const ChatTemplate>();
  return ChatTemplate::Parse(source);
}

}  // namespace bitrate
