// Loads a Hugging Face tokenizer.json with its tokenizer_config.json.
#include <algorithm>

#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/text/bpe_model.h"
#include "engine/text/component_json.h"
#include "engine/text/component_reader.h"
#include "engine/text/tokenizer_config.h"
#include "engine/text/tokenizer_parts.h"
#include "engine/text/unigram_model.h"

namespace bitrate::text {
namespace {

using nlohmann::json;
using MergeList = std::vector<std::pair<std::string_view, std::string_view>>;

Status FillBpeVocab(const json& model, Vocab* vocab) {
  ASSIGN_OR_RETURN(const json* entries, GetObject(model, "vocab"));
  for (const auto& [token, value] : entries->items()) {
    ASSIGN_OR_RETURN(const int64_t id, JsonToInt(value, "vocab"));
    RETURN_IF_ERROR(Annotate(vocab->Add(token, id), "vocab"));
  }
  return OkStatus();
}

// vocab [[token, score], ...]: the index is the id.
Status FillUnigramVocab(const json& model, Vocab* vocab, std::vector<double>* scores) {
  ASSIGN_OR_RETURN(const json* entries, GetArray(model, "vocab"));
  scores->reserve(entries->size());
  for (size_t i = 0; i < entries->size(); ++i) {
    const json& entry = (*entries)[i];
    const auto place = [&] { return fmt::format("vocab[{}]", i); };
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string()) {
      return InvalidArgument("{}: want [token, score]", place());
    }
    ASSIGN_OR_RETURN(const double score, JsonToFloat(entry[1], place()));
    scores->push_back(score);
    RETURN_IF_ERROR(Annotate(vocab->Add(entry[0].get_ref<const std::string&>(), static_cast<int64_t>(i)), place()));
  }
  return OkStatus();
}

// Merges as ["a", "b"] or "a b". The views point into `model`.
StatusOr<MergeList> ReadMerges(const json& model) {
  ASSIGN_OR_RETURN(const json* entries, GetArray(model, "merges"));
  if (entries->size() > limits::kMaxMerges) {
    return InvalidArgument("merges: {} entries, the limit is {}", entries->size(), limits::kMaxMerges);
  }
  MergeList merges;
  merges.reserve(entries->size());
  for (size_t i = 0; i < entries->size(); ++i) {
    const json& entry = (*entries)[i];
    if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
      merges.emplace_back(entry[0].get_ref<const std::string&>(), entry[1].get_ref<const std::string&>());
      continue;
    }
    const std::string_view text = entry.is_string() ? entry.get_ref<const std::string&>() : std::string_view();
    const size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos) {
      return InvalidArgument("merges[{}]: got {}, want [left, right] or \"left right\"", i, JsonToText(entry));
    }
    merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return merges;
}

Status RefuseNonEmpty(const json& model, std::string_view key) {
  ASSIGN_OR_RETURN(const std::optional<std::string> value, FindString(model, key));
  if (value && !value->empty()) return FailedPrecondition("{}: {} is not supported", key, JsonToText(*value));
  return OkStatus();
}

Status LoadBpe(const json& model, bool byte_level, TokenizerParts* parts) {
  RETURN_IF_ERROR(RefuseNonEmpty(model, "continuing_subword_prefix"));
  RETURN_IF_ERROR(RefuseNonEmpty(model, "end_of_word_suffix"));
  ASSIGN_OR_RETURN(const std::optional<double> dropout, FindFloat(model, "dropout"));
  if (dropout && *dropout != 0) return FailedPrecondition("dropout: {} is not supported", *dropout);
  BpeOptions options;
  options.byte_level = byte_level;
  options.hidden = parts->special;
  ASSIGN_OR_RETURN(options.byte_fallback, BoolOr(model, "byte_fallback", false));
  ASSIGN_OR_RETURN(options.ignore_merges, BoolOr(model, "ignore_merges", false));
  ASSIGN_OR_RETURN(options.fuse_unk, BoolOr(model, "fuse_unk", false));
  if (byte_level && options.byte_fallback) {
    return FailedPrecondition("byte_fallback with a ByteLevel pre-tokenizer is not supported");
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> unk, FindString(model, "unk_token"));
  if (unk) {
    // Files exist that name an unknown token they do not have; it is only missed when it is needed.
    options.unk_id = parts->vocab.Find(*unk);
    if (options.unk_id >= 0) parts->unk = options.unk_id;
  }
  ASSIGN_OR_RETURN(const MergeList merges, ReadMerges(model));
  ASSIGN_OR_RETURN(parts->model, MakeBpeModel(&parts->vocab, merges, options));
  return OkStatus();
}

Status LoadUnigram(const json& model, bool byte_level, std::vector<double> scores, TokenizerParts* parts) {
  if (byte_level) return FailedPrecondition("Unigram with a ByteLevel pre-tokenizer is not supported");
  ASSIGN_OR_RETURN(const std::optional<int64_t> unk, FindInt(model, "unk_id"));
  if (unk && (*unk < 0 || *unk >= static_cast<int64_t>(scores.size()))) {
    return InvalidArgument("unk_id: {} is outside the vocabulary of {}", *unk, scores.size());
  }
  if (unk) parts->unk = static_cast<int32_t>(*unk);
  ASSIGN_OR_RETURN(const bool byte_fallback, BoolOr(model, "byte_fallback", false));
  ASSIGN_OR_RETURN(parts->model,
                   MakeUnigramModel(&parts->vocab, std::move(scores), static_cast<int32_t>(unk.value_or(-1)),
                                    byte_fallback, parts->special));
  return OkStatus();
}

