// The weights behind DecoderModel; internal to engine/model. Filled by decoder_load.cc, then immutable.
#ifndef BITRATE_ENGINE_MODEL_DECODER_IMPL_H_
#define BITRATE_ENGINE_MODEL_DECODER_IMPL_H_

#include <memory>
#include <vector>

#include "engine/model/decoder_model.h"
#include "engine/model/rope_tables.h"

namespace bitrate {

using LinearPtr = std::shared_ptr<const LinearOp>;

struct Expert {
  LinearPtr gate_up;  // [2 * expert_size, hidden]
  LinearPtr down;     // [hidden, expert_size]
};

struct DecoderLayer {
  std::vector<float> input_norm;           // [hidden], of pre-norms
  LinearPtr qkv;                           // [(H + 2 Hkv) * D, hidden]
  std::vector<float> q_norm, k_norm;       // [D] of a head, [H * D] and [Hkv * D] of a projection, or empty
  LinearPtr o;                             // [hidden, H * D]
  std::vector<float> attention_post_norm;  // [hidden], of post-norms
  std::vector<float> mlp_norm;             // [hidden], of pre-norms
  LinearPtr gate_up;                       // [2 * inter, hidden]
  LinearPtr down;                          // [hidden, inter]
  LinearPtr router;                        // [experts, hidden], then gate_up and down are null
  std::vector<Expert> experts;
  std::vector<float> mlp_post_norm;  // [hidden], of post-norms
  AttentionSpec attention;
  bool local_rope = false;
  bool has_experts = false;
};

struct DecoderModel::Impl {
  const Backend* backend = nullptr;  // outlives the model
  ModelConfig config;
  Precision precision;
  int64_t max_context = 0;
  KvGeometry kv;
  RopeTables rope, local_rope;
  LinearPtr embedding;  // the same operator as `head` where they are tied
  LinearPtr head;
  std::vector<DecoderLayer> layers;
  std::vector<float> final_norm;
  uint64_t weight_bytes = 0;
  uint64_t unique_weight_bytes = 0;
  uint64_t mapped_weight_bytes = 0;
  double weight_bits = 0;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_MODEL_DECODER_IMPL_H_
