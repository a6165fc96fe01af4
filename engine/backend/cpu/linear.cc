#include "engine/backend/cpu/linear.h"

#include "engine/backend/cpu/linear_op.h"
#include "engine/backend/cpu/linear_select.h"
#include "engine/backend/cpu/linear_source.h"
#include "engine/backend/cpu/onednn_linear.h"
#include "engine/backend/cpu/packed_store.h"

namespace bitrate {
namespace linear {
namespace {

// Own kernels, fastest first; the reference takes everything, so the list never runs out. For many rows oneDNN comes
// before them, where it gives the same bits (onednn_gemm.h).
struct Candidate {
  Isa isa;
  const LinearKernels& (*kernels)();
};
constexpr Candidate kCandidates[] = {
    {Isa::kAvx512, Avx512LinearKernels},
    {Isa::kAvx2, Avx2LinearKernels},
    {Isa::kScalar, ScalarLinearKernels},
};

// An i32 dot of a whole row of +-127 codes stays below 2^31.
constexpr int64_t kMaxTokenGroupK = (int64_t{1} << 31) / (127 * 127);

// One operator for parts of one scheme.
std::shared_ptr<const LinearOp> MakeOp(std::shared_ptr<const PackedWeights> packed, std::span<const float> bias,
                                       Choice choice) {
  std::shared_ptr<const PrefillGemm> prefill;
  if (choice.prefill_isa.has_value()) {
    auto gemm = MakeOnednnGemm(packed, *choice.kernels, *choice.prefill_isa, false, choice.probes);
    if (gemm.ok()) {
      prefill = *std::move(gemm);
    } else {
      choice.refusals.emplace_back(gemm.status().message());
    }
  }
  auto own = std::make_shared<const PanelLinear>(std::move(packed), bias, *choice.kernels, std::move(choice.refusals));
  if (prefill == nullptr) return own;
  return std::make_shared<const PrefillLinear>(std::move(own), std::move(prefill));
}

// A part may come without data where its fingerprint stands for it.
Status ValidatePart(const WeightMatrix& part, int64_t k, std::string_view first, bool has_fingerprint) {
  if (part.k != k) {
    return InvalidArgument("linear {}: K is {}, but {} stacked with it has {}", part.name, part.k, first, k);
  }
  const int block = part.coded != nullptr ? 1 : GetQuantFormat(part.format).block_elements;
  if (part.n <= 0 || part.k <= 0 || part.k % block != 0) {
    return InvalidArgument("linear {}: shape [{}, {}] is not whole {} blocks of {} weights", part.name, part.n, part.k,
                           part.format_name(), block);
  }
  if (has_fingerprint && part.data.data() == nullptr) return OkStatus();
  const int64_t row_bytes = part.row_bytes();
  const int64_t have = static_cast<int64_t>(part.data.size());
  if (have % row_bytes != 0 || have / row_bytes != part.n) {
    return InvalidArgument("linear {}: {} bytes given, want {} rows of {} bytes", part.name, have, part.n, row_bytes);
  }
  return OkStatus();
}

}  // namespace

Choice ChooseKernels(const Scheme& scheme, Isa isa, bool force_reference) {
  Choice choice;
  if (force_reference) {
    choice.refusals.emplace_back("onednn: the scalar reference is forced");
  } else {
    choice.prefill_isa = isa;
  }
  for (const Candidate& candidate : kCandidates) {
    if (candidate.isa > isa) {
      choice.refusals.push_back(fmt::format("{}: the selected ISA is {}", IsaName(candidate.isa), IsaName(isa)));
    } else if (force_reference && candidate.isa != Isa::kScalar) {
      choice.refusals.push_back(fmt::format("{}: the scalar reference is forced", IsaName(candidate.isa)));
    } else {
      choice.kernels = &candidate.kernels();
      break;
    }
  }
  return choice;
}

Status ValidateSpec(const LinearSpec& spec) {
  if (spec.parts.empty()) return InvalidArgument("linear: no weight matrix given");
  const WeightMatrix& first = spec.parts.front();
  if (!spec.fingerprints.empty() && spec.fingerprints.size() != spec.parts.size()) {
    return InvalidArgument("linear {}: {} fingerprints for {} parts", first.name, spec.fingerprints.size(),
                           spec.parts.size());
  }
  int64_t n = 0;
  for (const WeightMatrix& part : spec.parts) {
    RETURN_IF_ERROR(ValidatePart(part, first.k, first.name, !spec.fingerprints.empty()));
    n += part.n;
  }
  if (!spec.bias.empty() && static_cast<int64_t>(spec.bias.size()) != n) {
    return InvalidArgument("linear {}: bias has {} elements, want {}", first.name, spec.bias.size(), n);
  }
  if (spec.precision.activations == Precision::Activations::kInt8Token && first.k > kMaxTokenGroupK) {
    return FailedPrecondition("linear {}: K = {} with one activation scale a token; the most is {}", first.name,
                              first.k, kMaxTokenGroupK);
  }
  return OkStatus();
}

StatusOr<std::shared_ptr<const LinearOp>> PrepareLinear(const LinearSpec& spec, KernelChooser choose,
                                                        ExecContext& context, PackedStore* store) {
  RETURN_IF_ERROR(ValidateSpec(spec));
  PackedStore own_store;
  if (store == nullptr) store = &own_store;
  std::vector<std::shared_ptr<const LinearOp>> ops;
  int64_t row = 0;
  for (size_t begin = 0, end = 0; begin < spec.parts.size(); begin = end) {
    const Scheme scheme = ResolveScheme(spec.precision, spec.is_head, spec.parts[begin]);
    int64_t rows = 0;
    while (end < spec.parts.size() && ResolveScheme(spec.precision, spec.is_head, spec.parts[end]) == scheme) {
      rows += spec.parts[end++].n;
    }
    const auto parts = spec.parts.subspan(begin, end - begin);
    const auto fingerprints =
        spec.fingerprints.empty() ? spec.fingerprints : spec.fingerprints.subspan(begin, end - begin);
    const auto bias =
        spec.bias.empty() ? spec.bias : spec.bias.subspan(static_cast<size_t>(row), static_cast<size_t>(rows));
    if (scheme.layout == Layout::kSource) {
      ASSIGN_OR_RETURN(ops.emplace_back(), MakeSourceLinear(parts, bias, choose(scheme)));
    } else {
      ASSIGN_OR_RETURN(auto packed, store->Get(parts, fingerprints, scheme, *context.parallel));
      ops.push_back(MakeOp(std::move(packed), bias, choose(scheme)));
    }
    row += rows;
  }
  if (ops.size() == 1) return ops.front();
  return std::make_shared<CompositeLinear>(std::move(ops));
}

}  // namespace linear

StatusOr<std::shared_ptr<const LinearOp>> PrepareCpuLinear(const LinearSpec& spec, Isa isa, bool force_reference,
                                                           ExecContext& context, linear::PackedStore* store,
                                                           linear::PrefillProbes* probes) {
  const auto choose = [&](const linear::Scheme& scheme) {
    linear::Choice choice = linear::ChooseKernels(scheme, isa, force_reference);
    choice.probes = probes;
    return choice;
  };
  return linear::PrepareLinear(spec, choose, context, store);
}

std::string CpuLinearKey(const LinearSpec& spec, Isa isa, bool force_reference) {
  std::string key = fmt::format("{}{}/{}", spec.precision.Name(), spec.is_head ? "/head" : "",
                                force_reference ? "reference" : IsaName(isa));
  for (const WeightMatrix& part : spec.parts) {
    fmt::format_to(std::back_inserter(key), "|{}:{}:{}x{}@{}", part.name, part.format_name(), part.n, part.k,
                   static_cast<const void*>(part.data.data()));
  }
  if (!spec.bias.empty()) {
    uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a of the bytes: a bias may be a temporary, so its address says nothing
    const auto* bytes = reinterpret_cast<const unsigned char*>(spec.bias.data());
    for (size_t i = 0; i < spec.bias.size_bytes(); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    fmt::format_to(std::back_inserter(key), "|bias:{}:{:016x}", spec.bias.size(), hash);
  }
  return key;
}

}  // namespace bitrate