StatusOr<AddedToken> ReadAddedToken(const json& entry) {
  AddedToken token;
  ASSIGN_OR_RETURN(const int64_t id, GetIntInRange(entry, "id", 0, limits::kMaxVocab - 1));
  token.id = static_cast<int32_t>(id);
  ASSIGN_OR_RETURN(token.content, GetString(entry, "content"));
  ASSIGN_OR_RETURN(token.single_word, BoolOr(entry, "single_word", false));
  ASSIGN_OR_RETURN(token.lstrip, BoolOr(entry, "lstrip", false));
  ASSIGN_OR_RETURN(token.rstrip, BoolOr(entry, "rstrip", false));
  ASSIGN_OR_RETURN(token.special, BoolOr(entry, "special", false));
  ASSIGN_OR_RETURN(token.normalized, BoolOr(entry, "normalized", !token.special));
  return token;
}

// Adds what the vocabulary lacks. A token that it has keeps the vocabulary's id, as in Hugging Face.
Status ReadAddedTokens(const json* entries, TokenizerParts* parts, std::vector<AddedToken>* tokens) {
  for (size_t i = 0; entries != nullptr && i < entries->size(); ++i) {
    const std::string place = fmt::format("added_tokens[{}]", i);
    auto token = ReadAddedToken((*entries)[i]);
    if (!token.ok()) return Annotate(token.status(), place);
    if (token->content.empty()) continue;
    const int32_t known = parts->vocab.FindAny(token->content);
    if (known >= 0) {
      token->id = known;
    } else {
      RETURN_IF_ERROR(Annotate(parts->vocab.AddExtra(token->content, token->id), place));
    }
    tokens->push_back(std::move(*token));
  }
  return OkStatus();
}

Status CheckAround(const TokenizerParts& parts) {
  for (const auto* ids : {&parts.prefix, &parts.suffix}) {
    for (const int32_t id : *ids) {
      if (!parts.vocab.Has(id)) return InvalidArgument("post_processor: id {} is no token's", id);
    }
  }
  return OkStatus();
}

}  // namespace

Status SetAddedTokens(std::vector<AddedToken> tokens, TokenizerParts* parts) {
  parts->special.assign(static_cast<size_t>(parts->vocab.size()), false);
  for (const AddedToken& token : tokens) parts->special[static_cast<size_t>(token.id)] = token.special;
  ASSIGN_OR_RETURN(parts->added, AddedTokens::Build(std::move(tokens), parts->normalizer.get()));
  return OkStatus();
}

StatusOr<std::unique_ptr<TokenizerParts>> LoadTokenizerJson(std::string_view tokenizer_json,
                                                            std::string_view tokenizer_config_json) {
  ASSIGN_OR_RETURN(const json root, ParseJson(tokenizer_json, "tokenizer.json"));
  const auto place = [](const Status& status) { return Annotate(status, "tokenizer.json"); };
  auto model = GetObject(root, "model");
  if (!model.ok()) return place(model.status());
  auto load = [&]() -> StatusOr<std::unique_ptr<TokenizerParts>> {
    // Files before 2021 leave the type out; only BPE was so written by the models served here.
    ASSIGN_OR_RETURN(const std::optional<std::string> type, FindString(**model, "type"));
    const bool unigram = type == "Unigram";
    if (type && *type != "BPE" && !unigram) return Annotate(UnsupportedType(*type), "model");
    ASSIGN_OR_RETURN(const json* added, FindArray(root, "added_tokens"));
    const json* entries = FindField(**model, "vocab");
    const size_t num_entries = (entries == nullptr ? 0 : entries->size()) + (added == nullptr ? 0 : added->size());
    auto parts = std::make_unique<TokenizerParts>(static_cast<int64_t>(num_entries) + limits::kMaxVocabHoles);
    std::vector<double> scores;
    RETURN_IF_ERROR(Annotate(
        unigram ? FillUnigramVocab(**model, &parts->vocab, &scores) : FillBpeVocab(**model, &parts->vocab), "model"));
    ASSIGN_OR_RETURN(parts->normalizer, ReadNormalizer(FindField(root, "normalizer")));
    std::vector<AddedToken> tokens;
    RETURN_IF_ERROR(ReadAddedTokens(added, parts.get(), &tokens));
    RETURN_IF_ERROR(SetAddedTokens(std::move(tokens), parts.get()));
    ASSIGN_OR_RETURN(PreTokenizerSpec spec, ReadPreTokenizer(FindField(root, "pre_tokenizer")));
    parts->pre_tokenizer = std::move(spec.pre_tokenizer);
    RETURN_IF_ERROR(Annotate(unigram ? LoadUnigram(**model, spec.byte_level, std::move(scores), parts.get())
                                     : LoadBpe(**model, spec.byte_level, parts.get()),
                             "model"));
    ASSIGN_OR_RETURN(PostProcessor around, ReadPostProcessor(FindField(root, "post_processor")));
    parts->prefix = std::move(around.prefix);
    parts->suffix = std::move(around.suffix);
    RETURN_IF_ERROR(CheckAround(*parts));
    ASSIGN_OR_RETURN(parts->decoder, ReadDecoder(FindField(root, "decoder")));
    return parts;
  }();
  if (!load.ok()) return place(load.status());
  RETURN_IF_ERROR(ApplyTokenizerConfig(tokenizer_config_json, load->get()));
  return load;
}

}  // namespace bitrate::text
