// Rows of codes as the quantizing tools of Hugging Face folders define them (GPTQ, AWQ, bitsandbytes,
// compressed-tensors), brought to one form:
//   w[n, k] = value(code[n, k]) * scale[n, g], g the group of k, in f32: the value is exact, the product rounds once.
//   affine: value = code - zero, an integer; the zero of the layout, or one of each row and group.
//   table:  value = table[code].
// A row's bytes: its codes (two a byte for 4 bits, the even k in the low nibble; one a byte for 8), zeros up to four
// bytes, scales [G] f32, zeros [G] u8 where each group has one, padding to four bytes. Rows adjoin, so that a
// WeightMatrix of format kCoded is n such rows.
// Thread rule: values, immutable once shared; pure functions.
// Sources: the formats' own dequantization (reference: quantization 2.1 to 2.4), each golden to the bit.
#ifndef BITRATE_ENGINE_FORMAT_CODED_ROWS_H_
#define BITRATE_ENGINE_FORMAT_CODED_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/format/group_quant.h"

namespace bitrate {

struct CodedLayout {
  std::string name;               // as users know it: "GPTQ-int4-g128"
  int code_bits = 4;              // of a code here: 4 or 8 (codes of two and three bits take 4)
  int source_bits = 4;            // of a code in its file: 2, 3, 4 ... 8
  double bits_per_weight = 0;     // in its file, scales and zeros included
  int64_t group_size = 0;         // along K, at least 1; the last group may be short
  std::vector<int32_t> group_of;  // [K] the group of each k where groups are no runs of K (act-order), else empty
  std::vector<float> table;       // [2^code_bits], or empty: affine
  int zero = 0;                   // affine: what is taken from every code
  bool zero_per_group = false;    // affine: each row and group has its own instead
  bool fp16_scales = false;       // every scale is a value that fp16 holds
  bool int8_activations = false;  // its tool multiplies with activations in int8, one scale a token (W8A8)

  int64_t NumGroups(int64_t k) const { return (k + group_size - 1) / group_size; }
  int64_t CodeBytes(int64_t k) const { return (k * code_bits / 8 + k * code_bits % 8 / 4 + 3) / 4 * 4; }
  int64_t RowBytes(int64_t k) const {
    return CodeBytes(k) + NumGroups(k) * 4 + (zero_per_group ? (NumGroups(k) + 3) / 4 * 4 : 0);
  }
  bool is_table() const { return !table.empty(); }
};

// The parts of one row, in its bytes.
struct CodedRow {
  uint8_t* codes = nullptr;
  float* scale = nullptr;   // [G]
  uint8_t* zero = nullptr;  // [G], zero_per_group only
};
CodedRow RowParts(const CodedLayout& layout, int64_t k, std::byte* row);

// Storage for n rows, zeros; aligned so that RowParts of every row is.
std::shared_ptr<std::vector<std::byte>> MakeCodedRows(const CodedLayout& layout, int64_t n, int64_t k);

inline int CodeAt(const uint8_t* codes, int code_bits, int64_t k) {
  if (code_bits == 8) return codes[k];
  return k % 2 == 0 ? codes[k / 2] & 15 : codes[k / 2] >> 4;
}

// out [K] f32, exactly.
void DecodeCodedRow(const CodedLayout& layout, int64_t k, const std::byte* row, float* out);

// What of the normalised kernels' forms holds the layout without loss: 4-bit codes with an integer zero in 0 .. 15 and
// groups that are runs of 32, 64 or 128 (longer ones are cut, each piece with its group's scale); 8-bit codes with
// zero 128, one scale a row.
bool FitsInt4(const CodedLayout& layout, int64_t k);
bool FitsInt8Channel(const CodedLayout& layout, int64_t k);
int64_t Int4GroupSize(const CodedLayout& layout, int64_t k);  // of FitsInt4

struct WeightMatrix;
// Rows [begin, end) of a kCoded matrix that fits; they dequantize to exactly the values of DecodeCodedRow.
Int4Matrix CodedToInt4(const WeightMatrix& matrix, int64_t begin, int64_t end);
Int8Matrix CodedToInt8(const WeightMatrix& matrix, int64_t begin, int64_t end);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_FORMAT_CODED_ROWS_H_
