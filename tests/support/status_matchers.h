#ifndef CONTAINERBUILDER_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define CONTAINERBUILDER_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "gmock/gmock.h"

// Matchers for absl::Status and absl::StatusOr; Abseil 20220623 has none.
namespace containerbuilder::test_support {

inline const absl::Status& StatusOf(const absl::Status& status) {
  return status;
}

template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

MATCHER(IsOk, negation ? "is an error" : "is OK") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << "which is " << status.ToString();
  return status.ok();
}

MATCHER_P(IsOkAndHolds, value,
          std::string(negation ? "does not hold " : "is OK and holds ") +
              testing::PrintToString(value)) {
  *result_listener << "which is " << StatusOf(arg).ToString();
  return arg.ok() && *arg == value;
}

MATCHER_P(StatusIs, code,
          std::string(negation ? "is not " : "is ") +
              absl::StatusCodeToString(code)) {
  const absl::Status& status = StatusOf(arg);
  *result_listener << "which is " << status.ToString();
  return status.code() == code;
}

// As StatusIs(code), and the message matches.
MATCHER_P2(StatusIs, code, message,
           std::string(negation ? "is not " : "is ") +
               absl::StatusCodeToString(code) + " with a message that " +
               testing::DescribeMatcher<std::string>(message)) {
  const absl::Status& status = StatusOf(arg);
  *result_listener << "which is " << status.ToString();
  return status.code() == code &&
         testing::Matches(message)(std::string(status.message()));
}

// The reason of the google.rpc.ErrorInfo that an error of the service carries,
// such as OPTION_INVALID; empty where there is none.
inline std::string ReasonOf(const absl::Status& status) {
  const auto payload =
      status.GetPayload("type.googleapis.com/google.rpc.ErrorInfo");
  errors::v1::ErrorInfo info;
  if (!payload || !info.ParseFromString(std::string(*payload))) return "";
  return info.reason();
}

MATCHER_P(HasReason, reason,
          std::string(negation ? "has not" : "has") + " reason " + reason) {
  const absl::Status& status = StatusOf(arg);
  const std::string actual = ReasonOf(status);
  *result_listener << "which is " << status.ToString() << " with reason "
                   << (actual.empty() ? "(none)" : actual);
  return actual == reason;
}

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_SUPPORT_STATUS_MATCHERS_H_
