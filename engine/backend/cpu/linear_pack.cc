#include "engine/backend/cpu/linear_pack.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/check.h"
#include "engine/base/half.h"
#include "engine/format/blocks.h"
#include "engine/format/codebooks.h"
#include "engine/format/group_quant.h"
#include "engine/format/reference_codec.h"

namespace bitrate::linear {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Index, in elements, of (k, row) within a panel.
int64_t PairIndex(int64_t k, int row) { return ((k / 2) * kPanelRows + row) * 2 + k % 2; }
int64_t QuadIndex(int64_t k, int row) { return ((k / 4) * kPanelRows + row) * 4 + k % 4; }
int64_t NibbleByte(int64_t k, int row) { return ((k / 8) * kPanelRows + row) * 4 + k % 4; }

Int8Matrix ReadQ8_0(const WeightMatrix& matrix, int64_t begin, int64_t end) {
  Int8Matrix out{end - begin, matrix.k, kBlockElements, {}, {}};
  const int64_t blocks = matrix.k / kBlockElements;
  out.codes.resize(static_cast<size_t>(out.n * matrix.k));
  out.scale.resize(static_cast<size_t>(out.n * blocks));
  const std::byte* source = matrix.data.data() + begin * RowBytes(matrix.format, matrix.k);
  for (int64_t b = 0; b < out.n * blocks; ++b) {
    BlockQ8_0 block;
    std::memcpy(&block, source + b * static_cast<int64_t>(sizeof(block)), sizeof(block));
    out.scale[static_cast<size_t>(b)] = ToFloat(block.d);
    std::memcpy(out.codes.data() + b * kBlockElements, block.qs, sizeof(block.qs));
  }
  return out;
}

}  // namespace

// Writes runs of rows of one panel; one per worker. Rows are brought to the panel's order a cache line's worth of K at
// a time for all rows of the run, so that what is written stays in L1 until its lines are full.
class PackedWeights::Writer {
 public:
  Writer(const PackedWeights& packed, const std::array<std::byte*, 3>& planes) : packed_(packed), planes_(planes) {}

  // Rows [begin, end) of `matrix` become rows first, first + 1, ... of panel `index`.
  void WriteRows(const WeightMatrix& matrix, int64_t begin, int64_t end, int64_t index, int first) {
    panel_ = index;
    const Scheme& scheme = packed_.scheme_;
    if (scheme.repack && scheme.layout == Layout::kU4) return WriteInt4(RepackToInt4(matrix, begin, end), first);
    if (scheme.repack && scheme.layout == Layout::kT4) return WriteTable4(matrix, begin, end, first);
    if (scheme.repack && matrix.coded != nullptr) return WriteInt8(CodedToInt8(matrix, begin, end), first);
    if (scheme.repack) return WriteInt8(ReadQ8_0(matrix, begin, end), first);
    const int64_t count = end - begin, k = packed_.k_;
    rows_.resize(static_cast<size_t>(kPanelRows * k));
    DecodeRows(matrix, begin, end, rows_.data());
    const std::span<const float> values(rows_.data(), static_cast<size_t>(count * k));
    switch (scheme.layout) {
      case Layout::kU4:
        return WriteInt4(QuantizeInt4(values, count, k, scheme.group_size, scheme.offset), first);
      case Layout::kS8Channel:
      case Layout::kS8Group:
        return WriteInt8(QuantizeInt8(values, count, k, scheme.group_size == 0 ? k : scheme.group_size), first);
      case Layout::kF32:
        return Interleave(rows_.data(), k, count, first);
      case Layout::kBf16:
        return WriteBf16(count, first);
      case Layout::kFp16:
        return WriteFp16(count, first);
      case Layout::kT4:
        return WriteTable4(EncodeTable4(values, count), 0, count, first);
      case Layout::kSource:
        BITRATE_CHECK(false);
    }
  }

 private:
  std::byte* Codes() { return planes_[0] + panel_ * PanelCodeBytes(packed_.scheme_.layout, packed_.k_); }

  // out [K / unit][64] = rows [count, K / unit]: T is what the layout keeps together of a row (one f32 or fp16, two
  // bf16, four int8 codes, or eight nibbles).
  template <typename T>
  void Interleave(const T* rows, int64_t units, int64_t count, int first) {
    constexpr int64_t kLine = 64 / sizeof(T);
    T* out = reinterpret_cast<T*>(Codes()) + first;
    for (int64_t begin = 0; begin < units; begin += kLine) {
      const int64_t end = std::min(units, begin + kLine);
      for (int64_t r = 0; r < count; ++r) {
        const T* row = rows + r * units;
        for (int64_t i = begin; i < end; ++i) out[i * kPanelRows + r] = row[i];
      }
    }
  }

