#include "engine/backend/cpu/onednn_gemm.h"

#include <array>
#include <cstring>
#include <dnnl.hpp>
#include <optional>
#include <random>
#include <vector>

#include "engine/base/aligned_buffer.h"
#include "engine/base/half.h"

// libgomp's, declared here so that no compiler flag and no omp.h is needed.
extern "C" void omp_set_num_threads(int count);

namespace bitrate::linear {
namespace {

using dnnl::memory;

constexpr size_t kBuckets = std::size(PrefillGemm::kRows);

enum class Source : uint8_t { kF32, kBf16, kU8 };  // what rows of x become: f32, bf16, or int8 codes + 128

// How one of our layouts looks to oneDNN.
struct Form {
  const char* name;
  Source source;
  memory::data_type x, w, y;
  memory::format_tag tag;
  int64_t block_k;  // K is stored in blocks of this many
};

std::optional<Form> FormOf(const Scheme& scheme) {
  using Type = memory::data_type;
  using Tag = memory::format_tag;
  const bool token = scheme.layout == Layout::kS8Channel && scheme.math == Math::kInt8Token;
  if (scheme.layout == Layout::kF32) {
    return Form{"onednn-f32", Source::kF32, Type::f32, Type::f32, Type::f32, Tag::BA16a64b, 16};
  }
  if (scheme.layout == Layout::kFp16) {  // each panel is expanded to f32 first
    return Form{"onednn-f32-of-fp16", Source::kF32, Type::f32, Type::f32, Type::f32, Tag::BA16a64b, 16};
  }
  if (scheme.layout == Layout::kBf16) {
    return Form{"onednn-bf16", Source::kBf16, Type::bf16, Type::bf16, Type::f32, Tag::BA16a64b2a, 32};
  }
  if (token) {  // s8 x s8 has no explicit layout: x is shifted to unsigned and corrected by the weights' row sums
    return Form{"onednn-u8s8", Source::kU8, Type::u8, Type::s8, Type::s32, Tag::BA16a64b4a, 64};
  }
  return std::nullopt;
}

int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

class OnednnGemm final : public PrefillGemm {
 public:
  OnednnGemm(std::shared_ptr<const PackedWeights> weights, const LinearKernels& kernels, const Form& form)
      : weights_(std::move(weights)), kernels_(kernels), form_(form), engine_(dnnl::engine::kind::cpu, 0) {}

  // Throws dnnl::error. A reason to refuse, or none.
  std::optional<std::string> Create();
  std::optional<std::string> Probe() const;

  int64_t k() const { return weights_->k(); }
  std::string name() const override { return form_.name; }
  int64_t RowBytes() const override {
    return weights_->k() * (form_.source == Source::kF32 ? 4 : form_.source == Source::kBf16 ? 2 : 1);
  }
  void FillRow(const float* x, std::byte* source, float* row_scale) const override;
  int64_t ScratchBytes() const override { return expanded_bytes_ + scratchpad_bytes_; }
  void BeginPanel(int64_t panel, std::byte* scratch) const override {
    if (expanded_bytes_ == 0) return;
    kernels_.expand_fp16(weights_->panel(panel).codes, weights_->k() * kPanelRows, reinterpret_cast<float*>(scratch));
  }
  bool RunPanel(int64_t panel, const void* source, const float* row_scale, int64_t rows, std::byte* scratch,
                float* out) const override;

 private:
  struct Bucket {
    dnnl::matmul primitive;
    memory::desc x, y, scratchpad;
  };
  void SumRows();
  void RunOwn(const std::vector<float>& x, int64_t rows, float* out) const;
  std::vector<std::byte> SourceOf(const std::vector<float>& x, int64_t rows, std::vector<float>& row_scale) const;

