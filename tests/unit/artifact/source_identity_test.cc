// What stands for the files of a checkpoint: other content, another identity; the same file elsewhere, the same one.
#include "engine/artifact/source_identity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

const auto kLater = [] { return std::chrono::system_clock::now() + std::chrono::hours(1); };

std::string Identity(const std::string& path, std::string_view digest = "d") {
  const auto file = MappedFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? SourceIdentity(digest, {&*file, 1}, kLater()) : "";
}

// Content without a change of times, as on a file system whose times say nothing.
void Overwrite(const std::string& path, size_t at, char value) {
  struct stat before;
  ASSERT_EQ(stat(path.c_str(), &before), 0);
  const int fd = open(path.c_str(), O_WRONLY);
  ASSERT_EQ(pwrite(fd, &value, 1, static_cast<off_t>(at)), 1);
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(futimens(fd, times), 0);
  close(fd);
}

TEST(SourceIdentity, FollowsTheFileNotItsPath) {
  TempFolder folder;
  const std::string path = folder.Write("a", std::string(1 << 20, 'x'));
  const std::string before = Identity(path);
  EXPECT_EQ(before.size(), 32u);
  EXPECT_EQ(Identity(path), before);
  EXPECT_NE(Identity(path, "e"), before);
  std::filesystem::create_directory(folder.path() + "/moved");
  const std::string moved = folder.path() + "/moved/b";
  std::filesystem::create_hard_link(path, moved);  // a rename would change its times
  EXPECT_EQ(Identity(path), Identity(moved));
}

TEST(SourceIdentity, ChangesWithTheContent) {
  TempFolder folder;
  const std::string path = folder.Write("a", std::string(1 << 20, 'x'));
  const std::string before = Identity(path);
  // The first and the last byte are always in the sample; a byte between the samples shows by its time of change.
  for (const size_t at : {size_t{0}, size_t{(1 << 20) - 1}, size_t{5000}}) {
    Overwrite(path, at, 'y');
    EXPECT_NE(Identity(path), before) << at;
    Overwrite(path, at, 'x');
  }
  const std::string other = folder.Write("b", std::string(1 << 20, 'x'));
  EXPECT_NE(Identity(other), before);
}

TEST(SourceIdentity, NothingForAFileThatChangedJustNow) {
  TempFolder folder;
  const auto file = MappedFile::Open(folder.Write("a", "content"));
  ASSERT_TRUE(file.ok());
  const auto changed =
      std::chrono::system_clock::time_point(std::chrono::duration_cast<std::chrono::system_clock::duration>(
          std::chrono::nanoseconds((*file)->stamp().changed_ns)));
  EXPECT_EQ(SourceIdentity("d", {&*file, 1}, changed + std::chrono::milliseconds(1900)), "");
  EXPECT_NE(SourceIdentity("d", {&*file, 1}, changed + std::chrono::milliseconds(2100)), "");
  EXPECT_EQ(SourceIdentity("d", {}, kLater()), "");
}

TEST(MappedFile, ReleasedPagesAreReadAgain) {
  TempFolder folder;
  const auto file = MappedFile::Open(folder.Write("a", std::string(100'000, 'x')));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->bytes()[50'000], std::byte{'x'});
  (*file)->ReleasePages();
  EXPECT_EQ((*file)->bytes()[50'000], std::byte{'x'});
}

}  // namespace
}  // namespace bitrate