  // Room for `count` rows of `units` units of four bytes, zeros.
  uint8_t* StagedBytes(int64_t count, int64_t units) {
    staged_.assign(static_cast<size_t>(count * units), 0);
    return reinterpret_cast<uint8_t*>(staged_.data());
  }

  void WriteBf16(int64_t count, int first) {
    const int64_t k = packed_.k_, pairs = (k + 1) / 2;
    staged_.resize(static_cast<size_t>(count * pairs));
    const auto pair = [](uint32_t low, uint32_t high) { return low | high << 16; };
    for (int64_t r = 0; r < count; ++r) {
      const float* row = rows_.data() + r * k;
      uint32_t* out = staged_.data() + r * pairs;
      for (int64_t i = 0; i < k / 2; ++i) out[i] = pair(ToBf16(row[2 * i]).bits, ToBf16(row[2 * i + 1]).bits);
      if (k % 2 != 0) out[pairs - 1] = pair(ToBf16(row[k - 1]).bits, 0);
    }
    Interleave(staged_.data(), pairs, count, first);
  }

  void WriteFp16(int64_t count, int first) {
    const int64_t k = packed_.k_;
    halves_.resize(static_cast<size_t>(count * k));
    for (int64_t i = 0; i < count * k; ++i) {
      halves_[static_cast<size_t>(i)] = ToFp16(rows_[static_cast<size_t>(i)]).bits;
    }
    Interleave(halves_.data(), k, count, first);
  }

  void WriteInt8(const Int8Matrix& matrix, int first) {
    const int64_t k = matrix.k, quads = (k + 3) / 4;
    uint8_t* codes = StagedBytes(matrix.n, quads);
    for (int64_t r = 0; r < matrix.n; ++r) {
      std::memcpy(codes + r * 4 * quads, matrix.codes.data() + r * k, static_cast<size_t>(k));
      WritePlane(1, matrix.scale.data() + r * packed_.num_groups_, first + static_cast<int>(r));
    }
    Interleave(staged_.data(), quads, matrix.n, first);
  }

  void WriteInt4(const Int4Matrix& matrix, int first) {
    const int64_t groups = packed_.num_groups_, k = matrix.k, octets = (k + 7) / 8;
    uint8_t* bytes = StagedBytes(matrix.n, octets);
    for (int64_t r = 0; r < matrix.n; ++r) {
      const int row = first + static_cast<int>(r);
      PackNibbles(matrix.codes.data() + r * k, k, bytes + r * 4 * octets);
      WritePlane(1, matrix.scale.data() + r * groups, row);
      if (matrix.offset == Int4Offset::kMin) WritePlane(2, matrix.min.data() + r * groups, row);
      if (matrix.offset != Int4Offset::kZero) continue;
      uint8_t* zero = reinterpret_cast<uint8_t*>(planes_[2] + panel_ * packed_.OffsetStride());
      for (int64_t g = 0; g < groups; ++g) {
        zero[g * kPanelRows + row] = matrix.zero[static_cast<size_t>(r * groups + g)];
      }
    }
    Interleave(staged_.data(), octets, matrix.n, first);
  }

  // rows [count, K] as a matrix of NF4, the only table that there is an encoder for.
  WeightMatrix EncodeTable4(std::span<const float> rows, int64_t count) const {
    WeightMatrix matrix;
    matrix.format = QuantFormatId::kCoded;
    matrix.n = count;
    matrix.k = packed_.k_;
    matrix.coded = std::make_shared<const CodedLayout>(Nf4Layout());
    const auto bytes = MakeCodedRows(*matrix.coded, count, matrix.k);
    EncodeNf4(rows, count, matrix.k, bytes->data());
    matrix.data = *bytes;
    matrix.owner = bytes;
    return matrix;
  }

  void WriteTable4(const WeightMatrix& matrix, int64_t begin, int64_t end, int first) {
    const CodedLayout& coded = *matrix.coded;
    const int64_t k = matrix.k, octets = (k + 7) / 8;
    codes_.resize(static_cast<size_t>(k));
    uint8_t* bytes = StagedBytes(end - begin, octets);
    for (int64_t r = begin; r < end; ++r) {
      const CodedRow row = RowParts(coded, k, const_cast<std::byte*>(matrix.data.data()) + r * coded.RowBytes(k));
      for (int64_t i = 0; i < k; ++i) codes_[static_cast<size_t>(i)] = static_cast<uint8_t>(CodeAt(row.codes, 4, i));
      PackNibbles(codes_.data(), k, bytes + (r - begin) * 4 * octets);
      WritePlane(1, row.scale, first + static_cast<int>(r - begin));
    }
    Interleave(staged_.data(), octets, end - begin, first);
    const auto& table = packed_.scheme_.table;
    std::memcpy(planes_[2] + panel_ * packed_.OffsetStride(), table.data(), sizeof(table));
  }