  std::shared_ptr<const PackedWeights> weights_;
  const LinearKernels& kernels_;
  Form form_;
  dnnl::engine engine_;
  memory::desc panel_;
  std::array<Bucket, kBuckets> buckets_;
  std::vector<int32_t> row_sums_;  // kU8: [panels, 64] sums of the codes along K
  int64_t expanded_bytes_ = 0, scratchpad_bytes_ = 0;
};

std::optional<std::string> OnednnGemm::Create() {
  omp_set_num_threads(1);  // primitives are planned for the threads of the moment
  const int64_t k = weights_->k();
  panel_ = memory::desc({k, kPanelRows}, form_.w, form_.tag);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);  // the library's own is not safe across threads
  for (size_t i = 0; i < kBuckets; ++i) {
    Bucket& bucket = buckets_[i];
    bucket.x = memory::desc({kRows[i], k}, form_.x, memory::format_tag::ab);
    bucket.y = memory::desc({kRows[i], kPanelRows}, form_.y, memory::format_tag::ab);
    const dnnl::matmul::primitive_desc plan(engine_, bucket.x, panel_, bucket.y, attributes);
    const std::string implementation = plan.impl_info_str();
    if (implementation.starts_with("ref")) {
      return fmt::format("the explicit 64-row layout has only {} on this CPU", implementation);
    }
    bucket.primitive = dnnl::matmul(plan);
    bucket.scratchpad = plan.scratchpad_desc();
    const int64_t bytes = RoundUp(static_cast<int64_t>(bucket.scratchpad.get_size()), 64);
    scratchpad_bytes_ = bytes > scratchpad_bytes_ ? bytes : scratchpad_bytes_;
  }
  if (weights_->scheme().layout == Layout::kFp16) expanded_bytes_ = k * kPanelRows * 4;
  if (form_.source == Source::kU8) SumRows();
  return std::nullopt;
}

void OnednnGemm::SumRows() {
  row_sums_.resize(static_cast<size_t>(weights_->num_panels() * kPanelRows));
  for (int64_t panel = 0; panel < weights_->num_panels(); ++panel) {
    const auto* codes = static_cast<const int8_t*>(weights_->panel(panel).codes);
    int32_t* sums = row_sums_.data() + panel * kPanelRows;
    for (int64_t i = 0; i < weights_->k() * kPanelRows; ++i) sums[i / 4 % kPanelRows] += codes[i];
  }
}

bool OnednnGemm::RunPanel(int64_t panel, const void* source, const float* row_scale, int64_t rows, std::byte* scratch,
                          float* out) const {
  size_t i = 0;
  while (i + 1 < kBuckets && kRows[i] != rows) ++i;
  const Bucket& bucket = buckets_[i];
  const void* codes = expanded_bytes_ != 0 ? scratch : weights_->panel(panel).codes;
  omp_set_num_threads(1);  // per calling thread: the pool is the parallelism
  try {
    dnnl::stream stream(engine_);
    bucket.primitive.execute(stream,
                             {{DNNL_ARG_SRC, memory(bucket.x, engine_, const_cast<void*>(source))},
                              {DNNL_ARG_WEIGHTS, memory(panel_, engine_, const_cast<void*>(codes))},
                              {DNNL_ARG_DST, memory(bucket.y, engine_, out)},
                              {DNNL_ARG_SCRATCHPAD, memory(bucket.scratchpad, engine_, scratch + expanded_bytes_)}});
    stream.wait();
  } catch (const dnnl::error&) {
    return false;
  }
  if (form_.source != Source::kU8) return true;
  const int32_t* sums = row_sums_.data() + panel * kPanelRows;
  const float* scales = static_cast<const float*>(weights_->panel(panel).scale);
  for (int64_t row = 0; row < rows; ++row) {
    for (int r = 0; r < kPanelRows; ++r) {
      float* value = out + row * kPanelRows + r;
      int32_t dot;
      std::memcpy(&dot, value, sizeof(dot));
      // Modulo 2^32: the shifted dot may pass 2^31 where the true one cannot.
      const uint32_t shift = 128u * static_cast<uint32_t>(sums[r]);
      dot = static_cast<int32_t>(static_cast<uint32_t>(dot) - shift);
      *value = (static_cast<float>(dot) * row_scale[row] + 0.0f) * scales[r];  // one group: its fma adds to zero
    }
  }
  return true;
}

void OnednnGemm::FillRow(const float* x, std::byte* source, float* row_scale) const {
  const int64_t k = weights_->k();
  if (form_.source == Source::kF32) std::memcpy(source, x, static_cast<size_t>(k) * 4);
  if (form_.source == Source::kBf16) kernels_.round_bf16(x, k, k, source);
  if (form_.source == Source::kU8) {
    int32_t sum;
    kernels_.quantize_s8(x, k, k, k, source, row_scale, &sum);
    for (int64_t i = 0; i < k; ++i) source[i] ^= std::byte{0x80};
  }
}

std::vector<std::byte> OnednnGemm::SourceOf(const std::vector<float>& x, int64_t rows,
                                            std::vector<float>& row_scale) const {
  std::vector<std::byte> source(static_cast<size_t>(rows * RowBytes()));
  row_scale.resize(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    FillRow(x.data() + row * weights_->k(), source.data() + row * RowBytes(), &row_scale[static_cast<size_t>(row)]);
  }
  return source;
}

// The own kernel's result, in chunks of 32 rows (every number of rows in use is a multiple).
void OnednnGemm::RunOwn(const std::vector<float>& x, int64_t rows, float* out) const {
  constexpr int kChunk = 32;
  const int64_t k = weights_->k();
  const Panel panel = weights_->panel(0);
  for (int64_t row = 0; row < rows; row += kChunk) {
    const std::vector<float> chunk(x.begin() + row * k, x.begin() + (row + kChunk) * k);
    float* target = out + row * kPanelRows;
    std::vector<float> scale(kChunk);
    if (form_.source == Source::kU8) {
      const int64_t bytes = kernels_.s8_code_bytes;
      std::vector<std::byte> codes(static_cast<size_t>(kChunk * k * bytes));
      std::vector<int32_t> sum(kChunk);
      const QuantizeRowFn quantize = bytes == 1 ? kernels_.quantize_s8 : kernels_.quantize_s16;
      for (size_t i = 0; i < kChunk; ++i) {
        const int64_t at = static_cast<int64_t>(i) * k;
        quantize(chunk.data() + at, k, k, k, codes.data() + at * bytes, &scale[i], &sum[i]);
      }
      kernels_.int8_token(panel, {codes.data(), k, scale.data(), sum.data(), 1}, kChunk, target);
    } else if (form_.source == Source::kBf16) {
      kernels_.bf16(panel, SourceOf(chunk, kChunk, scale).data(), k, kChunk, target);
    } else {
      (weights_->scheme().layout == Layout::kFp16 ? kernels_.fp16 : kernels_.f32)(panel, chunk.data(), k, kChunk,
                                                                                  target);
    }
  }
}

std::optional<std::string> OnednnGemm::Probe() const {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<std::byte> scratch_bytes(static_cast<size_t>(ScratchBytes()) + 64);
  auto* scratch = reinterpret_cast<std::byte*>(RoundUp(reinterpret_cast<int64_t>(scratch_bytes.data()), 64));
  BeginPanel(0, scratch);
  for (int64_t rows : kRows) {
    std::vector<float> x(static_cast<size_t>(rows * weights_->k())), row_scale;
    for (float& value : x) value = normal(random);
    AlignedBuffer<float> own(static_cast<size_t>(rows * kPanelRows)), theirs(own.size());
    RunOwn(x, rows, own.data());
    const std::vector<std::byte> source = SourceOf(x, rows, row_scale);
    if (!RunPanel(0, source.data(), row_scale.data(), rows, scratch, theirs.data())) return "it failed to run";
    if (std::memcmp(own.data(), theirs.data(), own.bytes()) != 0) {
      return fmt::format("its bits differ from the own kernel's at M = {}, K = {}", rows, weights_->k());
    }
  }
  return std::nullopt;
}

}  // namespace

