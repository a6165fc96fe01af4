#include "engine/backend/cpu/linear_op.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "engine/base/check.h"

namespace bitrate::linear {
namespace {

// Below this many elements the calling thread prepares the activations alone: it takes a few microseconds, less than
// waking the workers twice.
constexpr int64_t kSerialPrepareElements = 16384;

FloatPanelFn ChooseFloat(const LinearKernels& kernels, const Scheme& scheme) {
  switch (scheme.layout) {
    case Layout::kF32:
      return kernels.f32;
    case Layout::kBf16:
      return kernels.bf16;
    case Layout::kFp16:
      return kernels.fp16;
    case Layout::kS8Channel:
      return kernels.s8_channel;
    case Layout::kS8Group:
      return kernels.s8_group;
    case Layout::kU4:
      return kernels.u4[static_cast<int>(scheme.offset)];
    case Layout::kT4:
      return kernels.t4;
    case Layout::kSource:
      break;
  }
  return nullptr;
}

Int8PanelFn ChooseInt8(const LinearKernels& kernels, const Scheme& scheme) {
  if (scheme.layout == Layout::kU4) return kernels.int4[static_cast<int>(scheme.offset)];
  if (scheme.layout == Layout::kS8Group) return kernels.int8_group;
  return scheme.math == Math::kInt8Token ? kernels.int8_token : kernels.int8_channel;
}

// Rows that start a power of two apart share cache sets and evict one another; a line more between them does not.
int64_t SpreadStride(int64_t elements, int64_t element_bytes) {
  const int64_t rounded = (elements + 63) / 64 * 64;
  return rounded * element_bytes % 1024 == 0 ? rounded + 64 : rounded;
}

}  // namespace

void ForRows(ExecContext& context, int64_t m, int64_t k, absl::FunctionRef<void(int64_t row)> fn) {
  const int workers = context.parallel->num_workers();
  if (workers == 1 || m == 1 || m * k <= kSerialPrepareElements) {
    for (int64_t row = 0; row < m; ++row) fn(row);
    return;
  }
  context.parallel->Run([&](int worker) {
    for (int64_t row = m * worker / workers; row < m * (worker + 1) / workers; ++row) fn(row);
  });
}

void StoreRows(const float* out, int64_t rows, int64_t panel, int64_t n, std::span<const float> bias, float* y,
               int64_t ldy) {
  const int64_t column = panel * kPanelRows, valid = std::min<int64_t>(kPanelRows, n - column);
  for (int64_t i = 0; i < rows; ++i) {
    const float* source = out + i * kPanelRows;
    float* target = y + i * ldy + column;
    if (bias.empty()) {
      std::memcpy(target, source, static_cast<size_t>(valid) * sizeof(float));
    } else {
      for (int64_t j = 0; j < valid; ++j) target[j] = source[j] + bias[static_cast<size_t>(column + j)];
    }
  }
}

PanelLinear::PanelLinear(std::shared_ptr<const PackedWeights> weights, std::span<const float> bias,
                         const LinearKernels& kernels, std::vector<std::string> refusals)
    : weights_(std::move(weights)), bias_(bias.begin(), bias.end()), kernels_(kernels), refusals_(std::move(refusals)) {
  const Scheme& scheme = weights_->scheme();
  if (scheme.math == Math::kFloat) {
    float_panel_ = ChooseFloat(kernels, scheme);
  } else {
    int8_panel_ = ChooseInt8(kernels, scheme);
    code_bytes_ = scheme.layout == Layout::kU4 ? 1 : kernels.s8_code_bytes;
  }
  BITRATE_CHECK(float_panel_ != nullptr || int8_panel_ != nullptr);
  BITRATE_CHECK(bias_.empty() || static_cast<int64_t>(bias_.size()) == n());
}

PanelLinear::Input PanelLinear::QuantizeInput(ExecContext& context, const float* x, int64_t ldx, int64_t m) const {
  const int64_t k = this->k(), padded = PaddedK(weights_->scheme().layout, k);
  const int64_t group = weights_->scheme().ActivationGroup(k), groups = (k + group - 1) / group;
  const int64_t ld = SpreadStride(padded, code_bytes_);
  const int64_t code_bytes = (m * ld * code_bytes_ + 63) / 64 * 64;
  std::byte* scratch = context.scratch->Reserve(static_cast<size_t>(code_bytes + m * groups * 8));
  float* scale = reinterpret_cast<float*>(scratch + code_bytes);
  int32_t* sum = reinterpret_cast<int32_t*>(scale + m * groups);
  const QuantizeRowFn quantize = code_bytes_ == 1 ? kernels_.quantize_s8 : kernels_.quantize_s16;
  ForRows(context, m, k, [&](int64_t row) {
    quantize(x + row * ldx, k, padded, group, scratch + row * ld * code_bytes_, scale + row * groups,
             sum + row * groups);
  });
  Input input;
  input.ld = ld;
  input.codes = {scratch, ld, scale, sum, groups};
  return input;
}

PanelLinear::Input PanelLinear::RoundInput(ExecContext& context, const float* x, int64_t ldx, int64_t m) const {
  const int64_t padded = PaddedK(Layout::kBf16, k());
  Input input;
  input.element_bytes = kernels_.bf16_dot ? 2 : 4;
  input.ld = SpreadStride(padded, input.element_bytes);
  std::byte* scratch = context.scratch->Reserve(static_cast<size_t>(m * input.ld * input.element_bytes));
  ForRows(context, m, k(), [&](int64_t row) {
    kernels_.round_bf16(x + row * ldx, k(), padded, scratch + row * input.ld * input.element_bytes);
  });
  input.floats = scratch;
  return input;
}

PanelLinear::Input PanelLinear::PrepareInput(ExecContext& context, const float* x, int64_t ldx, int64_t m) const {
  if (int8_panel_ != nullptr) return QuantizeInput(context, x, ldx, m);
  if (weights_->scheme().layout == Layout::kBf16) return RoundInput(context, x, ldx, m);
  Input input;
  input.floats = x;
  input.ld = ldx;
  return input;
}

void PanelLinear::RunPanel(int64_t panel, const Input& input, int64_t m, float* y, int64_t ldy) const {
  alignas(64) float out[kChunkRows * kPanelRows];
  const Panel view = weights_->panel(panel);
  for (int64_t row = 0; row < m; row += kChunkRows) {
    const int rows = static_cast<int>(std::min<int64_t>(kChunkRows, m - row));
    if (float_panel_ != nullptr) {
      float_panel_(view, static_cast<const std::byte*>(input.floats) + row * input.ld * input.element_bytes, input.ld,
                   rows, out);
    } else {
      Int8Rows chunk = input.codes;
      chunk.codes = static_cast<const std::byte*>(chunk.codes) + row * chunk.ld * code_bytes_;
      chunk.scale += row * chunk.num_groups;
      chunk.sum += row * chunk.num_groups;
      int8_panel_(view, chunk, rows, out);
    }
    StoreRows(out, rows, panel, n(), bias_, y + row * ldy, ldy);
  }
}

void PanelLinear::Run(ExecContext& context, const float* x, int64_t ldx, int64_t m, float* y, int64_t ldy) const {
  BITRATE_CHECK(m >= 1 && ldx >= k() && ldy >= n());
  const Input input = PrepareInput(context, x, ldx, m);
  context.parallel->RunRanges(weights_->num_panels(), [&](int, int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) RunPanel(p, input, m, y, ldy);
  });
}

