#ifndef CONTAINERBUILDER_CLIENT_CREDENTIALS_H_
#define CONTAINERBUILDER_CLIENT_CREDENTIALS_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/status/statusor.h"
#include "containerbuilder/client/client_options.h"

namespace containerbuilder::client {

// How a channel is made safe. INVALID_ARGUMENT where a file of the options
// cannot be read, or their token would go over a network in the clear.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const ClientOptions& options);

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_CREDENTIALS_H_