StatusOr<std::shared_ptr<const PrefillGemm>> MakeOnednnGemm(std::shared_ptr<const PackedWeights> weights,
                                                            const LinearKernels& kernels, Isa isa, bool attempt,
                                                            PrefillProbes* probes) {
  const Scheme& scheme = weights->scheme();
  const std::optional<Form> form = FormOf(scheme);
  if (!form.has_value()) return FailedPrecondition("onednn: no matmul of {} in this layout", scheme.Name());
  if (isa < Isa::kAvx512 && !attempt) {
    return FailedPrecondition("onednn: the explicit 64-row layout is ref:any below AVX-512");
  }
  if (form->source == Source::kBf16 && !kernels.bf16_dot) {
    return FailedPrecondition("onednn: the own bf16 kernel of this ISA sums in another order");
  }
  if (weights->k() % form->block_k != 0) {
    return FailedPrecondition("onednn: K = {} is not a multiple of {}", weights->k(), form->block_k);
  }
  try {
    auto gemm = std::make_shared<OnednnGemm>(std::move(weights), kernels, *form);
    std::optional<std::string> reason = gemm->Create();
    if (!reason.has_value()) {
      const std::string key = fmt::format("{}/{}/{}", form->name, kernels.isa, gemm->k());
      reason = probes == nullptr ? gemm->Probe() : probes->Get(key, [&] { return gemm->Probe(); });
    }
    if (reason.has_value()) return FailedPrecondition("onednn: {}", *reason);
    return std::shared_ptr<const PrefillGemm>(std::move(gemm));
  } catch (const dnnl::error& error) {
    return FailedPrecondition("onednn: {}", error.what());
  }
}

}  // namespace bitrate::linear
