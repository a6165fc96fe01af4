// GGUF tensor names to Hugging Face names, and which tensors llama-architecture files store with permuted rows. Pure.
#ifndef BITRATE_ENGINE_ARTIFACT_GGUF_NAMES_H_
#define BITRATE_ENGINE_ARTIFACT_GGUF_NAMES_H_

#include <optional>
#include <string>
#include <string_view>

namespace bitrate {

// Architectures whose names and configuration are mapped: llama (with experts too), qwen2, qwen3, qwen3moe, gemma2,
// gemma3, phi3, olmo2, granite.
bool IsMappedGgufArchitecture(std::string_view architecture);

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight". A name without a mapping stays as it is.
std::string CanonicalTensorName(std::string_view architecture, std::string_view name);

// A tensor that stacks the experts of a layer, [experts, rows, columns]: expert i is `before` + i + `after` in Hugging
// Face's names, as "blk.3.ffn_up_exps.weight" is "model.layers.3.mlp.experts." + i + ".up_proj.weight".
struct ExpertNames {
  std::string before, after;
};
std::optional<ExpertNames> StackedExpertNames(std::string_view architecture, std::string_view name);

// Q and K of llama and granite: the converter interleaves the two halves of each head's rows for its rope.
enum class RowPermutation { kNone, kQueryHeads, kKeyHeads };
RowPermutation StoredPermutation(std::string_view architecture, std::string_view name);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_GGUF_NAMES_H_
