// A checkpoint on disk, whatever its container: a GGUF v3 file, or a Hugging Face folder (config.json + safetensors,
// single or sharded; plain or quantized by GPTQ, AWQ, bitsandbytes or compressed-tensors). Opening reads headers only;
// tensor bytes are memory-mapped. Quantized matrices of folders are brought to rows of codes when they are asked for.
//
// Thread rule: immutable after Open; safe from any thread.
// Not handled: a file truncated by somebody else while it is mapped (replace model files by rename, never in place).
// A folder is read from inside only: names from an index may not leave it, and symbolic links must stay in it or follow
// the layout of the Hugging Face cache (snapshots/REV/file -> ../../blobs/HASH).
// Errors: INVALID_ARGUMENT or DATA_LOSS naming file, tensor or field for anything malformed (truncated, overlapping,
// overflowing, unknown type); NOT_FOUND for a missing file; FAILED_PRECONDITION for honest but unsupported content.
// Sources: reference formats of GGUF v3 and safetensors (quantization 2.5, 2.6).
#ifndef BITRATE_ENGINE_ARTIFACT_CHECKPOINT_H_
#define BITRATE_ENGINE_ARTIFACT_CHECKPOINT_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"
#include "engine/format/weight_matrix.h"

namespace bitrate {

class GgufMetadata;  // engine/artifact/gguf_metadata.h: typed key-value access

struct TensorInfo {
  std::string name;  // as in the file
  std::string
      canonical_name;  // Hugging Face name ("model.layers.0.self_attn.q_proj.weight"); equals name in HF folders
  QuantFormatId format;
  std::vector<int64_t> shape;  // slowest dimension first: [N, K] for a matrix
  uint64_t bytes = 0;
  // The type as its container names it ("F32", "I64", "Q4_K"). Folders may hold tensors that are no weights (integers,
  // bool, f64, fp8): they are listed with is_weight false, `format` means nothing then, and Matrix and Vector refuse
  // them by name.
  std::string type_name;
  bool is_weight = true;
  // Of kCoded: what the headers say of it. The tensor stands for several of the file's, whose bytes are counted here.
  std::shared_ptr<const CodedLayout> coded = nullptr;
};

class Checkpoint {
 public:
  enum class Kind { kGguf, kHuggingFace };

  // `path`: a .gguf file, a folder with config.json, or a folder holding exactly one .gguf.
  static StatusOr<std::shared_ptr<const Checkpoint>> Open(const std::string& path);

  virtual ~Checkpoint() = default;
  // Whether it has matrices of other types than f32, f16 and bf16.
  bool IsQuantized() const;
  virtual Kind kind() const = 0;
  virtual const std::string& path() const = 0;
  virtual const std::vector<TensorInfo>& tensors() const = 0;

  // Model configuration in Hugging Face style (keys of config.json, including "model_type" or "architectures",
  // generation_config's eos_token_id merged under "generation_eos_token_id"). For GGUF it is made from the metadata:
  // hidden_size, num_attention_heads, rope_parameters ... so that one mapping in engine/model serves both.
  virtual const nlohmann::json& config() const = 0;

  // By canonical (Hugging Face) name; Has is false for a tensor that is not there (e.g. lm_head of a tied model).
  virtual bool Has(std::string_view canonical_name) const = 0;

  // A 2-D tensor. Rows are in Hugging Face order: llama-architecture GGUF files store Q/K rows permuted for interleaved
  // rope; they are un-permuted here (a copy), everything else points into the mapping.
  virtual StatusOr<WeightMatrix> Matrix(std::string_view canonical_name) const = 0;

  // A 1-D tensor (norm weight, bias), decoded to f32; q/k biases are un-permuted like their matrices.
  virtual StatusOr<std::vector<float>> Vector(std::string_view canonical_name) const = 0;

  // Any tensor decoded to f32 exactly, by canonical name (values un-permuted) or by the name in the file (values as
  // stored); `shape` gets its shape. For `inspect --tensor`.
  virtual StatusOr<std::vector<float>> Decode(std::string_view name, std::vector<int64_t>* shape) const = 0;

  // Where the tokenizer comes from: text of tokenizer.json and tokenizer_config.json (empty when absent) and of
  // chat_template.jinja for a folder; null metadata for a folder.
  virtual const std::string& tokenizer_json() const = 0;
  virtual const std::string& tokenizer_config_json() const = 0;
  virtual const std::string& chat_template_jinja() const = 0;
  virtual const GgufMetadata* gguf_metadata() const = 0;

  // A digest of names, types, shapes and file sizes (cheap; not of the bytes): hex.
  virtual std::string digest() const = 0;

  // Stands for the bytes of all tensors without reading them all: digest(), the files' inodes and times, and a sample
  // of their pages. Empty where that would not do: no files, or files changed so shortly before `now` that another
  // change could leave the same times.
  virtual std::string source_identity(std::chrono::system_clock::time_point) const { return {}; }

  // Gives the resident pages of the mapped files back to the system; the next access reads them again.
  virtual void ReleasePages() const {}
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_CHECKPOINT_H_
