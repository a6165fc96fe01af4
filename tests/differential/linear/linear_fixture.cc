#include "tests/differential/linear/linear_fixture.h"

#include <fmt/core.h>

#include <cstring>
#include <numeric>
#include <random>
#include <thread>

#include "engine/backend/cpu/linear_select.h"
#include "engine/base/check.h"
#include "engine/base/cpu_features.h"
#include "engine/base/half.h"
#include "engine/format/blocks.h"
#include "tests/differential/linear/emulated_avx512.h"

namespace bitrate::linear_test {
namespace {

// Random bytes everywhere, then sane scales: any code is a legal code.
template <typename Block, typename SetScale>
void FillBlocks(std::vector<std::byte>& data, std::mt19937& random, SetScale set_scale) {
  for (size_t at = 0; at < data.size(); at += sizeof(Block)) {
    Block block;
    auto* bytes = reinterpret_cast<uint8_t*>(&block);
    for (size_t i = 0; i < sizeof(Block); ++i) bytes[i] = static_cast<uint8_t>(random());
    set_scale(block);
    std::memcpy(data.data() + at, &block, sizeof(Block));
  }
}

}  // namespace

void ThreadParallel::Run(absl::FunctionRef<void(int worker)> fn) {
  std::vector<std::thread> threads;
  for (int worker = 1; worker < workers_; ++worker) threads.emplace_back([fn, worker] { fn(worker); });
  fn(0);
  for (std::thread& thread : threads) thread.join();
}

std::string Case::Name() const {
  std::string name = fmt::format("{}_{}{}", precision, GetQuantFormat(source).name, is_head ? "_head" : "");
  for (char& c : name) {
    if (c == '-') c = '_';
  }
  return name;
}

std::vector<Case> AllCases() {
  using enum QuantFormatId;
  std::vector<Case> cases = {{"fp32"},
                             {"bf16"},
                             {"bf16", kBF16},
                             {"fp16"},
                             {"fp16", kF16},
                             {"int8"},
                             {"int8", kQ8_0},
                             {"int8-token"},
                             {"int8-w8a16"},
                             {"int4", kF32},
                             {"int4", kQ4_0},
                             {"int4", kQ4_1},
                             {"int4", kQ4_K},
                             {"int4", kQ6_K},
                             {"int4-w4a16", kQ4_0},
                             {"int4-w4a16", kQ4_1},
                             {"int4-w4a16", kQ4_K},
                             {"nf4"},
                             {"nf4", kF32, true},
                             {"native", kQ6_K},
                             {"native", kQ4_1},
                             {"native", kQ8_0},
                             {"int8", kF32, true},
                             {"int8-token", kF32, true},
                             {"int4", kQ8_0, true},
                             {"int4", kQ4_1, true},
                             {"int4-w4a16", kQ8_0, true},
                             {"int8-w8a16", kQ8_0, true},
                             {"int8-w8a16", kF32, true},
                             {"bf16", kBF16, true}};
  for (const char* group : {"-g32", "-g64", "-g128"}) {
    for (const char* offset : {"-sym", "-asym", "-min"}) {
      cases.push_back({fmt::format("int4{}{}", group, offset)});
      cases.push_back({fmt::format("int4{}{}-w4a16", group, offset)});
    }
  }
  return cases;
}

std::vector<Shape> ShapesFor(QuantFormatId source) {
  const int64_t block = GetQuantFormat(source).block_elements;
  std::vector<Shape> shapes;
  for (Shape shape : std::initializer_list<Shape>{
           {70, 32}, {65, 33}, {1, 70}, {130, 101}, {64, 576}, {61, 1000}, {65, 1055}, {10, 1600}}) {
    shape.k = (shape.k + block - 1) / block * block;
    shapes.push_back(shape);
  }
  return shapes;
}

std::vector<float> RandomFloats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.5f);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

