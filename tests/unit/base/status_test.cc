#include "engine/base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace bitrate {
namespace {

Status FailIf(bool fail) { return fail ? NotFound("no {} in {}", "tensor", 3) : OkStatus(); }
StatusOr<std::unique_ptr<int>> Make(bool fail) {
  RETURN_IF_ERROR(FailIf(fail));
  return std::make_unique<int>(7);
}
StatusOr<int> Use(bool fail) {
  ASSIGN_OR_RETURN(const std::unique_ptr<int> made, Make(fail));
  return *made + 1;
}

TEST(Status, MacrosPassErrorsOnAndMoveValues) {
  EXPECT_EQ(*Use(false), 8);
  const StatusOr<int> failed = Use(true);
  EXPECT_EQ(failed.status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ToStd(failed.status().message()), "no tensor in 3");
}

TEST(Status, AnnotateKeepsCodeAndPayload) {
  EXPECT_TRUE(Annotate(OkStatus(), "reading x").ok());
  Status status = DataLoss("short file");
  status.SetPayload("url", absl::Cord("payload"));
  const Status annotated = Annotate(status, "reading x");
  EXPECT_EQ(annotated.code(), StatusCode::kDataLoss);
  EXPECT_EQ(ToStd(annotated.message()), "reading x: short file");
  EXPECT_EQ(annotated.GetPayload("url"), absl::Cord("payload"));
}

TEST(Status, MakersHaveTheirCodes) {
  EXPECT_EQ(InvalidArgument("{}", 1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(FailedPrecondition("x").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(ResourceExhausted("x").code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Unavailable("x").code(), StatusCode::kUnavailable);
  EXPECT_EQ(Internal("x").code(), StatusCode::kInternal);
  EXPECT_EQ(Cancelled("x").code(), StatusCode::kCancelled);
  EXPECT_EQ(DeadlineExceeded("x").code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ToStd(InvalidArgument("100% {{}}").message()), "100% {}");
}

}  // namespace
}  // namespace bitrate
