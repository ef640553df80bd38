#ifndef CONTAINERBUILDER_CLIENT_CLIENT_H_
#define CONTAINERBUILDER_CLIENT_CLIENT_H_

#include <memory>

#include "absl/status/statusor.h"
#include "containerbuilder/client/build_stream.h"
#include "containerbuilder/client/client_options.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::client {

// The seam below Client: one method per RPC. MakeConnection speaks gRPC;
// implement it to test a program without a server. Thread-safe.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual absl::StatusOr<v1::HealthResponse> Health(
      const v1::HealthRequest& request) = 0;
  virtual absl::StatusOr<v1::ConstructArgsResponse> ConstructArgs(
      const v1::ConstructArgsRequest& request) = 0;
  virtual std::unique_ptr<BuildEventSource> Build(
      const v1::BuildRequest& request) = 0;
};

// Connects lazily: that nobody listens is told by the first call. No call is
// ever sent twice, so that no build is started twice.
std::shared_ptr<Connection> MakeConnection(const ClientOptions& options);

// A ContainerBuilder service.
//
// Thread safety: calls may be made from many threads at once. Copies share
// one connection.
//
// Errors: absl::Status with the code and message of the gRPC status. Typed
// details (google.rpc.ErrorInfo, BadRequest, ...) are its payloads, under
// their type URLs; GetErrorInfo reads the reason.
class Client {
 public:
  explicit Client(const ClientOptions& options = {});
  explicit Client(std::shared_ptr<Connection> connection);

  // The verdict and a row per part; see the proto.
  absl::StatusOr<v1::HealthResponse> Health();

  // The exact arguments that `nerdctl build` would get.
  absl::StatusOr<v1::ConstructArgsResponse> ConstructArgs(
      const v1::BuildOptions& options);

  // Starts a build and follows it. Blocks in the range, not here.
  BuildStream Build(const v1::BuildRequest& request);

 private:
  std::shared_ptr<Connection> connection_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_CLIENT_H_
