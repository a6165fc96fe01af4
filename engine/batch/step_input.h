// The flat arrays of one engine step, shared by runtime (which fills them) and model (which reads them).
// Owner: the engine thread. All vectors are reused between steps.
#ifndef BITRATE_ENGINE_BATCH_STEP_INPUT_H_
#define BITRATE_ENGINE_BATCH_STEP_INPUT_H_

#include <cstdint>
#include <vector>

namespace bitrate {

class Adapter;  // engine/model/adapter.h

struct StepInput {
  std::vector<int32_t> token_ids;     // [M]
  std::vector<int32_t> positions;     // [M]
  std::vector<int32_t> query_start;   // [B + 1] rows of each sequence
  std::vector<int32_t> block_tables;  // [B, max_blocks]
  // [B] of each sequence, null = none, kept alive by whoever fills this in; empty = no sequence has one
  std::vector<const Adapter*> adapters;
  std::vector<int32_t> lengths;  // [B] tokens known of each sequence, those of later steps too; empty = up to here
  int max_blocks = 0;
  int num_layers = 0;  // computed, from the first; 0 = all. For a warm-up: all layers take the same memory
  int num_sequences() const { return static_cast<int>(query_start.size()) - 1; }
  int num_rows() const { return static_cast<int>(token_ids.size()); }
};

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BATCH_STEP_INPUT_H_
