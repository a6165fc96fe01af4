// What tokenizer_config.json says beside tokenizer.json.
#ifndef BITRATE_ENGINE_TEXT_TOKENIZER_CONFIG_H_
#define BITRATE_ENGINE_TEXT_TOKENIZER_CONFIG_H_

#include <string_view>

#include "engine/text/tokenizer_parts.h"

namespace bitrate::text {

// Reads bos_token, eos_token, pad_token, unk_token (a string, or an object with "content"), add_bos_token,
// add_eos_token and chat_template (a string, or a list of {name, template} of which "default" is taken). Without a
// config, or a BOS in it, a single token that the post-processor puts first is BOS. A token that the vocabulary lacks
// is as good as unset. Errors: INVALID_ARGUMENT names the field.
Status ApplyTokenizerConfig(std::string_view config_json, TokenizerParts* parts);

}  // namespace bitrate::text

#endif  // BITRATE_ENGINE_TEXT_TOKENIZER_CONFIG_H_
