#include "engine/text/bpe_model.h"

#include <absl/container/flat_hash_map.h>

#include <array>
#include <deque>
#include <optional>

#include "engine/base/json.h"
#include "engine/text/byte_level.h"
#include "engine/text/merge_loop.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

using MergeList = std::vector<std::pair<std::string_view, std::string_view>>;

class BpeModel final : public TokenModel {
 public:
  BpeModel(const Vocab* vocab, const BpeOptions& options) : vocab_(vocab), options_(options) {}

  Status Load(const MergeList& merges);
  Status Encode(std::string_view piece, ModelScratch* scratch, std::vector<int32_t>* out) const override;

 private:
  static uint64_t Key(int32_t left, int32_t right) {
    return (uint64_t{static_cast<uint32_t>(left)} << 32) | static_cast<uint32_t>(right);
  }
  Status LoadMerges(const MergeList& merges);
  void LoadCuts(const MergeList& merges);
  void EncodeWord(std::string_view word, ModelScratch* scratch, std::vector<int32_t>* out) const;
  void PushBytes(std::string_view word, std::vector<MergeSymbol>* symbols) const;
  void PushCharacters(std::string_view word, std::vector<MergeSymbol>* symbols) const;

  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  const Vocab* const vocab_;
  const BpeOptions options_;
  absl::flat_hash_map<uint64_t, Merge> merges_;
  std::array<int32_t, 256> byte_ids_{};              // by byte: its symbol, or its fallback token; -1 where missing
  absl::flat_hash_map<std::string, int32_t> whole_;  // ignore_merges: what a piece may be, as the bytes of the piece
  std::optional<SafeCuts> cuts_;
};

Status BpeModel::LoadMerges(const MergeList& merges) {
  merges_.reserve(merges.size());
  std::string united;
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto& [left, right] = merges[i];
    united.assign(left).append(right);
    const int32_t left_id = vocab_->Find(left);
    const int32_t right_id = vocab_->Find(right);
    const int32_t id = vocab_->Find(united);
    if (left_id < 0 || right_id < 0 || id < 0) {
      const std::string_view missing = left_id < 0 ? left : right_id < 0 ? right : std::string_view(united);
      return InvalidArgument("merges[{}]: {} is not in the vocabulary", i, JsonToText(std::string(missing)));
    }
    if (IsHidden(options_.hidden, id)) continue;
    merges_.insert_or_assign(Key(left_id, right_id), Merge{static_cast<uint32_t>(i), id});
  }
  return OkStatus();
}

// Cuts are exact only where every character has a symbol of its own: with a complete byte fallback. Then nothing is
// dropped or fused across a cut, and no merge may start from a fallback token, whose text is not the character's.
void BpeModel::LoadCuts(const MergeList& merges) {
  if (options_.byte_level || !options_.byte_fallback) return;
  for (const int32_t id : byte_ids_) {
    if (id < 0) return;
  }
  SafeCuts cuts;
  std::string united;
  for (const auto& [left, right] : merges) {
    if (ParseByteToken(left) >= 0 || ParseByteToken(right) >= 0) return;
    united.assign(left).append(right);
    cuts.AddToken(united);
  }
  cuts_ = std::move(cuts);
}

Status BpeModel::Load(const MergeList& merges) {
  RETURN_IF_ERROR(LoadMerges(merges));
  for (int b = 0; b < 256; ++b) {
    std::string symbol;
    AppendUtf8(ByteToChar(static_cast<uint8_t>(b)), &symbol);
    byte_ids_[static_cast<size_t>(b)] =
        options_.byte_level ? vocab_->Find(symbol) : vocab_->FindByte(static_cast<uint8_t>(b));
  }
  LoadCuts(merges);
  if (options_.ignore_merges) {
    whole_.reserve(static_cast<size_t>(vocab_->size()));
    for (int32_t id = 0; id < vocab_->size(); ++id) {
      if (IsHidden(options_.hidden, id) || vocab_->Find(vocab_->Text(id)) != id) continue;
      std::string bytes;
      if (!options_.byte_level) {
        bytes = vocab_->Text(id);
      } else if (!TryByteLevelDecode(vocab_->Text(id), &bytes)) {
        continue;
      }
      if (!bytes.empty()) whole_.insert_or_assign(std::move(bytes), id);
    }
  }
  return OkStatus();
}

