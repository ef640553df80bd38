#include "containerbuilder/client/error_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "containerbuilder/errors/v1/error_details.pb.h"

namespace containerbuilder::client {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kErrorInfo[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kBadRequest[] = "type.googleapis.com/google.rpc.BadRequest";

TEST(ErrorInfoTest, NothingWithoutDetails) {
  EXPECT_EQ(GetErrorInfo(absl::InternalError("plain")), std::nullopt);
  EXPECT_EQ(GetErrorInfo(absl::OkStatus()), std::nullopt);
}

TEST(ErrorInfoTest, NothingWhereDetailsDoNotParse) {
  absl::Status status = absl::InternalError("damaged");
  status.SetPayload(kErrorInfo, absl::Cord("\xff\xff"));
  EXPECT_EQ(GetErrorInfo(status), std::nullopt);
}

TEST(ErrorInfoTest, ReasonWithoutViolations) {
  errors::v1::ErrorInfo info;
  info.set_reason("QUEUE_FULL");
  absl::Status status = absl::ResourceExhaustedError("full");
  status.SetPayload(kErrorInfo, absl::Cord(info.SerializeAsString()));

  const auto read = GetErrorInfo(status);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->reason, "QUEUE_FULL");
  EXPECT_THAT(read->field_violations, IsEmpty());
}

TEST(ErrorInfoTest, ViolationsWithoutReason) {
  errors::v1::BadRequest bad_request;
  bad_request.add_field_violations()->set_field("spec");
  absl::Status status = absl::InvalidArgumentError("bad");
  status.SetPayload(kBadRequest, absl::Cord(bad_request.SerializeAsString()));

  const auto read = GetErrorInfo(status);
  ASSERT_TRUE(read.has_value());
  EXPECT_THAT(read->reason, IsEmpty());
  ASSERT_THAT(read->field_violations, SizeIs(1));
  EXPECT_EQ(read->field_violations[0].field, "spec");
}

TEST(ErrorInfoTest, RetryDelay) {
  errors::v1::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(1);
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  absl::Status status = absl::UnavailableError("draining");
  status.SetPayload("type.googleapis.com/google.rpc.RetryInfo",
                    absl::Cord(retry.SerializeAsString()));

  const auto read = GetErrorInfo(status);
  ASSERT_TRUE(read.has_value());
  EXPECT_THAT(read->reason, IsEmpty());
  EXPECT_EQ(read->retry_delay, absl::Milliseconds(1500));
}

}  // namespace
}  // namespace containerbuilder::client
