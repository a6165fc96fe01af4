// Memory for large, long-lived arrays (packed weights, KV blocks, step activations) on 2 MiB pages where the kernel has
// them. A decode step streams every weight once: with 4 KiB pages the hardware prefetchers stop at each page's end and
// wait for the TLB; on 2 MiB pages one core reads a quarter more a second. A page that size holds several matrices of a
// small model, so arrays share chunks instead of being mapped one by one.
//
// Thread rule: thread-safe. Under AddressSanitizer AlignedBuffer uses the heap instead, which sees an overrun.
#ifndef BITRATE_ENGINE_BASE_LARGE_MEMORY_H_
#define BITRATE_ENGINE_BASE_LARGE_MEMORY_H_

#include <cstddef>

namespace bitrate {

// Arrays from this size on are worth it.
inline constexpr size_t kLargeMemoryBytes = size_t{16} << 10;

// Zero-filled, aligned to 4096 bytes; nullptr when the system has no more. bytes > 0. Untouched pages take no memory.
void* AllocateLarge(size_t bytes);
// `data` from AllocateLarge of the same `bytes`. Its pages go back to the system at once.
void FreeLarge(void* data, size_t bytes);

struct LargeMemoryUse {
  size_t mapped_bytes = 0;     // address space held, in chunks
  size_t allocated_bytes = 0;  // of it, handed out (whole 4 KiB pages)
};
LargeMemoryUse GetLargeMemoryUse();

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_LARGE_MEMORY_H_
