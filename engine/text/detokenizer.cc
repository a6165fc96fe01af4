#include "engine/text/detokenizer.h"

#include <utility>

#include "engine/text/tokenizer_parts.h"

namespace bitrate {

IncrementalDetokenizer::IncrementalDetokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)),
      skip_special_(skip_special),
      stream_(&tokenizer_->parts_->decoder, &tokenizer_->parts_->vocab) {}

std::string IncrementalDetokenizer::Push(int32_t id) {
  if (!tokenizer_->HasToken(id) || (skip_special_ && tokenizer_->IsSpecial(id))) return {};
  return stream_.Push(id);
}

std::string IncrementalDetokenizer::Flush() { return stream_.Flush(); }

}  // namespace bitrate
