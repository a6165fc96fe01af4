#include "engine/backend/cpu/linear_pack.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/base/half.h"
#include "engine/format/blocks.h"
#include "engine/format/group_quant.h"
#include "engine/format/reference_codec.h"

namespace bitrate::linear {
namespace {

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

// Writes runs of rows of one panel; one per worker.
class PackedWeights::Writer {
 public:
  explicit Writer(PackedWeights& packed) : packed_(packed) {}

  // Rows [begin, end) of `matrix` become rows first, first + 1, ... of panel `index`.
  void WriteRows(const WeightMatrix& matrix, int64_t begin, int64_t end, int64_t index, int first) {
    panel_ = index;
    const Scheme& scheme = packed_.scheme_;
    if (scheme.repack && scheme.layout == Layout::kU4) return WriteInt4(RepackToInt4(matrix, begin, end), first);
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
      case Layout::kBf16:
      case Layout::kFp16:
        return WriteFloats(static_cast<int>(count), first);
    }
  }

 private:
  template <typename T>
  T* Codes() {
    return reinterpret_cast<T*>(packed_.codes_.data() + panel_ * PanelCodeBytes(packed_.scheme_.layout, packed_.k_));
  }
  std::byte* Plane(AlignedBuffer<std::byte>& buffer, int64_t stride) { return buffer.data() + panel_ * stride; }

  void WriteFloats(int count, int first) {
    const int64_t k = packed_.k_;
    for (int r = 0; r < count; ++r) {
      const float* source = rows_.data() + r * k;
      const int row = first + r;
      if (packed_.scheme_.layout == Layout::kF32) {
        for (int64_t i = 0; i < k; ++i) Codes<float>()[i * kPanelRows + row] = source[i];
      } else if (packed_.scheme_.layout == Layout::kBf16) {
        for (int64_t i = 0; i < k; ++i) Codes<Bf16>()[PairIndex(i, row)] = ToBf16(source[i]);
      } else {
        for (int64_t i = 0; i < k; ++i) Codes<Fp16>()[i * kPanelRows + row] = ToFp16(source[i]);
      }
    }
  }

  void WriteInt8(const Int8Matrix& matrix, int first) {
    for (int64_t r = 0; r < matrix.n; ++r) {
      const int row = first + static_cast<int>(r);
      const int8_t* source = matrix.codes.data() + r * matrix.k;
      int8_t* codes = Codes<int8_t>();
      for (int64_t i = 0; i < matrix.k; ++i) codes[QuadIndex(i, row)] = source[i];
      WritePlane(packed_.scale_, matrix.scale.data() + r * packed_.num_groups_, row, PlaneIsF32());
    }
  }

  void WriteInt4(const Int4Matrix& matrix, int first) {
    const int64_t groups = packed_.num_groups_;
    for (int64_t r = 0; r < matrix.n; ++r) {
      const int row = first + static_cast<int>(r);
      const uint8_t* source = matrix.codes.data() + r * matrix.k;
      uint8_t* codes = Codes<uint8_t>();
      for (int64_t i = 0; i < matrix.k; ++i) {
        codes[NibbleByte(i, row)] |= static_cast<uint8_t>(i % 8 < 4 ? source[i] : source[i] << 4);
      }
      WritePlane(packed_.scale_, matrix.scale.data() + r * groups, row, PlaneIsF32());
      if (matrix.offset == Int4Offset::kMin) {
        WritePlane(packed_.offset_, matrix.min.data() + r * groups, row, PlaneIsF32());
      } else if (matrix.offset == Int4Offset::kZero) {
        uint8_t* zero = reinterpret_cast<uint8_t*>(Plane(packed_.offset_, packed_.OffsetStride()));
        for (int64_t g = 0; g < groups; ++g) {
          zero[g * kPanelRows + row] = matrix.zero[static_cast<size_t>(r * groups + g)];
        }
      }
    }
  }

  bool PlaneIsF32() const { return packed_.scheme_.layout == Layout::kS8Channel || packed_.scheme_.f32_planes; }

  void WritePlane(AlignedBuffer<std::byte>& buffer, const float* values, int row, bool f32) {
    std::byte* plane = Plane(buffer, packed_.PlaneStride());
    for (int64_t g = 0; g < packed_.num_groups_; ++g) {
      const int64_t index = g * kPanelRows + row;
      if (f32) {
        reinterpret_cast<float*>(plane)[index] = values[g];
      } else {
        reinterpret_cast<Fp16*>(plane)[index] = ToFp16(values[g]);
      }
    }
  }

  PackedWeights& packed_;
  int64_t panel_ = 0;
  std::vector<float> rows_;  // [64, K]
};

int64_t PackedWeights::PlaneStride() const {
  if (scheme_.layout != Layout::kS8Channel && scheme_.layout != Layout::kS8Group && scheme_.layout != Layout::kU4) {
    return 0;
  }
  const bool f32 = scheme_.layout == Layout::kS8Channel || scheme_.f32_planes;
  return num_groups_ * kPanelRows * (f32 ? 4 : 2);
}

int64_t PackedWeights::OffsetStride() const {
  if (scheme_.layout != Layout::kU4 || scheme_.offset == Int4Offset::kSymmetric) return 0;
  return scheme_.offset == Int4Offset::kZero ? num_groups_ * kPanelRows : PlaneStride();
}

PackedWeights PackedWeights::Pack(std::span<const WeightMatrix> parts, const Scheme& scheme, Parallel& parallel) {
  PackedWeights packed;
  packed.scheme_ = scheme;
  packed.k_ = parts.front().k;
  for (const WeightMatrix& part : parts) packed.n_ += part.n;
  packed.num_groups_ = scheme.group_size == 0 ? 1 : (packed.k_ + scheme.group_size - 1) / scheme.group_size;
  const int64_t panels = packed.num_panels();
  packed.codes_ = AlignedBuffer<std::byte>(static_cast<size_t>(panels * PanelCodeBytes(scheme.layout, packed.k_)));
  packed.scale_ = AlignedBuffer<std::byte>(static_cast<size_t>(panels * packed.PlaneStride()));
  packed.offset_ = AlignedBuffer<std::byte>(static_cast<size_t>(panels * packed.OffsetStride()));
  parallel.Run([&](int worker) {
    Writer writer(packed);
    const int64_t workers = parallel.num_workers();
    for (int64_t p = panels * worker / workers; p < panels * (worker + 1) / workers; ++p) {
      const int64_t panel_end = std::min(packed.n_, (p + 1) * kPanelRows);
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
  for (const AlignedBuffer<std::byte>* plane : {&codes_, &scale_, &offset_}) {
    if (plane->size() > 0) planes.push_back({{plane->data(), plane->size()}, num_panels()});
  }
  return planes;
}

Panel PackedWeights::panel(int64_t index) const {
  Panel panel;
  panel.codes = codes_.data() + index * PanelCodeBytes(scheme_.layout, k_);
  panel.scale = scale_.data() + index * PlaneStride();
  panel.offset = offset_.data() + index * OffsetStride();
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
    case Layout::kU4:
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
