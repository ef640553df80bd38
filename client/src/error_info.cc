#include "containerbuilder/client/error_info.h"

#include "absl/strings/cord.h"
#include "containerbuilder/errors/v1/error_details.pb.h"

namespace containerbuilder::client {
namespace {

template <typename Message>
std::optional<Message> Payload(const absl::Status& status,
                               absl::string_view type_url) {
  const auto payload = status.GetPayload(type_url);
  Message message;
  if (!payload || !message.ParseFromString(std::string(*payload))) {
    return std::nullopt;
  }
  return message;
}

}  // namespace

std::optional<ErrorInfo> GetErrorInfo(const absl::Status& status) {
  const auto info = Payload<errors::v1::ErrorInfo>(
      status, "type.googleapis.com/google.rpc.ErrorInfo");
  const auto bad_request = Payload<errors::v1::BadRequest>(
      status, "type.googleapis.com/google.rpc.BadRequest");
  const auto retry = Payload<errors::v1::RetryInfo>(
      status, "type.googleapis.com/google.rpc.RetryInfo");
  if (!info && !bad_request && !retry) return std::nullopt;

  ErrorInfo result;
  if (info) {
    result.reason = info->reason();
    result.domain = info->domain();
    result.metadata.insert(info->metadata().begin(), info->metadata().end());
  }
  if (bad_request) {
    for (const auto& violation : bad_request->field_violations()) {
      result.field_violations.push_back(
          {violation.field(), violation.description()});
    }
  }
  if (retry) {
    result.retry_delay = absl::Seconds(retry->retry_delay().seconds()) +
                         absl::Nanoseconds(retry->retry_delay().nanos());
  }
  return result;
}

}  // namespace containerbuilder::client
