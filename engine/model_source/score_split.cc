#include "engine/model_source/score_split.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace bitrate {
namespace {

// White space of str.isspace beyond ASCII, in UTF-8.
constexpr std::string_view kWideSpaces[] = {
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82", "\xE2\x80\x83",
    "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A",
    "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};

// Length of the white space character that `text` ends with, 0 where it does not.
size_t SpaceAtEnd(std::string_view text) {
  if (text.empty()) return 0;
  const auto last = static_cast<unsigned char>(text.back());
  if (last == ' ' || (last >= '\t' && last <= '\r') || (last >= 0x1C && last <= 0x1F)) return 1;
  for (const std::string_view space : kWideSpaces) {
    if (text.ends_with(space)) return space.size();
  }
  return 0;
}

}  // namespace

size_t TrimmedSize(const std::string& text) {
  std::string_view rest = text;
  while (const size_t space = SpaceAtEnd(rest)) rest.remove_suffix(space);
  return rest.size();
}

StatusOr<ScoreIds> SplitScoreIds(std::optional<int32_t> eos_id, std::vector<int32_t> context,
                                 std::vector<int32_t> continuation) {
  if (continuation.empty()) return InvalidArgument("continuation: got no tokens, wanted at least one");
  if (context.empty()) {
    if (!eos_id) {
      return FailedPrecondition("context: got none, and the model has no end-of-sequence token to stand in for it");
    }
    context.push_back(*eos_id);
  }
  return ScoreIds{std::move(context), std::move(continuation)};
}

StatusOr<ScoreIds> SplitScoreText(const Tokenizer& tokenizer, std::optional<int32_t> eos_id, std::string context,
                                  std::string continuation) {
  EncodeOptions options;
  options.add_special_tokens = false;
  const size_t keep = TrimmedSize(context);
  continuation = context.substr(keep) + continuation;
  context.resize(keep);
  std::vector<int32_t> before;
  if (!context.empty()) {
    ASSIGN_OR_RETURN(before, tokenizer.Encode(context, options));
  }
  ASSIGN_OR_RETURN(const std::vector<int32_t> whole, tokenizer.Encode(context + continuation, options));
  const auto split = static_cast<std::ptrdiff_t>(std::min(before.size(), whole.size()));
  return SplitScoreIds(eos_id, std::move(before), {whole.begin() + split, whole.end()});
}

}  // namespace bitrate
