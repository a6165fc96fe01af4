// What the linear differential tests share: random matrices in every storage format, the grid of cases and shapes, the
// kernel tables to try, and workers on plain threads.
#ifndef BITRATE_TESTS_DIFFERENTIAL_LINEAR_LINEAR_FIXTURE_H_
#define BITRATE_TESTS_DIFFERENTIAL_LINEAR_LINEAR_FIXTURE_H_

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/kernels/linear_kernels.h"
#include "engine/format/quant_format.h"
#include "engine/format/weight_matrix.h"

namespace bitrate::linear_test {

class ThreadParallel final : public Parallel {
 public:
  explicit ThreadParallel(int workers) : workers_(workers) {}
  int num_workers() const override { return workers_; }
  void Run(absl::FunctionRef<void(int worker)> fn) override;

 private:
  int workers_;
};

// Engine-thread state with its own workers.
struct TestContext {
  explicit TestContext(int workers) : parallel(workers) {}
  ExecContext Get() { return {&parallel, &scratch}; }
  ThreadParallel parallel;
  ScratchArena scratch;
};

struct Case {
  std::string precision;
  QuantFormatId source = QuantFormatId::kF32;
  bool is_head = false;
  std::string Name() const;  // a valid test name
};
inline void PrintTo(const Case& c, std::ostream* os) { *os << c.Name(); }
std::vector<Case> AllCases();

struct Shape {
  int64_t n, k;
};
// Odd edges of N and K; K rounded up to whole blocks of `source`.
std::vector<Shape> ShapesFor(QuantFormatId source);

// Values in about +-1, scales that exercise signs; deterministic in `seed`.
WeightMatrix RandomMatrix(QuantFormatId format, int64_t n, int64_t k, uint32_t seed);
std::vector<float> RandomFloats(size_t count, uint32_t seed);

struct Table {
  std::string name;
  const linear::LinearKernels* kernels;
  std::vector<int64_t> ms;     // how many rows of x to try: fewer for slow tables
  bool exact_bf16_dot = true;  // dpbf16 is the emulation's, so its bits are known
};
// Scalar, every native ISA, and AVX-512 emulated.
std::vector<Table> AllTables();

std::shared_ptr<const LinearOp> Prepare(const LinearSpec& spec, const linear::LinearKernels& kernels,
                                        ExecContext& context);
std::shared_ptr<const LinearOp> Prepare(const Case& c, std::span<const WeightMatrix> parts, std::span<const float> bias,
                                        const linear::LinearKernels& kernels);
// y [m, N] of x [m, K].
std::vector<float> RunOp(const LinearOp& op, const std::vector<float>& x, int64_t m, int workers);
// All dequantized rows [N, K], by GatherRows.
std::vector<float> GatherAll(const LinearOp& op);

}  // namespace bitrate::linear_test

#endif  // BITRATE_TESTS_DIFFERENTIAL_LINEAR_LINEAR_FIXTURE_H_
