// A precision as users name it (DESIGN section 6): what a variant's weights and activations are.
//   fp32 | bf16 | fp16 | int8 | int8-token | int8-w8a16 | int4[-g32|-g64|-g128][-sym|-asym|-min][-w4a16] | nf4 | native
// Plain int4 keeps the grid of a 4-bit source and otherwise means int4-g64-sym; any of the group or offset suffixes
// forces new rounding from the decoded weights (-sym is the default offset, -asym is an integer zero). int8 keeps the
// codes of an 8-bit source with one scale a row likewise, nf4 those of a 4-bit codebook. native serves every matrix in
// the format that its file has it in: rows are multiplied by exactly the values that the file's own tool defines. A
// value type.
#ifndef BITRATE_ENGINE_FORMAT_PRECISION_H_
#define BITRATE_ENGINE_FORMAT_PRECISION_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/status.h"
#include "engine/format/group_quant.h"

namespace bitrate {

struct Precision {
  enum class Kind : uint8_t { kFp32, kBf16, kFp16, kInt8, kInt4, kNf4, kNative };
  enum class Activations : uint8_t {
    kFloat,       // f32 (fp32, fp16, weight-only) or bf16 (bf16)
    kInt8Groups,  // dynamic int8, one scale per 64 of K (int8) or per weight group (int4)
    kInt8Token,   // dynamic int8, one scale per token
  };

  Kind kind = Kind::kFp32;
  Activations activations = Activations::kFloat;
  int group_size = 0;                          // int4: 32, 64, 128
  Int4Offset offset = Int4Offset::kSymmetric;  // int4
  bool keep_source_grid = false;               // plain int4 (and int4-w4a16)

  // INVALID_ARGUMENT naming the accepted forms.
  static StatusOr<Precision> Parse(std::string_view name);
  std::string Name() const;                 // canonical; Parse(Name()) == *this
  std::string_view ActivationName() const;  // "f32", "bf16", "int8-group", "int8-token", "native"
  friend bool operator==(const Precision&, const Precision&) = default;
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_PRECISION_H_
