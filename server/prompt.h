// Between text and token ids, with a model's tokenizer and chat template.
// Errors: INVALID_ARGUMENT naming the field; FAILED_PRECONDITION when the model has no tokenizer or template.
#ifndef BITRATE_SERVER_PROMPT_H_
#define BITRATE_SERVER_PROMPT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sampling/sampling_params.h"
#include "server/generation.h"

namespace bitrate {

// The ids of a prompt. Special strings in plain text are meant (the application wrote them) and become special tokens;
// inside message contents of a chat they stay text.
StatusOr<std::vector<int32_t>> PromptTokens(const ModelResources& model, const Prompt& prompt,
                                            std::optional<bool> add_special_tokens);

struct RenderedChat {
  std::string text;
  std::vector<int32_t> token_ids;
};
StatusOr<RenderedChat> RenderChat(const ModelResources& model, const ChatRequest& chat);

// `parse_special`: special strings become special tokens.
StatusOr<std::vector<int32_t>> TextTokens(const ModelResources& model, std::string_view text,
                                          std::optional<bool> add_special_tokens, bool parse_special);
StatusOr<std::string> TokensText(const ModelResources& model, const std::vector<int32_t>& ids, bool skip_special);

// The bytes of a token; empty without a tokenizer.
std::string TokenBytes(const ModelResources& model, int32_t id);
ScoredToken MakeScored(const ModelResources& model, int32_t id, std::optional<float> logprob, int rank,
                       std::vector<TokenLogprob> top);

// FieldError for the first id outside the vocabulary.
Status CheckIds(const ModelResources& model, std::string_view field, const std::vector<int32_t>& ids);

// The text of one choice, as its tokens come: whole UTF-8 characters, nothing of a stop string and nothing that may
// become one. Owner: the delivery thread.
class TextStream {
 public:
  TextStream(std::shared_ptr<const Tokenizer> tokenizer, const StopParams& stop);
  ~TextStream();
  TextStream(TextStream&&) noexcept;
  TextStream& operator=(TextStream&&) noexcept;

  // What may be sent after `token`, the `num_output`-th.
  std::string Push(int32_t token, int num_output);
  // The rest, when the sequence ended for `reason`.
  std::string Finish(FinishReason reason);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitrate

#endif  // BITRATE_SERVER_PROMPT_H_
