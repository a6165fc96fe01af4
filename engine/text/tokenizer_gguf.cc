// Loads the tokenizer of a GGUF file.
#include <algorithm>

#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/text/bpe_model.h"
#include "engine/text/oniguruma.h"
#include "engine/text/tokenizer_parts.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

enum GgufTokenType { kNormal = 1, kUnknown = 2, kControl = 3, kUser = 4, kUnused = 5, kByte = 6 };

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kPunctuationPattern = R"([\p{P}\$\+<=>\^~\|]+)";

const std::string kSpace = " ";
const std::string kSpmSpace = "\xE2\x96\x81";  // U+2581, the space of SentencePiece vocabularies

// A split rule of tokenizer.ggml.pre: patterns that cut one after the other, each match a piece of its own.
struct PreRule {
  std::string_view name;
  std::vector<std::string_view> patterns;
  bool ignore_merges = false;
  bool add_bos = false;  // where the file does not say
  bool nfc = false;
};

const std::vector<PreRule>& PreRules() {
  static const std::vector<PreRule> rules = {
      {"default", {kPunctuationPattern, kGpt2Pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"}, false, false, false},
      {"gpt-2", {kGpt2Pattern}, false, false, false},
      {"smollm", {R"(\p{N})", kGpt2Pattern}, false, false, false},
      {"llama-bpe", {kLlama3Pattern}, true, true, false},
      {"llama3", {kLlama3Pattern}, true, true, false},
      // The file format has no place for the NFC of the original tokenizer.json, but the rule's name implies it.
      {"qwen2", {kQwen2Pattern}, false, false, true},
  };
  return rules;
}

StatusOr<const PreRule*> FindRule(const std::string& pre) {
  std::string known;
  for (const PreRule& rule : PreRules()) {
    if (rule.name == (pre.empty() ? "default" : pre)) return &rule;
    known.append(known.empty() ? "" : ", ").append(rule.name);
  }
  return FailedPrecondition("tokenizer.ggml.pre: {} is not supported, want one of {}", JsonToText(pre), known);
}

GgufTokenType TypeOf(const GgufVocab& gguf, size_t id) {
  return gguf.token_types.empty() ? kNormal : static_cast<GgufTokenType>(gguf.token_types[id]);
}

Status CheckArrays(const GgufVocab& gguf) {
  const size_t n = gguf.tokens.size();
  if (n == 0) return InvalidArgument("tokenizer.ggml.tokens: missing or empty");
  if (n > static_cast<size_t>(limits::kMaxVocab)) {
    return InvalidArgument("tokenizer.ggml.tokens: {} tokens, the limit is {}", n, limits::kMaxVocab);
  }
  if (!gguf.token_types.empty() && gguf.token_types.size() != n) {
    return InvalidArgument("tokenizer.ggml.token_type: {} entries for {} tokens", gguf.token_types.size(), n);
  }
  if (!gguf.scores.empty() && gguf.scores.size() != n) {
    return InvalidArgument("tokenizer.ggml.scores: {} entries for {} tokens", gguf.scores.size(), n);
  }
  if (gguf.merges.size() > limits::kMaxMerges) {
    return InvalidArgument("tokenizer.ggml.merges: {} entries, the limit is {}", gguf.merges.size(),
                           limits::kMaxMerges);
  }
  if (gguf.chat_template.size() > limits::kMaxTemplateBytes) {
    return InvalidArgument("tokenizer.chat_template: {} bytes, the limit is {}", gguf.chat_template.size(),
                           limits::kMaxTemplateBytes);
  }
  return OkStatus();
}

// Normal and unused tokens are the model's; the others are only found as added tokens or by their byte.
Status FillVocab(const GgufVocab& gguf, TokenizerParts* parts, std::vector<AddedToken>* added) {
  for (size_t i = 0; i < gguf.tokens.size(); ++i) {
    const GgufTokenType type = TypeOf(gguf, i);
    const auto id = static_cast<int64_t>(i);
    const bool model = type != kUnknown && type != kControl && type != kUser && type != kByte;
    RETURN_IF_ERROR(Annotate(model ? parts->vocab.Add(gguf.tokens[i], id) : parts->vocab.AddExtra(gguf.tokens[i], id),
                             "tokenizer.ggml.tokens"));
    if (type != kUnknown && type != kControl && type != kUser) continue;
    AddedToken token;
    token.id = static_cast<int32_t>(id);
    token.content = gguf.tokens[i];
    token.special = type != kUser;
    if (!token.content.empty()) added->push_back(std::move(token));
  }
  return OkStatus();
}

Status LoadIds(const GgufVocab& gguf, TokenizerParts* parts) {
  const auto set = [&](std::string_view key, std::optional<int32_t> id, std::optional<int32_t>* to) -> Status {
    if (id && !parts->vocab.Has(*id)) {
      return InvalidArgument("tokenizer.ggml.{}_token_id: {} is outside the vocabulary of {}", key, *id,
                             parts->vocab.size());
    }
    *to = id;
    return OkStatus();
  };
  std::optional<int32_t> eot, eom;
  RETURN_IF_ERROR(set("bos", gguf.bos_id, &parts->bos));
  RETURN_IF_ERROR(set("eos", gguf.eos_id, &parts->eos));
  RETURN_IF_ERROR(set("unknown", gguf.unk_id, &parts->unk));
  RETURN_IF_ERROR(set("padding", gguf.pad_id, &parts->pad));
  RETURN_IF_ERROR(set("eot", gguf.eot_id, &eot));
  RETURN_IF_ERROR(set("eom", gguf.eom_id, &eom));
  for (const auto& id : {parts->eos, eot, eom}) {
    if (id) parts->end_ids.push_back(*id);
  }
  std::sort(parts->end_ids.begin(), parts->end_ids.end());
  parts->end_ids.erase(std::unique(parts->end_ids.begin(), parts->end_ids.end()), parts->end_ids.end());
  return OkStatus();
}

Status LoadGpt2(const GgufVocab& gguf, const PreRule& rule, TokenizerParts* parts) {
  std::vector<std::unique_ptr<PreTokenizer>> splits;
  for (const std::string_view pattern : rule.patterns) {
    ASSIGN_OR_RETURN(Regex regex, CompileOniguruma(pattern));
    splits.push_back(MakeSplit(TextPattern{{}, std::move(regex)}, SplitBehavior::kIsolated, /*invert=*/false));
  }
  parts->pre_tokenizer = MakePreTokenizerSequence(std::move(splits));
  std::vector<std::pair<std::string_view, std::string_view>> merges;
  merges.reserve(gguf.merges.size());
  for (size_t i = 0; i < gguf.merges.size(); ++i) {
    const std::string_view merge = gguf.merges[i];
    const size_t space = merge.find(' ', 1);  // the left part is never empty
    if (space == merge.npos) {
      return InvalidArgument("tokenizer.ggml.merges[{}]: got {}, want \"left right\"", i, JsonToText(gguf.merges[i]));
    }
    merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  BpeOptions options;
  options.byte_level = true;
  options.ignore_merges = rule.ignore_merges;
  options.hidden = parts->special;
  auto model = MakeBpeModel(&parts->vocab, merges, options);
  if (!model.ok()) return Annotate(model.status(), "tokenizer.ggml");
  parts->model = std::move(*model);
  // Tokens outside the byte alphabet are stored as plain text.
  std::vector<bool> raw(gguf.tokens.size(), false);
  for (size_t i = 0; i < raw.size(); ++i) raw[i] = TypeOf(gguf, i) == kUser || TypeOf(gguf, i) == kControl;
  DecodeStep step{};
  step.kind = DecodeStep::kByteLevel;
  ASSIGN_OR_RETURN(parts->decoder, Decoder::Compile({step}, "", std::move(raw)));
  return OkStatus();
}

Status LoadLlama(const GgufVocab& gguf, bool prefix_space, TokenizerParts* parts) {
  if (gguf.scores.empty()) return InvalidArgument("tokenizer.ggml.scores: missing, the llama model merges by them");
  auto model = MakeSpmModel(&parts->vocab, gguf.scores, parts->unk.value_or(-1));
  if (!model.ok()) return Annotate(model.status(), "tokenizer.ggml");
  parts->model = std::move(*model);
  std::vector<DecodeStep> steps;
  steps.push_back({DecodeStep::kReplace, kSpmSpace, kSpace, 0, 0, false});
  steps.push_back({DecodeStep::kByteFallback, {}, {}, 0, 0, false});
  steps.push_back({DecodeStep::kFuse, {}, {}, 0, 0, false});
  steps.push_back({DecodeStep::kStrip, kSpace, {}, prefix_space ? 1 : 0, 0, false});
  ASSIGN_OR_RETURN(parts->decoder, Decoder::Compile(std::move(steps), "", {}));
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<TokenizerParts>> LoadGgufVocab(const GgufVocab& gguf) {
  RETURN_IF_ERROR(CheckArrays(gguf));
  const bool llama = gguf.model == "llama";
  if (!llama && gguf.model != "gpt2") {
    return FailedPrecondition("tokenizer.ggml.model: {} is not supported, want gpt2 or llama", JsonToText(gguf.model));
  }
  const PreRule* rule = nullptr;
  if (!llama) {
    ASSIGN_OR_RETURN(rule, FindRule(gguf.pre));
  }
  auto parts = std::make_unique<TokenizerParts>(static_cast<int64_t>(gguf.tokens.size()));
  std::vector<AddedToken> added;
  RETURN_IF_ERROR(FillVocab(gguf, parts.get(), &added));
  RETURN_IF_ERROR(LoadIds(gguf, parts.get()));
  RETURN_IF_ERROR(SetAddedTokens(std::move(added), parts.get()));
  if (llama) {
    const bool prefix_space = gguf.add_space_prefix.value_or(true);
    std::vector<std::unique_ptr<Normalizer>> normalizers;
    if (prefix_space) normalizers.push_back(MakePrepend(kSpace));
    normalizers.push_back(MakeReplace(TextPattern{kSpace, std::nullopt}, kSpmSpace));
    parts->normalizer = MakeNormalizerSequence(std::move(normalizers));
    RETURN_IF_ERROR(LoadLlama(gguf, prefix_space, parts.get()));
  } else {
    if (rule->nfc) parts->normalizer = MakeUnicodeNormalizer(UnicodeForm::kNfc);
    RETURN_IF_ERROR(LoadGpt2(gguf, *rule, parts.get()));
  }
  if (parts->bos && gguf.add_bos.value_or(llama || rule->add_bos)) parts->prefix = {*parts->bos};
  if (parts->eos && gguf.add_eos.value_or(false)) parts->suffix = {*parts->eos};
  parts->chat_template = gguf.chat_template;
  return parts;
}

}  // namespace bitrate::text
