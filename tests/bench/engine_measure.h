// Times a decoder on the compute pool without transport: steps exactly as an instance runs them, the greedy choice of
// the next token included. One thread; every step takes and gives back its own lease.
#ifndef BITRATE_TESTS_BENCH_ENGINE_MEASURE_H_
#define BITRATE_TESTS_BENCH_ENGINE_MEASURE_H_

#include <memory>
#include <vector>

#include "engine/base/compute_pool.h"
#include "engine/model/decoder_model.h"

namespace bitrate::bench {

// Where the steps run.
struct Bench {
  std::shared_ptr<const DecoderModel> model;
  ComputePool* pool = nullptr;
  ComputePool::ClientId client = 0;
};

struct DecodeTimes {
  std::vector<double> step_seconds;    // one a step of `batch` rows
  std::vector<double> prompt_seconds;  // one a sequence
};
// `batch` sequences of `prompt` tokens, prefilled one by one, then `steps` decode steps together.
DecodeTimes MeasureDecode(const Bench& bench, int batch, int prompt, int steps);

// Seconds of one prompt of `tokens`, in steps of at most `chunk` tokens, `repeats` times after one that is not counted.
std::vector<double> MeasurePrefill(const Bench& bench, int tokens, int chunk, int repeats);

struct ReadShare {
  uint64_t bytes = 0;                // read by either
  std::vector<double> read_seconds;  // a plain read of the packed weights
  std::vector<double> step_seconds;  // the decode step beside it
};
// `pairs` times a batch-1 decode step at a context of `prompt` tokens and a read of the same packed buffers in the same
// order, alternated: step, read, read, step, ...
ReadShare MeasureReadShare(const Bench& bench, int prompt, int pairs);

}  // namespace bitrate::bench

#endif  // BITRATE_TESTS_BENCH_ENGINE_MEASURE_H_
