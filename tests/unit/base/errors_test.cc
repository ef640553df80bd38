#include "base/errors.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::StatusIs;

struct Case {
  absl::Status status;
  absl::StatusCode code;
  std::string reason;
};

// The table of the contract.
TEST(ErrorsTest, HaveTheContractsCodesAndReasons) {
  const Case cases[] = {
      {errors::OptionInvalid("f", "d"), absl::StatusCode::kInvalidArgument,
       "OPTION_INVALID"},
      {errors::OptionUnknown("f", "d"), absl::StatusCode::kInvalidArgument,
       "OPTION_UNKNOWN"},
      {errors::ContextRelative("f", "p"), absl::StatusCode::kInvalidArgument,
       "CONTEXT_RELATIVE"},
      {errors::ContextNotFound("f", "p"), absl::StatusCode::kInvalidArgument,
       "CONTEXT_NOT_FOUND"},
      {errors::ContextNotADirectory("f", "p"),
       absl::StatusCode::kInvalidArgument, "CONTEXT_NOT_A_DIRECTORY"},
      {errors::OptionUnsupported("f", "pull", "1.7.7"),
       absl::StatusCode::kFailedPrecondition, "OPTION_UNSUPPORTED"},
      {errors::NerdctlNotFound("d"), absl::StatusCode::kFailedPrecondition,
       "NERDCTL_NOT_FOUND"},
      {errors::NerdctlNotExecutable("p", "d"),
       absl::StatusCode::kFailedPrecondition, "NERDCTL_NOT_EXECUTABLE"},
      {errors::PathNotAllowed("f", "d", "s"),
       absl::StatusCode::kPermissionDenied, "PATH_NOT_ALLOWED"},
      {errors::OptionNotAllowed("f", "d", "s"),
       absl::StatusCode::kPermissionDenied, "OPTION_NOT_ALLOWED"},
      {errors::Draining(), absl::StatusCode::kUnavailable, "DRAINING"},
      {errors::Storage("d"), absl::StatusCode::kUnavailable, "STORAGE"},
  };
  for (const Case& expected : cases) {
    EXPECT_THAT(expected.status, StatusIs(expected.code)) << expected.reason;
    EXPECT_THAT(expected.status, HasReason(expected.reason));
  }
}

TEST(ErrorsTest, NameTheFieldAndTheSetting) {
  const absl::Status status =
      errors::PathNotAllowed("spec.options.context_path", "no", "--read_roots");
  ::containerbuilder::errors::v1::BadRequest bad_request;
  ASSERT_TRUE(bad_request.ParseFromString(std::string(
      *status.GetPayload("type.googleapis.com/google.rpc.BadRequest"))));
  ASSERT_EQ(bad_request.field_violations_size(), 1);
  EXPECT_EQ(bad_request.field_violations(0).field(),
            "spec.options.context_path");
  EXPECT_EQ(bad_request.field_violations(0).description(), "no");

  ::containerbuilder::errors::v1::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(std::string(
      *status.GetPayload("type.googleapis.com/google.rpc.ErrorInfo"))));
  EXPECT_EQ(info.domain(), "containerbuilder.v1");
  EXPECT_EQ(info.metadata().at("setting"), "--read_roots");
}

}  // namespace
}  // namespace containerbuilder::service