WeightMatrix RandomMatrix(QuantFormatId format, int64_t n, int64_t k, uint32_t seed) {
  using enum QuantFormatId;
  auto data = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(n * RowBytes(format, k)));
  std::mt19937 random(seed);
  const auto scale = [&random](float most) {
    return ToFp16(most * (static_cast<float>(random() % 2001) - 1000.0f) / 1000.0f);  // negative scales are legal
  };
  const std::vector<float> values = RandomFloats(static_cast<size_t>(n * k), seed);
  switch (format) {
    case kF32:
      std::memcpy(data->data(), values.data(), data->size());
      break;
    case kF16:
      for (size_t i = 0; i < values.size(); ++i) reinterpret_cast<Fp16*>(data->data())[i] = ToFp16(values[i]);
      break;
    case kBF16:
      for (size_t i = 0; i < values.size(); ++i) reinterpret_cast<Bf16*>(data->data())[i] = ToBf16(values[i]);
      break;
    case kQ8_0:
      FillBlocks<BlockQ8_0>(*data, random, [&](BlockQ8_0& b) { b.d = scale(0.01f); });
      break;
    case kQ4_0:
      FillBlocks<BlockQ4_0>(*data, random, [&](BlockQ4_0& b) { b.d = scale(0.1f); });
      break;
    case kQ4_1:
      FillBlocks<BlockQ4_1>(*data, random, [&](BlockQ4_1& b) { b.d = scale(0.1f), b.m = scale(1.0f); });
      break;
    case kQ4_K:
      FillBlocks<BlockQ4_K>(*data, random, [&](BlockQ4_K& b) { b.d = scale(0.01f), b.dmin = scale(0.02f); });
      break;
    case kQ6_K:
      FillBlocks<BlockQ6_K>(*data, random, [&](BlockQ6_K& b) { b.d = scale(0.001f); });
      break;
    default:
      BITRATE_CHECK(false);
  }
  WeightMatrix matrix;
  matrix.name = fmt::format("w{}", seed);
  matrix.format = format;
  matrix.n = n;
  matrix.k = k;
  matrix.data = *data;
  matrix.owner = data;
  return matrix;
}

std::vector<Table> AllTables() {
  std::vector<Table> tables;
  for (Isa isa : RunnableIsas()) {
    const linear::LinearKernels& kernels = isa == Isa::kScalar ? linear::ScalarLinearKernels()
                                           : isa == Isa::kAvx2 ? linear::Avx2LinearKernels()
                                                               : linear::Avx512LinearKernels();
    Table table{std::string(IsaName(isa)), &kernels, {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 33, 70}, false};
    if (isa == Isa::kScalar) table.ms = {1, 9};
    tables.push_back(std::move(table));
  }
  tables.push_back({"avx512_emulated", &linear::EmulatedAvx512LinearKernels(), {1, 2, 3, 4, 5, 6, 7, 8, 9, 17}, true});
  return tables;
}

std::shared_ptr<const LinearOp> Prepare(const LinearSpec& spec, const linear::LinearKernels& kernels,
                                        ExecContext& context) {
  auto op = linear::PrepareLinear(
      spec,
      [&](const linear::Scheme&) {
        return linear::Choice{&kernels, {}};
      },
      context);
  BITRATE_CHECK(op.ok());
  return *op;
}

std::shared_ptr<const LinearOp> Prepare(const Case& c, std::span<const WeightMatrix> parts, std::span<const float> bias,
                                        const linear::LinearKernels& kernels) {
  TestContext context(1);
  ExecContext exec = context.Get();
  return Prepare({parts, bias, *Precision::Parse(c.precision), c.is_head}, kernels, exec);
}

std::vector<float> RunOp(const LinearOp& op, const std::vector<float>& x, int64_t m, int workers) {
  TestContext context(workers);
  ExecContext exec = context.Get();
  std::vector<float> y(static_cast<size_t>(m * op.n()), -1.0f);
  op.Run(exec, x.data(), op.k(), m, y.data(), op.n());
  return y;
}

std::vector<float> GatherAll(const LinearOp& op) {
  TestContext context(2);
  ExecContext exec = context.Get();
  std::vector<int32_t> ids(static_cast<size_t>(op.n()));
  std::iota(ids.begin(), ids.end(), 0);
  std::vector<float> rows(static_cast<size_t>(op.n() * op.k()));
  op.GatherRows(exec, ids, rows.data());
  return rows;
}

}  // namespace bitrate::linear_test
