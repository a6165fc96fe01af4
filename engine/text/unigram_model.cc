#include "engine/text/unigram_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "engine/text/byte_trie.h"
#include "engine/text/utf8.h"

namespace bitrate::text {
namespace {

constexpr double kUnknownPenalty = 10.0;  // SentencePiece's: below the worst token by this much

class UnigramModel final : public TokenModel {
 public:
  UnigramModel(const Vocab* vocab, std::vector<double> scores, int32_t unk_id, bool byte_fallback,
               const HiddenIds& hidden)
      : scores_(std::move(scores)), unk_id_(unk_id), byte_fallback_(byte_fallback) {
    std::vector<std::pair<std::string_view, int32_t>> keys;
    double lowest = std::numeric_limits<double>::infinity();
    for (size_t id = 0; id < scores_.size(); ++id) {
      if (!IsHidden(hidden, static_cast<int32_t>(id)))
        keys.emplace_back(vocab->Text(static_cast<int64_t>(id)), static_cast<int32_t>(id));
      lowest = std::min(lowest, scores_[id]);
    }
    unknown_score_ = lowest - kUnknownPenalty;
    trie_ = ByteTrie::Build(std::move(keys));
    for (int b = 0; b < 256; ++b) byte_ids_[static_cast<size_t>(b)] = vocab->FindByte(static_cast<uint8_t>(b));
  }

  Status Encode(std::string_view piece, ModelScratch* scratch, std::vector<int32_t>* out) const override;

 private:
  struct Node {
    double score = 0;
    uint32_t begin = kUnreached;
    int32_t id = -1;
  };
  static constexpr uint32_t kUnreached = UINT32_MAX;

  // nodes [piece.size() + 1]: the best way to reach each byte.
  std::vector<Node> BestPath(std::string_view piece) const;
  Status AppendUnknown(std::string_view part, std::vector<int32_t>* reversed) const;

  const std::vector<double> scores_;
  const int32_t unk_id_;
  const bool byte_fallback_;
  double unknown_score_ = 0;
  ByteTrie trie_;
  std::array<int32_t, 256> byte_ids_{};
};

std::vector<UnigramModel::Node> UnigramModel::BestPath(std::string_view piece) const {
  std::vector<Node> nodes(piece.size() + 1);
  for (size_t pos = 0; pos < piece.size();) {
    const double here = nodes[pos].score;
    const size_t one = CodePointBytes(piece[pos]);
    bool has_single = false;
    const auto offer = [&](size_t end, double score, int32_t id) {
      Node& node = nodes[end];
      if (node.begin == kUnreached || score > node.score) node = {score, static_cast<uint32_t>(pos), id};
    };
    trie_.ForEachPrefix(piece, pos, [&](int32_t id, size_t length) {
      offer(pos + length, here + scores_[static_cast<size_t>(id)], id);
      has_single = has_single || length == one;
    });
    if (!has_single) offer(pos + one, here + unknown_score_, unk_id_);
    pos += one;
  }
  return nodes;
}

Status UnigramModel::AppendUnknown(std::string_view part, std::vector<int32_t>* reversed) const {
  if (byte_fallback_ &&
      std::all_of(part.begin(), part.end(), [&](char b) { return byte_ids_[static_cast<uint8_t>(b)] >= 0; })) {
    for (auto it = part.rbegin(); it != part.rend(); ++it) reversed->push_back(byte_ids_[static_cast<uint8_t>(*it)]);
    return OkStatus();
  }
  if (unk_id_ < 0)
    return InvalidArgument("the vocabulary cannot write {} and has no unknown token", JsonToText(std::string(part)));
  reversed->push_back(unk_id_);
  return OkStatus();
}

Status UnigramModel::Encode(std::string_view piece, ModelScratch* scratch, std::vector<int32_t>* out) const {
  const std::vector<Node> nodes = BestPath(piece);
  std::vector<int32_t>& reversed = scratch->ids;
  reversed.clear();
  size_t unknown_end = 0;  // end of the run of unknown parts that is being collected; 0 = none
  for (size_t end = piece.size(); end > 0;) {
    const Node& node = nodes[end];
    const bool unknown = node.id == unk_id_;
    if (unknown && unknown_end == 0) unknown_end = end;
    if (!unknown) {
      if (unknown_end != 0) RETURN_IF_ERROR(AppendUnknown(piece.substr(end, unknown_end - end), &reversed));
      unknown_end = 0;
      reversed.push_back(node.id);
    }
    end = node.begin;
  }
  if (unknown_end != 0) RETURN_IF_ERROR(AppendUnknown(piece.substr(0, unknown_end), &reversed));
  out->insert(out->end(), reversed.rbegin(), reversed.rend());
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<TokenModel>> MakeUnigramModel(const Vocab* vocab, std::vector<double> scores, int32_t unk_id,
                                                       bool byte_fallback, const HiddenIds& hidden) {
  for (size_t id = 0; id < scores.size(); ++id) {
    if (!std::isfinite(scores[id])) return InvalidArgument("vocab[{}]: score {} is not finite", id, scores[id]);
    const std::string_view token = vocab->Text(static_cast<int64_t>(id));
    if (token.size() > limits::kMaxMatchedTokenBytes) {
      return InvalidArgument("vocab[{}]: token of {} bytes, the limit is {}", id, token.size(),
                             limits::kMaxMatchedTokenBytes);
    }
  }
  return std::unique_ptr<TokenModel>(
      std::make_unique<UnigramModel>(vocab, std::move(scores), unk_id, byte_fallback, hidden));
}

}  // namespace bitrate::text
