#include "tests/bench/kernels_operators.h"

#include <cstring>
#include <random>

#include "engine/backend/cpu/linear.h"
#include "engine/base/half.h"
#include "engine/format/blocks.h"

namespace bitrate::bench {
namespace {

// Q4_0 source with random codes: small, decodes to sane values, and plain "int4" keeps its grid of 32.
WeightMatrix MakeMatrix(int64_t n) {
  auto data =
      std::make_shared<std::vector<std::byte>>(static_cast<size_t>(n * RowBytes(QuantFormatId::kQ4_0, kBenchK)));
  std::mt19937 random(1);
  for (size_t at = 0; at < data->size(); at += sizeof(BlockQ4_0)) {
    BlockQ4_0 block;
    block.d = ToFp16(0.01f);
    for (uint8_t& code : block.qs) code = static_cast<uint8_t>(random());
    std::memcpy(data->data() + at, &block, sizeof(block));
  }
  return {"bench", QuantFormatId::kQ4_0, n, kBenchK, *data, data};
}

int64_t RowsFor(bool dram, double weight_bits) {
  const double bytes = dram ? 96.0 * (1 << 20) : 192.0 * (1 << 10);
  const auto rows = static_cast<int64_t>(bytes / (static_cast<double>(kBenchK) * weight_bits / 8));
  return rows < 64 ? 64 : rows / 64 * 64;
}

}  // namespace

std::shared_ptr<const LinearOp> OperatorCache::Get(const std::string& precision, bool dram, ExecContext& context) {
  const std::string key = precision + (dram ? "/dram" : "/l2");
  if (key == key_) return op_;
  op_.reset();
  const StatusOr<Precision> parsed = Precision::Parse(precision);
  double bits = 0;
  for (int64_t rows : {int64_t{64}, int64_t{0}}) {
    const WeightMatrix matrix = MakeMatrix(rows != 0 ? rows : RowsFor(dram, bits));
    const LinearSpec spec{{&matrix, 1}, {}, *parsed, false};
    op_ = *PrepareCpuLinear(spec, *SelectIsa(), false, context);
    bits = op_->info().weight_bits;
  }
  key_ = key;
  return op_;
}

std::vector<float> RandomRows(int64_t rows) {
  std::vector<float> x(static_cast<size_t>(rows * kBenchK));
  std::mt19937 random(2);
  for (float& value : x) value = static_cast<float>(random() % 2000) / 1000.0f - 1.0f;
  return x;
}

double PeakFor(const std::string& kernel, const MachineRates& rates) {
  if (kernel.find("a8") != std::string::npos) return rates.int8_peak;
  return kernel.rfind("bf16", 0) == 0 ? rates.bf16_peak : rates.float_peak;
}

}  // namespace bitrate::bench
