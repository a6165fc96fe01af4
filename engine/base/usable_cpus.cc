#include "engine/base/usable_cpus.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

namespace bitrate {
namespace {

std::string ReadSmallFile(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return in ? text.str() : std::string();
}

std::optional<int64_t> ToInt(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  int64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

int RoundedUpCpus(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return INT_MAX;
  return static_cast<int>(std::clamp<int64_t>(*quota / *period + (*quota % *period != 0), 1, INT_MAX));
}

// The limit that one cgroup folder sets: v2 `cpu.max` = "quota|max period", or the two v1 files.
int FolderCpuLimit(const std::string& folder) {
  const std::string max = ReadSmallFile(folder + "/cpu.max");
  const size_t space = max.find(' ');
  if (space != std::string::npos) {
    return RoundedUpCpus(ToInt(std::string_view(max).substr(0, space)), ToInt(std::string_view(max).substr(space + 1)));
  }
  return RoundedUpCpus(ToInt(ReadSmallFile(folder + "/cpu.cfs_quota_us")),
                       ToInt(ReadSmallFile(folder + "/cpu.cfs_period_us")));
}

}  // namespace

std::vector<int> AffinityCpus() {
  std::vector<int> cpus;
  for (int capacity = CPU_SETSIZE; capacity <= (1 << 16) && cpus.empty(); capacity *= 4) {
    cpu_set_t* set = CPU_ALLOC(capacity);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(capacity);
    if (sched_getaffinity(0, bytes, set) == 0) {
      for (int cpu = 0; cpu < capacity; ++cpu) {
        if (CPU_ISSET_S(cpu, bytes, set)) cpus.push_back(cpu);
      }
    }
    CPU_FREE(set);
  }
  return cpus;
}

int CgroupCpuLimit(std::string_view proc_cgroup, const std::string& cgroup_root, int cpus) {
  int limit = std::max(cpus, 1);
  std::istringstream lines{std::string(proc_cgroup)};
  for (std::string line; std::getline(lines, line);) {  // "id:controllers:/path"
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string padded = "," + controllers + ",";
    if (!controllers.empty() && padded.find(",cpu,") == std::string::npos) continue;
    const std::string mount = controllers.empty() ? cgroup_root : cgroup_root + "/" + controllers;
    // In a container the path may be the host's and not exist below the mount: missing folders set no limit, and the
    // walk always ends at the mount itself, which is the container's own group then.
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      limit = std::min(limit, FolderCpuLimit(mount + path));
      if (path.find('/') == std::string::npos) break;
    }
  }
  return limit;
}

int UsableCpus() {
  const int affinity = static_cast<int>(AffinityCpus().size());
  const int cpus = affinity > 0 ? affinity : static_cast<int>(std::thread::hardware_concurrency());
  return CgroupCpuLimit(ReadSmallFile("/proc/self/cgroup"), "/sys/fs/cgroup", cpus);
}

}  // namespace bitrate