  // Byte j of an octet: code j in the low nibble, code 4 + j in the high one.
  static void PackNibbles(const uint8_t* codes, int64_t k, uint8_t* out) {
    for (int64_t o = 0; o < k / 8; ++o) {
      uint32_t low, high;
      std::memcpy(&low, codes + 8 * o, 4);
      std::memcpy(&high, codes + 8 * o + 4, 4);
      low |= high << 4;
      std::memcpy(out + 4 * o, &low, 4);
    }
    for (int64_t i = k / 8 * 8; i < k; ++i) {
      out[i / 8 * 4 + i % 4] |= static_cast<uint8_t>(i % 8 < 4 ? codes[i] : codes[i] << 4);
    }
  }

  void WritePlane(size_t index, const float* values, int row) {
    const bool f32 = packed_.scheme_.layout == Layout::kS8Channel || packed_.scheme_.f32_planes;
    std::byte* plane = planes_[index] + panel_ * packed_.PlaneStride();
    for (int64_t g = 0; g < packed_.num_groups_; ++g) {
      const int64_t at = g * kPanelRows + row;
      if (f32) {
        reinterpret_cast<float*>(plane)[at] = values[g];
      } else {
        reinterpret_cast<Fp16*>(plane)[at] = ToFp16(values[g]);
      }
    }
  }

  const PackedWeights& packed_;
  const std::array<std::byte*, 3> planes_;
  int64_t panel_ = 0;
  std::vector<float> rows_;  // [64, K]
  // Rows of the run in the layout's units, before they are interleaved.
  std::vector<uint32_t> staged_;
  std::vector<uint16_t> halves_;
  std::vector<uint8_t> codes_;
};

PackedWeights::PackedWeights(const Scheme& scheme, int64_t n, int64_t k)
    : scheme_(scheme), n_(n), k_(k), num_groups_(scheme.group_size == 0 ? 1 : CeilDiv(k, scheme.group_size)) {}

int64_t PackedWeights::PlaneStride() const {
  if (scheme_.layout != Layout::kS8Channel && scheme_.layout != Layout::kS8Group && scheme_.layout != Layout::kU4 &&
      scheme_.layout != Layout::kT4) {
    return 0;
  }
  const bool f32 = scheme_.layout == Layout::kS8Channel || scheme_.f32_planes;
  return num_groups_ * kPanelRows * (f32 ? 4 : 2);
}

int64_t PackedWeights::OffsetStride() const {
  if (scheme_.layout == Layout::kT4) return sizeof(scheme_.table);
  if (scheme_.layout != Layout::kU4 || scheme_.offset == Int4Offset::kSymmetric) return 0;
  return scheme_.offset == Int4Offset::kZero ? num_groups_ * kPanelRows : PlaneStride();
}

std::array<size_t, 3> PackedWeights::PlaneBytes() const {
  const int64_t panels = num_panels();
  return {static_cast<size_t>(panels * PanelCodeBytes(scheme_.layout, k_)), static_cast<size_t>(panels * PlaneStride()),
          static_cast<size_t>(panels * OffsetStride())};
}

std::array<std::byte*, 3> PackedWeights::Allocate() {
  const auto up = [](size_t bytes) { return (bytes + 63) / 64 * 64; };
  const std::array<size_t, 3> bytes = PlaneBytes();
  auto memory = std::make_shared<AlignedBuffer<std::byte>>(up(bytes[0]) + up(bytes[1]) + bytes[2]);
  const std::array<std::byte*, 3> planes = {memory->data(), memory->data() + up(bytes[0]),
                                            memory->data() + up(bytes[0]) + up(bytes[1])};
  for (size_t i = 0; i < planes.size(); ++i) planes_[i] = {planes[i], bytes[i]};
  owner_ = std::move(memory);
  return planes;
}

PackedWeights PackedWeights::Pack(std::span<const WeightMatrix> parts, const Scheme& scheme, Parallel& parallel) {
  int64_t n = 0;
  for (const WeightMatrix& part : parts) n += part.n;
  PackedWeights packed(scheme, n, parts.front().k);
  const std::array<std::byte*, 3> planes = packed.Allocate();
  const int64_t panels = packed.num_panels(), workers = parallel.num_workers();
  parallel.Run([&](int worker) {
    Writer writer(packed, planes);
    for (int64_t p = panels * worker / workers; p < panels * (worker + 1) / workers; ++p) {
      const int64_t panel_end = std::min(n, (p + 1) * kPanelRows);
      int64_t part_begin = 0;
      for (const WeightMatrix& part : parts) {
        const int64_t begin = std::max(part_begin, p * kPanelRows), end = std::min(part_begin + part.n, panel_end);
        if (begin < end) {
          writer.WriteRows(part, begin - part_begin, end - part_begin, p, static_cast<int>(begin - p * kPanelRows));
        }
        part_begin += part.n;
      }
    }
  });
  return packed;
}