Status BpeModel::Encode(std::string_view piece, ModelScratch* scratch, std::vector<int32_t>* out) const {
  const auto fill = [&](std::string_view word, std::vector<int32_t>* ids) { EncodeWord(word, scratch, ids); };
  if (options_.ignore_merges) {
    const auto it = whole_.find(ToAbsl(piece));
    if (it != whole_.end()) {
      out->push_back(it->second);
      return OkStatus();
    }
  }
  for (size_t pos = 0; pos < piece.size();) {
    const size_t end = cuts_ ? cuts_->Next(piece, pos) : piece.size();
    EncodeCached(piece.substr(pos, end - pos), scratch, out, fill);
    pos = end;
  }
  return OkStatus();
}

void BpeModel::EncodeWord(std::string_view word, ModelScratch* scratch, std::vector<int32_t>* out) const {
  scratch->symbols.clear();
  if (options_.byte_level) {
    PushBytes(word, &scratch->symbols);
  } else {
    PushCharacters(word, &scratch->symbols);
  }
  MergeAll(scratch, [this](const MergeSymbol& left, const MergeSymbol& right) {
    const auto it = merges_.find(Key(left.id, right.id));
    return it == merges_.end() ? MergeResult{} : MergeResult{true, it->second.rank, it->second.id};
  });
  for (const MergeSymbol& symbol : scratch->symbols) {
    if (symbol.length > 0) out->push_back(symbol.id);
  }
}

void BpeModel::PushBytes(std::string_view word, std::vector<MergeSymbol>* symbols) const {
  bool after_unk = false;
  for (size_t pos = 0; pos < word.size(); ++pos) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(word[pos])];
    if (id >= 0) {
      PushSymbol(id, pos, 1, symbols);
    } else if (options_.unk_id >= 0 && !(after_unk && options_.fuse_unk)) {
      PushSymbol(options_.unk_id, pos, 1, symbols);
    }
    after_unk = id < 0;
  }
}

void BpeModel::PushCharacters(std::string_view word, std::vector<MergeSymbol>* symbols) const {
  // A pending unknown is written when the next known character, not fallback byte, comes: the order of the original.
  bool pending = false;
  const auto flush = [&](size_t pos) {
    if (pending) PushSymbol(options_.unk_id, pos, 1, symbols);
    pending = false;
  };
  for (size_t pos = 0; pos < word.size();) {
    const size_t length = CodePointBytes(word[pos]);
    const std::string_view c = word.substr(pos, length);
    const int32_t id = vocab_->Find(c);
    if (id >= 0) {
      flush(pos);
      PushSymbol(id, pos, length, symbols);
    } else {
      bool complete = options_.byte_fallback;
      for (const char b : c) complete = complete && byte_ids_[static_cast<uint8_t>(b)] >= 0;
      if (complete) {
        for (size_t k = 0; k < length; ++k) PushSymbol(byte_ids_[static_cast<uint8_t>(c[k])], pos + k, 1, symbols);
      } else if (options_.unk_id >= 0) {
        if (!options_.fuse_unk) flush(pos);
        pending = true;
      }
    }
    pos += length;
  }
  flush(word.size());
}

}  // namespace

StatusOr<std::unique_ptr<TokenModel>> MakeBpeModel(const Vocab* vocab, const MergeList& merges,
                                                   const BpeOptions& options) {
  auto model = std::make_unique<BpeModel>(vocab, options);
  RETURN_IF_ERROR(model->Load(merges));
  return std::unique_ptr<TokenModel>(std::move(model));
}

}  // namespace bitrate::text
