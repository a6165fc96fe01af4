#include "engine/base/cpu_features.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace bitrate {
namespace {

class IsaOverride : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* value = std::getenv("BITRATE_ISA")) saved_ = value;
  }
  void TearDown() override {
    if (saved_) {
      setenv("BITRATE_ISA", saved_->c_str(), 1);
    } else {
      unsetenv("BITRATE_ISA");
    }
  }
  std::optional<std::string> saved_;
};

TEST_F(IsaOverride, UnsetOrEmptyIsTheBest) {
  unsetenv("BITRATE_ISA");
  EXPECT_EQ(*SelectIsa(), DetectIsa());
  setenv("BITRATE_ISA", "", 1);
  EXPECT_EQ(*SelectIsa(), DetectIsa());
}

TEST_F(IsaOverride, LowersButNeverRaises) {
  for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
    setenv("BITRATE_ISA", std::string(IsaName(isa)).c_str(), 1);
    const StatusOr<Isa> selected = SelectIsa();
    if (isa <= DetectIsa()) {
      ASSERT_TRUE(selected.ok()) << selected.status();
      EXPECT_EQ(*selected, isa);
    } else {
      EXPECT_EQ(selected.status().code(), StatusCode::kInvalidArgument);
    }
  }
}

TEST_F(IsaOverride, AnUnknownNameIsAnError) {
  for (const char* name : {"AVX2", "sse", "avx2 ", "avx-512"}) {
    setenv("BITRATE_ISA", name, 1);
    const StatusOr<Isa> selected = SelectIsa();
    EXPECT_EQ(selected.status().code(), StatusCode::kInvalidArgument) << name;
    EXPECT_NE(ToStd(selected.status().message()).find(name), std::string_view::npos);
  }
}

TEST(RunnableIsas, FromScalarToTheBest) {
  const std::vector<Isa> isas = RunnableIsas();
  ASSERT_FALSE(isas.empty());
  EXPECT_EQ(isas.front(), Isa::kScalar);
  EXPECT_EQ(isas.back(), DetectIsa());
}

}  // namespace
}  // namespace bitrate
