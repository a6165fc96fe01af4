#include "server/prompt.h"

#include "engine/base/limits.h"
#include "engine/sampling/stop_criteria.h"
#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "server/api_error.h"

namespace bitrate {
namespace {

Status NoTokenizer(const ModelResources& model) {
  return WithDetail(FailedPrecondition("model \"{}\" has no tokenizer: send token ids", model.name),
                    {.reason = "NO_TOKENIZER"});
}

// What the tokenizer refuses is the client's text; `field` is where it was.
StatusOr<std::vector<int32_t>> Encode(const ModelResources& model, std::string_view field, std::string_view text,
                                      const EncodeOptions& options) {
  if (model.tokenizer == nullptr) return NoTokenizer(model);
  auto ids = model.tokenizer->Encode(text, options);
  if (ids.ok()) return ids;
  if (ids.status().code() != StatusCode::kInvalidArgument) return ids.status();
  return FieldError(field, ToStd(ids.status().message()));
}

}  // namespace

StatusOr<std::vector<int32_t>> PromptTokens(const ModelResources& model, const Prompt& prompt,
                                            std::optional<bool> add_special_tokens) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) {
    RETURN_IF_ERROR(CheckIds(model, "token_ids", *ids));
    return *ids;
  }
  if (const auto* chat = std::get_if<ChatRequest>(&prompt)) {
    ASSIGN_OR_RETURN(RenderedChat rendered, RenderChat(model, *chat));
    if (rendered.token_ids.empty()) return FieldError("chat", "the rendered conversation is empty");
    return std::move(rendered.token_ids);
  }
  const std::string& text = std::get<std::string>(prompt);
  EncodeOptions options;
  options.add_special_tokens = add_special_tokens;
  options.parse_special = true;
  options.single_bos = true;
  ASSIGN_OR_RETURN(std::vector<int32_t> ids, Encode(model, "text", text, options));
  if (ids.empty()) return FieldError("text", "the text has no tokens");
  return ids;
}

StatusOr<std::vector<int32_t>> TextTokens(const ModelResources& model, std::string_view text,
                                          std::optional<bool> add_special_tokens, bool parse_special) {
  EncodeOptions options;
  options.add_special_tokens = add_special_tokens;
  options.parse_special = parse_special;
  return Encode(model, "text", text, options);
}

StatusOr<std::string> TokensText(const ModelResources& model, const std::vector<int32_t>& ids, bool skip_special) {
  if (model.tokenizer == nullptr) return NoTokenizer(model);
  RETURN_IF_ERROR(CheckIds(model, "token_ids", ids));
  auto text = model.tokenizer->Decode(ids, skip_special);
  if (text.ok() || text.status().code() != StatusCode::kInvalidArgument) return text;
  return FieldError("token_ids", ToStd(text.status().message()));
}

std::string TokenBytes(const ModelResources& model, int32_t id) {
  return model.tokenizer == nullptr ? std::string() : model.tokenizer->TokenBytes(id);
}

ScoredToken MakeScored(const ModelResources& model, int32_t id, std::optional<float> logprob, int rank,
                       std::vector<TokenLogprob> top) {
  ScoredToken token;
  token.token_id = id;
  token.logprob = logprob;
  token.rank = rank;
  token.bytes = TokenBytes(model, id);
  token.top_bytes.reserve(top.size());
  for (const TokenLogprob& candidate : top) token.top_bytes.push_back(TokenBytes(model, candidate.token_id));
  token.top = std::move(top);
  return token;
}

Status CheckIds(const ModelResources& model, std::string_view field, const std::vector<int32_t>& ids) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < model.vocab_size) continue;
    return FieldError(fmt::format("{}.ids[{}]", field, i),
                      fmt::format("got token id {}, wanted 0 to {}", ids[i], model.vocab_size - 1));
  }
  return OkStatus();
}

struct TextStream::Impl {
  IncrementalDetokenizer detokenizer;
  StopMatcher matcher;
  int min_tokens = 0;
};

TextStream::TextStream(std::shared_ptr<const Tokenizer> tokenizer, const StopParams& stop) {
  if (tokenizer == nullptr) return;
  StopMatcher matcher = stop.stop.empty() ? StopMatcher() : StopMatcher(stop.stop, stop.include_stop_str);
  impl_ =
      std::make_unique<Impl>(Impl{IncrementalDetokenizer(std::move(tokenizer)), std::move(matcher), stop.min_tokens});
}
TextStream::~TextStream() = default;
TextStream::TextStream(TextStream&&) noexcept = default;
TextStream& TextStream::operator=(TextStream&&) noexcept = default;

std::string TextStream::Push(int32_t token, int num_output) {
  if (impl_ == nullptr) return {};
  return impl_->matcher.Push(impl_->detokenizer.Push(token), num_output >= impl_->min_tokens);
}

std::string TextStream::Finish(FinishReason reason) {
  if (impl_ == nullptr || reason == FinishReason::kStopString) return {};
  std::string rest = impl_->matcher.Push(impl_->detokenizer.Flush(), /*armed=*/false);
  rest += impl_->matcher.Flush();
  return rest;
}

}  // namespace bitrate