void PanelLinear::GatherRows(ExecContext& context, std::span<const int32_t> ids, float* out) const {
  for (int32_t id : ids) BITRATE_CHECK(id >= 0 && id < n());
  ForRows(context, static_cast<int64_t>(ids.size()), k(),
          [&](int64_t row) { weights_->DequantizeRow(ids[static_cast<size_t>(row)], out + row * k()); });
}

LinearInfo PanelLinear::info() const {
  LinearInfo info;
  info.kernel = fmt::format("{}/{}", weights_->scheme().Name(), kernels_.isa);
  info.prefill_kernel = info.kernel;
  info.isa = kernels_.isa;
  info.weight_bits = weights_->scheme().WeightBits(k());
  info.bytes = weights_->bytes() + bias_.size() * sizeof(float);
  info.mapped_bytes = weights_->mapped() ? weights_->bytes() : 0;
  info.refusals = refusals_;
  return info;
}

CompositeLinear::CompositeLinear(std::vector<std::shared_ptr<const LinearOp>> parts) : parts_(std::move(parts)) {
  BITRATE_CHECK(!parts_.empty());
  for (const auto& part : parts_) n_ += part->n();
}

void CompositeLinear::Run(ExecContext& context, const float* x, int64_t ldx, int64_t m, float* y, int64_t ldy) const {
  int64_t column = 0;
  for (const auto& part : parts_) {
    part->Run(context, x, ldx, m, y + column, ldy);
    column += part->n();
  }
}

void CompositeLinear::GatherRows(ExecContext& context, std::span<const int32_t> ids, float* out) const {
  for (size_t i = 0; i < ids.size(); ++i) {
    int64_t id = ids[i];
    size_t part = 0;
    while (part < parts_.size() && id >= parts_[part]->n()) id -= parts_[part++]->n();
    BITRATE_CHECK(id >= 0 && part < parts_.size());
    const int32_t local = static_cast<int32_t>(id);
    parts_[part]->GatherRows(context, {&local, 1}, out + static_cast<int64_t>(i) * k());
  }
}

std::vector<PackedPlane> CompositeLinear::PackedPlanes() const {
  std::vector<PackedPlane> planes;
  for (const auto& part : parts_) {
    for (const PackedPlane& plane : part->PackedPlanes()) planes.push_back(plane);
  }
  return planes;
}

LinearInfo CompositeLinear::info() const {
  LinearInfo total = parts_.front()->info();
  double bits = 0;
  total.bytes = total.mapped_bytes = 0;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const LinearInfo info = parts_[i]->info();
    bits += info.weight_bits * static_cast<double>(parts_[i]->n());
    total.bytes += info.bytes;
    total.mapped_bytes += info.mapped_bytes;
    if (i == 0) continue;
    total.kernel += "+" + info.kernel;
    total.prefill_kernel += "+" + info.prefill_kernel;
    for (const std::string& refusal : info.refusals) {
      if (std::find(total.refusals.begin(), total.refusals.end(), refusal) == total.refusals.end()) {
        total.refusals.push_back(refusal);
      }
    }
  }
  total.weight_bits = bits / static_cast<double>(n_);
  return total;
}

}  // namespace bitrate::linear