std::vector<PackedPlane> PackedWeights::planes() const {
  std::vector<PackedPlane> planes;
  for (const std::span<const std::byte> plane : planes_) {
    if (!plane.empty()) planes.push_back({plane, num_panels()});
  }
  return planes;
}

std::optional<PackedWeights> PackedWeights::FromPlanes(const Scheme& scheme, int64_t n, int64_t k, const Planes& planes,
                                                       std::shared_ptr<const void> owner, bool mapped) {
  PackedWeights packed(scheme, n, k);
  const std::array<size_t, 3> bytes = packed.PlaneBytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (planes[i].size() != bytes[i]) return std::nullopt;
  }
  packed.planes_ = planes;
  packed.owner_ = std::move(owner);
  packed.mapped_ = mapped;
  return packed;
}

PackedWeights PackedWeights::Copy(Parallel& parallel) const {
  PackedWeights copy(scheme_, n_, k_);
  const std::array<std::byte*, 3> planes = copy.Allocate();
  const auto workers = static_cast<size_t>(parallel.num_workers());
  parallel.Run([&](int worker) {
    const auto w = static_cast<size_t>(worker);
    for (size_t i = 0; i < planes.size(); ++i) {
      const size_t begin = planes_[i].size() * w / workers, end = planes_[i].size() * (w + 1) / workers;
      if (begin < end) std::memcpy(planes[i] + begin, planes_[i].data() + begin, end - begin);
    }
  });
  return copy;
}

Panel PackedWeights::panel(int64_t index) const {
  Panel panel;
  panel.codes = planes_[0].data() + index * PanelCodeBytes(scheme_.layout, k_);
  panel.scale = planes_[1].data() + index * PlaneStride();
  panel.offset = planes_[2].data() + index * OffsetStride();
  panel.k = k_;
  panel.group_size = scheme_.group_size == 0 ? k_ : scheme_.group_size;
  panel.f32_planes = scheme_.f32_planes;
  return panel;
}

void PackedWeights::DequantizeRow(int64_t row, float* out) const {
  const Panel p = panel(row / kPanelRows);
  const int r = static_cast<int>(row % kPanelRows);
  const bool f32 = scheme_.layout == Layout::kS8Channel || scheme_.f32_planes;
  const auto plane = [&](const void* data, int64_t g) {
    const int64_t index = g * kPanelRows + r;
    return f32 ? static_cast<const float*>(data)[index] : ToFloat(static_cast<const Fp16*>(data)[index]);
  };
  switch (scheme_.layout) {
    case Layout::kF32:
      for (int64_t i = 0; i < k_; ++i) out[i] = static_cast<const float*>(p.codes)[i * kPanelRows + r];
      return;
    case Layout::kBf16:
      for (int64_t i = 0; i < k_; ++i) out[i] = ToFloat(static_cast<const Bf16*>(p.codes)[PairIndex(i, r)]);
      return;
    case Layout::kFp16:
      for (int64_t i = 0; i < k_; ++i) out[i] = ToFloat(static_cast<const Fp16*>(p.codes)[i * kPanelRows + r]);
      return;
    case Layout::kS8Channel:
    case Layout::kS8Group:
      for (int64_t i = 0; i < k_; ++i) {
        const int8_t code = static_cast<const int8_t*>(p.codes)[QuadIndex(i, r)];
        out[i] = plane(p.scale, i / p.group_size) * static_cast<float>(code);
      }
      return;
    case Layout::kT4:
      for (int64_t i = 0; i < k_; ++i) {
        const uint8_t byte = static_cast<const uint8_t*>(p.codes)[NibbleByte(i, r)];
        const int code = i % 8 < 4 ? byte & 15 : byte >> 4;
        out[i] = static_cast<const float*>(p.offset)[code] * plane(p.scale, i / p.group_size);
      }
      return;
    case Layout::kU4:
    case Layout::kSource:
      break;
  }
  for (int64_t i = 0; i < k_; ++i) {
    const uint8_t byte = static_cast<const uint8_t*>(p.codes)[NibbleByte(i, r)];
    const int64_t g = i / p.group_size;
    int code = i % 8 < 4 ? byte & 15 : byte >> 4;
    if (scheme_.offset == Int4Offset::kSymmetric) code -= 8;
    if (scheme_.offset == Int4Offset::kZero) code -= static_cast<const uint8_t*>(p.offset)[g * kPanelRows + r];
    out[i] = plane(p.scale, g) * static_cast<float>(code);
    if (scheme_.offset == Int4Offset::kMin) out[i] += plane(p.offset, g);
  }
}

}  // namespace bitrate::linear
