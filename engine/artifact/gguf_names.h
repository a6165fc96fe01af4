// GGUF tensor names to Hugging Face names, and which tensors llama-architecture files store with permuted rows. Pure.
#ifndef BITRATE_ENGINE_ARTIFACT_GGUF_NAMES_H_
#define BITRATE_ENGINE_ARTIFACT_GGUF_NAMES_H_

#include <string>
#include <string_view>

namespace bitrate {

// Architectures whose names and configuration are mapped: llama, qwen2, qwen3, gemma3.
bool IsMappedGgufArchitecture(std::string_view architecture);

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight". A name without a mapping stays as it is.
std::string CanonicalTensorName(std::string_view architecture, std::string_view name);

// Q and K of the llama architecture: the converter interleaves the two halves of each head's rows for its rope.
enum class RowPermutation { kNone, kQueryHeads, kKeyHeads };
RowPermutation StoredPermutation(std::string_view architecture, std::string_view name);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_GGUF_NAMES_H_
