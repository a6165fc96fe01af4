// Coded matrices (engine/format/coded_rows.h) as the tensors of the formats that other tools read: GPTQ v2, AWQ "gemm"
// and compressed-tensors "pack-quantized". Codes, scales and zeros are moved, never rounded: what a format cannot hold
// is refused. quantized_tensors.h reads the same tensors.
// Thread rule: pure functions. Errors: FAILED_PRECONDITION naming the matrix and what the format lacks.
// Source: reference quantization 2.1, 2.2, 2.4.
#ifndef BITRATE_ENGINE_ARTIFACT_QUANTIZED_WRITER_H_
#define BITRATE_ENGINE_ARTIFACT_QUANTIZED_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/base/dtype.h"
#include "engine/base/status.h"
#include "engine/format/weight_matrix.h"

namespace bitrate {

enum class QuantizedFormat : uint8_t { kGptqV2, kAwqGemm, kPackQuantized };

struct EncodedTensor {
  std::string name;
  DType dtype = DType::kI32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

// `matrix` (format kCoded, affine) without its ".weight", and a suffix for each tensor. GPTQ holds codes of 2, 3, 4 and
// 8 bits and any order of groups; AWQ 4 bits in whole groups; compressed-tensors 4 and 8 bits and any order. GPTQ and
// AWQ want scales that fp16 holds; compressed-tensors takes them in bf16, fp16 or f32, the first that holds them all.
StatusOr<std::vector<EncodedTensor>> EncodeQuantized(QuantizedFormat format, const WeightMatrix& matrix);

// config.json's "quantization_config" for matrices of this layout.
nlohmann::json MakeQuantizationConfig(QuantizedFormat format, const CodedLayout& layout);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_ARTIFACT_QUANTIZED_WRITER_H_
