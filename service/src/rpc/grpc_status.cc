#include "rpc/grpc_status.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "containerbuilder/errors/v1/error_details.pb.h"

namespace containerbuilder::service {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string message =
      ToUtf8(status.message().substr(0, limits::kMaxErrorMessageBytes));
  if (message.size() < status.message().size()) message += "...";

  ::containerbuilder::errors::v1::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  status.ForEachPayload(
      [&details](absl::string_view type_url, const absl::Cord& payload) {
        google::protobuf::Any* detail = details.add_details();
        detail->set_type_url(std::string(type_url));
        detail->set_value(std::string(payload));
      });
  const std::string bytes =
      details.details().empty() ? "" : details.SerializeAsString();
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      bytes);
}

}  // namespace containerbuilder::service
