#ifndef CONTAINERBUILDER_RPC_GRPC_STATUS_H_
#define CONTAINERBUILDER_RPC_GRPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace containerbuilder::service {

// The gRPC status of `status`: code, message cut to
// limits::kMaxErrorMessageBytes, and its payloads as google.rpc details.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_GRPC_STATUS_H_
