// Bytes as a stream of operations on an engine with a stub model: submit, step, cancel, expire, stall, fail, drain. The
// invariants of tests/unit/runtime/simulation.h are checked after each; a broken one is a crash.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/unit/runtime/simulation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  bitrate::ByteOps ops({data, size});
  const std::string wrong = bitrate::RunSchedule(ops, bitrate::Plant::kNone, nullptr);
  if (!wrong.empty()) {
    std::fprintf(stderr, "invariant broken: %s\n", wrong.c_str());
    std::abort();
  }
  return 0;
}
