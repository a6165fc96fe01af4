// Where a model's tokenizer and chat template come from: a checkpoint (GGUF metadata, or the files beside config.json),
// or for text-only work just a folder with a tokenizer.json. Joins engine/artifact, which reads files, and engine/text,
// which knows none.
//
// Thread rule: pure functions. Errors: those of the reader and the tokenizer, with the file or metadata key.
#ifndef BITRATE_ENGINE_MODEL_SOURCE_TOKENIZER_LOADER_H_
#define BITRATE_ENGINE_MODEL_SOURCE_TOKENIZER_LOADER_H_

#include <memory>

#include "engine/artifact/checkpoint.h"
#include "engine/base/status.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace bitrate {

// Null when the checkpoint has none.
StatusOr<std::shared_ptr<const Tokenizer>> LoadTokenizer(const Checkpoint& checkpoint);

// chat_template.jinja of the folder, else the tokenizer's own template; null when there is neither.
StatusOr<std::shared_ptr<const ChatTemplate>> LoadChatTemplate(const Checkpoint& checkpoint,
                                                               const Tokenizer& tokenizer);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_SOURCE_TOKENIZER_LOADER_H_
