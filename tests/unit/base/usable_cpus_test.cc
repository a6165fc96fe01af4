#include "engine/base/usable_cpus.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace bitrate {
namespace {

class CgroupTest : public testing::Test {
 protected:
  CgroupTest() : root_(testing::TempDir() + "bitrate_cgroup_" + std::to_string(::getpid())) {}
  ~CgroupTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  int Limit(const std::string& proc_cgroup, int cpus = 64) { return CgroupCpuLimit(proc_cgroup, root_, cpus); }
  std::string root_;
};

TEST_F(CgroupTest, NoFilesNoLimit) {
  EXPECT_EQ(Limit("0::/a/b\n"), 64);
  EXPECT_EQ(Limit(""), 64);
  EXPECT_EQ(Limit("", 0), 1);
}

TEST_F(CgroupTest, Version2) {
  Write("/cpu.max", "max 100000\n");
  Write("/a/b/cpu.max", "350000 100000\n");
  EXPECT_EQ(Limit("0::/a/b\n"), 4);  // 3.5 CPUs
  EXPECT_EQ(Limit("0::/a/b\n", 2), 2);
  EXPECT_EQ(Limit("0::/a\n"), 64);
  Write("/a/cpu.max", "200000 100000\n");  // the parent is stricter
  EXPECT_EQ(Limit("0::/a/b\n"), 2);
  Write("/a/cpu.max", "1000 100000\n");  // less than one CPU is one
  EXPECT_EQ(Limit("0::/a/b\n"), 1);
}

TEST_F(CgroupTest, Version2InsideAContainer) {
  Write("/cpu.max", "150000 100000\n");
  EXPECT_EQ(Limit("0::/\n"), 2);
  EXPECT_EQ(Limit("0::/../outside\n"), 2);
}

TEST_F(CgroupTest, Version1) {
  Write("/cpu,cpuacct/pod/cpu.cfs_quota_us", "250000\n");
  Write("/cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
  const std::string proc = "12:memory:/pod\n4:cpu,cpuacct:/pod\n1:name=systemd:/pod\n";
  EXPECT_EQ(Limit(proc), 3);
  Write("/cpu,cpuacct/pod/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(Limit(proc), 64);
  // The host's path does not exist inside; the mount itself is the group.
  Write("/cpu,cpuacct/cpu.cfs_quota_us", "100000\n");
  Write("/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Limit("4:cpu,cpuacct:/docker/0123\n"), 1);
}

TEST_F(CgroupTest, NonsenseIsNoLimit) {
  Write("/a/cpu.max", "lots 100000\n");
  EXPECT_EQ(Limit("0::/a\n"), 64);
  Write("/a/cpu.max", "100000 0\n");
  EXPECT_EQ(Limit("0::/a\n"), 64);
  Write("/a/cpu.max", "");
  EXPECT_EQ(Limit("0::/a\nnot a line\n::\n"), 64);
  Write("/a/cpu.max", "9223372036854775807 1\n");
  EXPECT_EQ(Limit("0::/a\n"), 64);
}

TEST(UsableCpus, WithinTheAffinityMask) {
  const std::vector<int> cpus = AffinityCpus();
  ASSERT_FALSE(cpus.empty());
  EXPECT_GE(UsableCpus(), 1);
  EXPECT_LE(UsableCpus(), static_cast<int>(cpus.size()));
}

}  // namespace
}  // namespace bitrate
