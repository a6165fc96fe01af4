// How much memory there is. Zero where it cannot be told.
#ifndef BITRATE_SERVER_MEMORY_INFO_H_
#define BITRATE_SERVER_MEMORY_INFO_H_

#include <cstdint>

namespace bitrate {

// What this process may still take: MemAvailable of the machine, lowered by what the cgroup (v2 or v1) has left.
uint64_t AvailableMemoryBytes();
uint64_t ProcessResidentBytes();

}  // namespace bitrate

#endif  // BITRATE_SERVER_MEMORY_INFO_H_
