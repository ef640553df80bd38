#include "rpc/grpc_status.h"

#include <string>

#include "absl/status/status.h"
#include "base/errors.h"
#include "base/limits.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

TEST(GrpcStatusTest, OkIsOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(GrpcStatusTest, CarriesCodeMessageAndDetails) {
  const grpc::Status status =
      ToGrpcStatus(errors::OptionInvalid("spec.x", "is wrong"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "spec.x: is wrong");
  ::containerbuilder::errors::v1::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), 3);
  EXPECT_EQ(details.message(), "spec.x: is wrong");
  std::vector<std::string> types;
  for (const auto& detail : details.details()) {
    types.push_back(detail.type_url());
  }
  EXPECT_THAT(types, testing::UnorderedElementsAre(
                         "type.googleapis.com/google.rpc.ErrorInfo",
                         "type.googleapis.com/google.rpc.BadRequest"));
}

TEST(GrpcStatusTest, CutsLongMessagesAndBytesThatAreNoText) {
  const grpc::Status status =
      ToGrpcStatus(absl::InternalError("\xff" + std::string(10'000, 'x')));
  EXPECT_LE(status.error_message().size(), limits::kMaxErrorMessageBytes + 3);
  EXPECT_EQ(status.error_message()[0], '?');
}

}  // namespace
}  // namespace containerbuilder::service
