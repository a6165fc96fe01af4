// How many CPUs this process may use, and which. Thread rule: any thread. Unreadable files count as no limit.
#ifndef BITRATE_ENGINE_BASE_USABLE_CPUS_H_
#define BITRATE_ENGINE_BASE_USABLE_CPUS_H_

#include <string>
#include <string_view>
#include <vector>

namespace bitrate {

// The CPUs of the calling thread's affinity mask, ascending; empty if the kernel does not say.
std::vector<int> AffinityCpus();

// The affinity mask's size, lowered by the cgroup v1/v2 quota (rounded up), at least 1.
int UsableCpus();

// The quota part of it: CPUs allowed by the cgroups named in `proc_cgroup` (the text of /proc/self/cgroup) and their
// parents below `cgroup_root`, or `cpus` if they set no lower limit.
int CgroupCpuLimit(std::string_view proc_cgroup, const std::string& cgroup_root, int cpus);

}  // namespace bitrate

#endif  // BITRATE_ENGINE_BASE_USABLE_CPUS_H_
