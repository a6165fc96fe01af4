#include "server/memory_info.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace bitrate {
namespace {

// The number in a one-line file; 0 for "max", garbage or no file.
uint64_t ReadNumber(const char* path) {
  std::ifstream in(path);
  uint64_t value = 0;
  return in >> value ? value : 0;
}

uint64_t CgroupLeft(const char* limit_path, const char* used_path) {
  constexpr uint64_t kNoLimit = uint64_t{1} << 60;  // cgroup v1 writes about 2^63
  const uint64_t limit = ReadNumber(limit_path), used = ReadNumber(used_path);
  if (limit == 0 || limit > kNoLimit) return 0;
  return limit > used ? limit - used : 1;
}

}  // namespace

uint64_t AvailableMemoryBytes() {
  uint64_t available = 0;
  std::ifstream in("/proc/meminfo");
  for (std::string key; in >> key;) {
    uint64_t kib = 0;
    if (key == "MemAvailable:" && in >> kib) available = kib * 1024;
  }
  for (const uint64_t left :
       {CgroupLeft("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        CgroupLeft("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes")}) {
    if (left > 0) available = available == 0 ? left : std::min(available, left);
  }
  return available;
}

uint64_t ProcessResidentBytes() {
  std::ifstream in("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  if (!(in >> total >> resident)) return 0;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace bitrate
