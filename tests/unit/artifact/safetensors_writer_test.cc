#include "engine/artifact/safetensors_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "engine/artifact/safetensors_file.h"
#include "engine/base/limits.h"
#include "tests/unit/artifact/test_files.h"

namespace bitrate {
namespace {

using testing::ElementsAre;

size_t FilesIn(const std::string& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(SafetensorsWriter, WhatWasWrittenIsRead) {
  const std::vector<float> floats = {1.5f, -2.0f, 3.25f, 0, 5, 6};
  const std::vector<int64_t> longs = {INT64_MIN, 7};
  const std::vector<uint8_t> bytes = {1, 2, 3};
  const TempFolder folder;
  const std::string path = folder.path() + "/out.safetensors";
  const NamedTensor tensors[] = {
      {"logits", DType::kF32, {2, 3}, std::as_bytes(std::span(floats))},
      {"odd", DType::kU8, {3}, std::as_bytes(std::span(bytes))},
      {"ids", DType::kI64, {2}, std::as_bytes(std::span(longs))},
      {"nothing", DType::kF16, {0, 4}, {}},
      {"one", DType::kF32, {}, std::as_bytes(std::span(floats).first(1))},
  };
  ASSERT_TRUE(WriteSafetensors(path, tensors).ok());
  EXPECT_EQ(FilesIn(folder.path()), 1u);
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->tensors().size(), 5u);
  EXPECT_EQ(*(*file)->Floats("logits"), floats);
  EXPECT_THAT((*file)->Find("logits")->shape, ElementsAre(2, 3));
  EXPECT_THAT(*(*file)->Floats("one"), ElementsAre(1.5f));
  EXPECT_TRUE((*file)->Floats("nothing")->empty());
  for (const NamedTensor& want : tensors) {
    const SafetensorsTensor* got = (*file)->Find(want.name);
    ASSERT_NE(got, nullptr) << want.name;
    EXPECT_EQ(got->dtype, want.dtype);
    EXPECT_EQ(got->shape, want.shape);
    EXPECT_TRUE(std::ranges::equal((*file)->Bytes(*got), want.data)) << want.name;
    EXPECT_EQ(got->begin % DTypeBytes(want.dtype), 0u) << want.name << " is not aligned";
  }
}

TEST(SafetensorsWriter, ReplacesAFileWhole) {
  const TempFolder folder;
  const std::string path = folder.Write("out.safetensors", "old");
  const std::vector<float> floats = {1};
  const NamedTensor tensor{"a", DType::kF32, {1}, std::as_bytes(std::span(floats))};
  ASSERT_TRUE(WriteSafetensors(path, std::span(&tensor, 1)).ok());
  EXPECT_TRUE(SafetensorsFile::Open(path).ok());
}

TEST(SafetensorsWriter, NoTensorsIsAFileToo) {
  const TempFolder folder;
  ASSERT_TRUE(WriteSafetensors(folder.path() + "/e.safetensors", {}).ok());
  EXPECT_TRUE(SafetensorsFile::Open(folder.path() + "/e.safetensors").ok());
}

TEST(SafetensorsWriter, BadTensorsAreRefusedByName) {
  const std::vector<float> floats = {1, 2};
  const auto data = std::as_bytes(std::span(floats));
  const TempFolder folder;
  const std::string path = folder.Write("out.safetensors", "old");
  const auto write = [&](std::vector<NamedTensor> tensors) { return WriteSafetensors(path, tensors); };
  constexpr StatusCode kInvalid = StatusCode::kInvalidArgument;
  ExpectError(write({{"w", DType::kF32, {3}, data}}), kInvalid, "tensor w: 8 bytes");
  ExpectError(write({{"w", DType::kF32, {int64_t{1} << 62, 4}, data}}), kInvalid, "tensor w");
  ExpectError(write({{"w", DType::kF32, {-2}, data}}), kInvalid, "tensor w");
  ExpectError(write({{"w", DType::kF32, std::vector<int64_t>(9, 1), data.first(4)}}), kInvalid, "9 dimensions");
  ExpectError(write({{"", DType::kF32, {2}, data}}), kInvalid, "not a legal name");
  ExpectError(write({{"__metadata__", DType::kF32, {2}, data}}), kInvalid, "not a legal name");
  ExpectError(write({{"\xff", DType::kF32, {2}, data}}), kInvalid, "not a legal name");
  ExpectError(write({{std::string("a\0b", 3), DType::kF32, {2}, data}}), kInvalid, "not a legal name");
  ExpectError(write({{std::string(limits::kMaxTensorNameBytes + 1, 'n'), DType::kF32, {2}, data}}), kInvalid,
              "not a legal");
  ExpectError(write({{"w", DType::kF32, {2}, data}, {"w", DType::kF32, {2}, data}}), kInvalid,
              "w: the name appears twice");
  EXPECT_EQ(ReadFile(path), "old");
  EXPECT_EQ(FilesIn(folder.path()), 1u);
}

TEST(SafetensorsWriter, BadPathsLeaveNothing) {
  const TempFolder folder;
  ExpectError(WriteSafetensors(folder.path() + "/no/such/file", {}), StatusCode::kNotFound, "cannot create");
  ExpectError(WriteSafetensors("", {}), StatusCode::kInvalidArgument, "output path");
  // A folder in the way: the rename fails and the temporary file goes.
  std::filesystem::create_directories(folder.path() + "/taken/inner");
  EXPECT_FALSE(WriteSafetensors(folder.path() + "/taken", {}).ok());
  EXPECT_EQ(FilesIn(folder.path()), 1u);
}

}  // namespace
}  // namespace bitrate
