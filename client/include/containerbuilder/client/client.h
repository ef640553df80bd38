#ifndef CONTAINERBUILDER_CLIENT_CLIENT_H_
#define CONTAINERBUILDER_CLIENT_CLIENT_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "containerbuilder/client/build_list.h"
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
  virtual absl::StatusOr<v1::CreateBuildResponse> CreateBuild(
      const v1::CreateBuildRequest& request) = 0;
  virtual std::unique_ptr<BuildEventSource> WatchBuild(
      const v1::WatchBuildRequest& request) = 0;
  virtual absl::StatusOr<v1::GetBuildResponse> GetBuild(
      const v1::GetBuildRequest& request) = 0;
  virtual absl::StatusOr<v1::ListBuildsResponse> ListBuilds(
      const v1::ListBuildsRequest& request) = 0;
  // Waits for the build's end for at most `wait`.
  virtual absl::StatusOr<v1::CancelBuildResponse> CancelBuild(
      const v1::CancelBuildRequest& request, absl::Duration wait) = 0;
  virtual absl::StatusOr<v1::DeleteBuildResponse> DeleteBuild(
      const v1::DeleteBuildRequest& request) = 0;
};

// Connects lazily: that nobody listens is told by the first call.
//
// Calls that answer once and may be repeated are, within their timeout, when
// they end UNAVAILABLE without a reason of the service's or because it is
// stopping: all but DeleteBuild, and CreateBuild without a request_id. They
// wait between tries, with exponential backoff and jitter, and as long as the
// service's RetryInfo asks. Streams are never sent twice by the connection.
std::shared_ptr<Connection> MakeConnection(const ClientOptions& options);

// A ContainerBuilder service.
//
// Thread safety: calls may be made from many threads at once. Copies share
// one connection.
//
// Errors: absl::Status with the code and message of the gRPC status. Typed
// details (google.rpc.ErrorInfo, BadRequest, ...) are its payloads, under
// their type URLs; GetErrorInfo reads them. Where tries were repeated, the
// last one's error.
class Client {
 public:
  explicit Client(const ClientOptions& options = {});
  // Of the options, what concerns the connection is not used: the address, the
  // timeout.
  explicit Client(std::shared_ptr<Connection> connection,
                  const ClientOptions& options = {});

  // The verdict and a row per part; see the proto.
  absl::StatusOr<v1::HealthResponse> Health();

  // The exact arguments that `nerdctl build` would get.
  absl::StatusOr<v1::ConstructArgsResponse> ConstructArgs(
      const v1::BuildOptions& options);

  // Starts a build and follows it. Blocks in the range, not here.
  //
  // The stream resumes by itself, unless ClientOptions.resume_limit is zero
  // or the request asks for DISCONNECT_POLICY_CANCEL. To be able to, it has
  // the request ask for DISCONNECT_POLICY_LINGER, for 60 s where the request
  // says no other time, if the request leaves the policy open; and it sets
  // `request_id` to a random one where that is empty. Then, when the call ends
  // without `finished`:
  //
  // - before the first event, the same request is sent again if the call ended
  //   UNAVAILABLE and the service did not refuse it. The request_id sees to it
  //   that no second build is started.
  // - after it, the build is joined by WatchBuild from the last event, if the
  //   call ended OK or with a code that tells of the connection and not of the
  //   build: UNAVAILABLE; CANCELLED, UNKNOWN, INTERNAL (a stream that was
  //   reset, or cut within a message) or DEADLINE_EXCEEDED (there is none here,
  //   so something between has cut the call). Never where the service told a
  //   reason other than DRAINING.
  //
  // Tries follow each other with exponential backoff and jitter. Once they
  // have failed for resume_limit, the last error is the range's last element.
  BuildStream Build(const v1::BuildRequest& request);

  // Joins a build after the event with that sequence (0: from the first), and
  // follows it to its end. Resumes as Build does. Neither destroying the
  // stream nor its Cancel touches the build.
  BuildStream Watch(absl::string_view name, std::int64_t after_sequence = 0);
  BuildStream Watch(const v1::WatchBuildRequest& request);

  // Starts a build and leaves it to the service, which runs it to its end
  // unless the request's disconnect policy says otherwise. Set `request_id`,
  // so that the call can be repeated when its answer got lost.
  absl::StatusOr<v1::Build> CreateBuild(const v1::CreateBuildRequest& request);

  // The build as it is now. `name` is `builds/{id}`, here and below.
  absl::StatusOr<v1::Build> GetBuild(absl::string_view name);

  // All builds that pass the request's filters, or one page of them.
  BuildList ListBuilds(const v1::ListBuildsRequest& request = {});
  absl::StatusOr<v1::ListBuildsResponse> ListBuildsPage(
      const v1::ListBuildsRequest& request);

  // Stops a build and answers it when nothing of it runs any more: after its
  // grace period (10 s by default) at the latest, so ClientOptions.timeout
  // only bounds the time until the service is reached. After `wait`
  // DEADLINE_EXCEEDED is answered; the build is stopped nevertheless.
  absl::StatusOr<v1::Build> CancelBuild(
      absl::string_view name, absl::Duration wait = absl::InfiniteDuration());

  // Forgets an ended build.
  absl::Status DeleteBuild(absl::string_view name);

 private:
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Platform> platform_;
  std::optional<absl::Duration> resume_limit_;
  bool wait_for_ready_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_CLIENT_H_
