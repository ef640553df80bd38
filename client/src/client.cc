#include "containerbuilder/client/client.h"

#include <utility>

namespace containerbuilder::client {

Client::Client(const ClientOptions& options)
    : connection_(MakeConnection(options)) {}

Client::Client(std::shared_ptr<Connection> connection)
    : connection_(std::move(connection)) {}

absl::StatusOr<v1::HealthResponse> Client::Health() {
  return connection_->Health(v1::HealthRequest());
}

absl::StatusOr<v1::ConstructArgsResponse> Client::ConstructArgs(
    const v1::BuildOptions& options) {
  v1::ConstructArgsRequest request;
  *request.mutable_options() = options;
  return connection_->ConstructArgs(request);
}

BuildStream Client::Build(const v1::BuildRequest& request) {
  return BuildStream(connection_->Build(request));
}

}  // namespace containerbuilder::client
