#include <array>
#include <bit>
#include <cmath>

#include "engine/text/bpe_model.h"
#include "engine/text/merge_loop.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

// Maps a score to a rank so that a higher score is a lower rank.
uint32_t RankOf(float score) {
  const uint32_t bits = std::bit_cast<uint32_t>(score == 0 ? 0.0f : score);
  const uint32_t ascending = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return ~ascending;
}

class SpmModel final : public TokenModel {
 public:
  SpmModel(const Vocab* vocab, const std::vector<float>& scores, int32_t unk_id) : vocab_(vocab), unk_id_(unk_id) {
    ranks_.reserve(scores.size());
    for (const float score : scores) ranks_.push_back(RankOf(score));
    for (int b = 0; b < 256; ++b) byte_ids_[static_cast<size_t>(b)] = vocab->FindByte(static_cast<uint8_t>(b));
    for (int32_t id = 0; id < vocab->size(); ++id) cuts_.AddToken(vocab->Text(id));
  }

  Status Encode(std::string_view piece, ModelScratch* scratch, std::vector<int32_t>* out) const override {
    const auto fill = [&](std::string_view word, std::vector<int32_t>* ids) { EncodeWord(word, scratch, ids); };
    for (size_t pos = 0; pos < piece.size();) {
      const size_t end = cuts_.Next(piece, pos);
      EncodeCached(piece.substr(pos, end - pos), scratch, out, fill);
      pos = end;
    }
    return OkStatus();
  }

 private:
  void EncodeWord(std::string_view word, ModelScratch* scratch, std::vector<int32_t>* out) const {
    scratch->symbols.clear();
    for (size_t pos = 0; pos < word.size();) {
      const size_t length = CodePointBytes(word[pos]);
      PushSymbol(vocab_->Find(word.substr(pos, length)), pos, length, &scratch->symbols);
      pos += length;
    }
    MergeAll(scratch, [&](const MergeSymbol& left, const MergeSymbol& right) {
      const int32_t id = vocab_->Find(word.substr(left.begin, left.length + right.length));
      return id < 0 ? MergeResult{} : MergeResult{true, ranks_[static_cast<size_t>(id)], id};
    });
    for (const MergeSymbol& symbol : scratch->symbols) {
      if (symbol.length == 0) continue;
      if (symbol.id >= 0) {
        out->push_back(symbol.id);
        continue;
      }
      for (const char b : word.substr(symbol.begin, symbol.length)) {
        const int32_t id = byte_ids_[static_cast<uint8_t>(b)];
        if (id >= 0 || unk_id_ >= 0) out->push_back(id >= 0 ? id : unk_id_);
      }
    }
  }

  const Vocab* const vocab_;
  const int32_t unk_id_;
  std::vector<uint32_t> ranks_;
  std::array<int32_t, 256> byte_ids_{};
  SafeCuts cuts_;
};

}  // namespace

StatusOr<std::unique_ptr<TokenModel>> MakeSpmModel(const Vocab* vocab, std::vector<float> scores, int32_t unk_id) {
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i])) return InvalidArgument("scores[{}] is not a number", i);
  }
  scores.resize(static_cast<size_t>(vocab->size()), 0.0f);
  return std::unique_ptr<TokenModel>(std::make_unique<SpmModel>(vocab, scores, unk_id));
}

}  // namespace bitrate::text
