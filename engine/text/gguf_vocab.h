// The tokenizer metadata of a GGUF file as plain data, so that this module need not read GGUF.
// Field NAME of this struct is key tokenizer.ggml.NAME of the file, chat_template is tokenizer.chat_template.
#ifndef BITRATE_ENGINE_TEXT_GGUF_VOCAB_H_
#define BITRATE_ENGINE_TEXT_GGUF_VOCAB_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitrate {

struct GgufVocab {
  std::string model;  // "gpt2" or "llama"
  std::string pre;    // the split rule of "gpt2"; empty = "default"
  std::vector<std::string> tokens;
  std::vector<float> scores;  // [tokens.size()] or empty; "llama" needs them
  std::vector<int32_t>
      token_types;  // [tokens.size()] or empty: 1 normal, 2 unknown, 3 control, 4 user, 5 unused, 6 byte
  std::vector<std::string> merges;  // "left right"; "gpt2" needs them
  std::optional<int32_t> bos_id, eos_id, eot_id, eom_id, unk_id, pad_id;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::string chat_template;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_TEXT_GGUF_VOCAB_H_
