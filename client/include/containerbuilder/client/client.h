#ifndef CONTAINERBUILDER_CLIENT_CLIENT_H_
#define CONTAINERBUILDER_CLIENT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "containerbuilder/client/async_build.h"
#include "containerbuilder/client/build_call.h"
#include "containerbuilder/client/build_list.h"
#include "containerbuilder/client/build_stream.h"
#include "containerbuilder/client/client_options.h"
#include "containerbuilder/client/local_context.h"
#include "containerbuilder/client/transfer_calls.h"
#include "containerbuilder/client/transfer_options.h"
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
  // Of BuildAsync and WatchAsync: the same calls without a thread. One of Build
  // or WatchBuild, to be started by the caller.
  virtual std::shared_ptr<BuildCall> MakeBuildCall(
      const v1::BuildRequest& request,
      std::shared_ptr<BuildCallReceiver> receiver) = 0;
  virtual std::shared_ptr<BuildCall> MakeWatchCall(
      const v1::WatchBuildRequest& request,
      std::shared_ptr<BuildCallReceiver> receiver) = 0;
  // Calls `done` once with how one try of CancelBuild ended, within `wait`.
  virtual void CancelBuildAsync(
      const v1::CancelBuildRequest& request, absl::Duration wait,
      std::function<void(const absl::Status&)> done) = 0;
  virtual absl::StatusOr<v1::DeleteBuildResponse> DeleteBuild(
      const v1::DeleteBuildRequest& request) = 0;
  virtual absl::StatusOr<v1::FindMissingBlobsResponse> FindMissingBlobs(
      const v1::FindMissingBlobsRequest& request) = 0;
  virtual std::unique_ptr<BlobUploadCall> UploadBlobs() = 0;
  virtual std::unique_ptr<ArtifactCall> DownloadArtifact(
      const v1::DownloadArtifactRequest& request) = 0;
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

  // Uploads a context and starts a build of it. As UploadContext and then Build
  // with its digest as `spec.context_digest`; both again, three times at most,
  // where the service has dropped contents in between (BLOBS_MISSING). An
  // upload that fails is the range's only element. The stream's Cancel ends the
  // upload, too.
  BuildStream Build(const v1::BuildRequest& request,
                    std::shared_ptr<const LocalContext> context,
                    const UploadOptions& options = {});

  // Joins a build after the event with that sequence (0: from the first), and
  // follows it to its end. Resumes as Build does. Neither destroying the
  // stream nor its Cancel touches the build.
  BuildStream Watch(absl::string_view name, std::int64_t after_sequence = 0);
  BuildStream Watch(const v1::WatchBuildRequest& request);

  // As Build and Watch, but the observer is told of the events, and no thread
  // waits for them: for programs that follow many builds at once. A context is
  // uploaded before, by UploadContext. The client need not outlive it.
  AsyncBuild BuildAsync(const v1::BuildRequest& request,
                        std::shared_ptr<BuildObserver> observer);
  AsyncBuild WatchAsync(const v1::WatchBuildRequest& request,
                        std::shared_ptr<BuildObserver> observer);

  // Starts a build and leaves it to the service, which runs it to its end
  // unless the request's disconnect policy says otherwise. Set `request_id`,
  // so that the call can be repeated when its answer got lost.
  absl::StatusOr<v1::Build> CreateBuild(const v1::CreateBuildRequest& request);

  // Uploads a context and starts a build of it, as Build does, and leaves it to
  // the service.
  absl::StatusOr<v1::Build> CreateBuild(const v1::CreateBuildRequest& request,
                                        const LocalContext& context,
                                        const UploadOptions& options = {});

  // Sends what the service lacks of a context, and answers its digest for
  // BuildSpec.context_digest. The service may drop contents that no build uses.
  //
  // Goes on by itself after a lost connection, where the service has kept what
  // it had; once tries have brought nothing forward for resume_limit (60 s by
  // default), the last error is answered. ABORTED where a file is no longer as
  // it was when the context was read.
  absl::StatusOr<UploadedContext> UploadContext(
      const LocalContext& context, const UploadOptions& options = {});

  // Downloads one of Build.artifacts, and goes on by itself after a lost
  // connection, as UploadContext does. DATA_LOSS where the bytes are not those
  // that the build made.
  //
  // To `path`, which is replaced at the end and only by the right bytes; a pipe
  // or device is written to. Of KIND_FOLDER it is the folder in which the
  // content is unpacked, beside what is there.
  absl::Status DownloadArtifact(const v1::Artifact& artifact,
                                const std::string& path,
                                const DownloadOptions& options = {});
  // To `sink`, in order, before the last of them could be verified. An error
  // of the sink's ends it and is answered.
  absl::Status DownloadArtifact(
      const v1::Artifact& artifact,
      const std::function<absl::Status(std::string_view bytes)>& sink,
      const DownloadOptions& options = {});

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
  bool Resumes(const v1::BuildRequest& request) const;
  // With all that it has to ask for, to be able to.
  v1::BuildRequest Resumable(v1::BuildRequest request) const;
  std::unique_ptr<BuildEventSource> MakeBuildSource(
      const v1::BuildRequest& request);
  absl::Duration TransferLimit() const;

  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Platform> platform_;
  std::optional<absl::Duration> resume_limit_;
  bool wait_for_ready_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_CLIENT_H_
