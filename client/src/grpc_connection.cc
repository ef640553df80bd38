#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "channel_pool.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "containerbuilder/v1/container_builder.grpc.pb.h"
#include "credentials.h"
#include "failed_connection.h"
#include "retry.h"

namespace containerbuilder::client {
namespace {

constexpr int kMaxReceiveBytes = 64 * 1024 * 1024;
// So that a dead connection is noticed while a build says nothing; the service
// takes pings that come ten seconds apart.
constexpr int kKeepaliveTimeMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// Quick, because the service is mostly on this machine and back soon.
constexpr int kInitialReconnectBackoffMs = 100;
constexpr int kMaxReconnectBackoffMs = 5'000;

absl::Status ToStatus(const grpc::Status& status) {
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
  errors::v1::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const auto& detail : details.details()) {
      result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return result;
}

// By itself and not by gRPC's call credentials, which do not go over a unix
// socket or to loopback in the clear.
void AddToken(const std::string& token, grpc::ClientContext& context) {
  if (!token.empty()) {
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  }
}

using Stub = v1::ContainerBuilder::Stub;
using Link = std::shared_ptr<const ChannelPool::Link>;

// A channel that could not connect stays in this state until it can; one that
// lost its connection is idle.
bool NobodyListens(const ChannelPool::Link& link) {
  return link.channel->GetState(false) == GRPC_CHANNEL_TRANSIENT_FAILURE;
}

// One call of Build or WatchBuild.
template <typename Request, typename Response>
class GrpcBuildEventSource final : public BuildEventSource {
 public:
  using Method = std::unique_ptr<grpc::ClientReader<Response>> (Stub::*)(
      grpc::ClientContext*, const Request&);

  GrpcBuildEventSource(Link link, Method method, Request request,
                       const std::string& token)
      : link_(std::move(link)), method_(method), request_(std::move(request)) {
    AddToken(token, context_);
  }

  ~GrpcBuildEventSource() override {
    if (reader_ == nullptr || status_.has_value()) return;
    context_.TryCancel();
    Response ignored;
    while (reader_->Read(&ignored)) {
    }
    reader_->Finish().IgnoreError();
  }

  std::optional<v1::BuildEvent> Next() override {
    // Opening the call blocks until there is a connection, so it is done here
    // and not in the constructor: Cancel must be able to end that too.
    if (reader_ == nullptr) {
      reader_ = (*link_->stub.*method_)(&context_, request_);
    }
    Response response;
    if (status_.has_value() || !reader_->Read(&response)) return std::nullopt;
    any_response_ = true;
    return std::move(*response.mutable_event());
  }

  absl::Status Finish() override {
    if (!status_.has_value()) {
      status_ = ToStatus(reader_->Finish());
      reached_ = any_response_ || !NobodyListens(*link_);
    }
    return *status_;
  }

  void Cancel() override { context_.TryCancel(); }

  bool Reached() override { return reached_; }

 private:
  const Link link_;
  const Method method_;
  const Request request_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<Response>> reader_;
  bool any_response_ = false;
  bool reached_ = true;
  std::optional<absl::Status> status_;
};

// Lets it go on a thread that is none of those for callbacks: where the last
// channel of a process goes, gRPC 1.51 waits for those to end.
void ReleaseElsewhere(std::shared_ptr<void> object) {
  auto alarm = std::make_shared<grpc::Alarm>();
  alarm->Set(
      gpr_now(GPR_CLOCK_MONOTONIC),
      [alarm = alarm, object = std::move(object)](bool /*expired*/) mutable {
        object.reset();
        alarm.reset();
      });
}

// One call of Build or WatchBuild by callbacks. It keeps itself while it runs.
template <typename Request, typename Response>
class GrpcBuildCall final
    : public BuildCall,
      public std::enable_shared_from_this<GrpcBuildCall<Request, Response>>,
      private grpc::ClientReadReactor<Response> {
 public:
  using Method = void (Stub::async::*)(grpc::ClientContext*, const Request*,
                                       grpc::ClientReadReactor<Response>*);

  GrpcBuildCall(Link link, Method method, Request request,
                const std::string& token,
                std::shared_ptr<BuildCallReceiver> receiver)
      : link_(std::move(link)),
        method_(method),
        request_(std::move(request)),
        receiver_(std::move(receiver)) {
    AddToken(token, context_);
  }

  void Start() override {
    self_ = this->shared_from_this();
    (link_->stub->async()->*method_)(&context_, &request_, this);
    this->StartRead(&response_);
    this->StartCall();
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  // gRPC would swallow what is thrown here, and nothing more would happen.
  void OnReadDone(bool ok) noexcept override {
    if (!ok) return;
    // gRPC lets one read come behind the other, on any of its threads, which
    // ThreadSanitizer sees by this alone.
    any_response_.exchange(true);
    receiver_->OnEvent(std::move(*response_.mutable_event()));
    any_response_ = true;
    this->StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) noexcept override {
    const bool reached = any_response_ || !NobodyListens(*link_);
    receiver_->OnDone(ToStatus(status), reached);
    ReleaseElsewhere(std::move(self_));
  }

  const Link link_;
  const Method method_;
  const Request request_;
  const std::shared_ptr<BuildCallReceiver> receiver_;
  std::shared_ptr<GrpcBuildCall> self_;
  grpc::ClientContext context_;
  Response response_;
  std::atomic<bool> any_response_ = false;
};

class GrpcBlobUploadCall final : public BlobUploadCall {
 public:
  GrpcBlobUploadCall(Link link, const std::string& token)
      : link_(std::move(link)) {
    AddToken(token, context_);
  }

  ~GrpcBlobUploadCall() override {
    if (finished_) return;
    context_.TryCancel();
    if (writer_ != nullptr) writer_->Finish().IgnoreError();
  }

  bool Write(const v1::UploadBlobsRequest& piece) override {
    Open();
    return writer_->Write(piece);
  }

  absl::StatusOr<v1::UploadBlobsResponse> Finish() override {
    Open();
    writer_->WritesDone();
    finished_ = true;
    const grpc::Status status = writer_->Finish();
    if (!status.ok()) return ToStatus(status);
    return response_;
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  // Blocks until there is a connection, which Cancel must be able to end.
  void Open() {
    if (writer_ != nullptr) return;
    writer_ = link_->stub->UploadBlobs(&context_, &response_);
  }

  const Link link_;
  grpc::ClientContext context_;
  v1::UploadBlobsResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::UploadBlobsRequest>> writer_;
  bool finished_ = false;
};

class GrpcArtifactCall final : public ArtifactCall {
 public:
  GrpcArtifactCall(Link link, v1::DownloadArtifactRequest request,
                   const std::string& token)
      : link_(std::move(link)), request_(std::move(request)) {
    AddToken(token, context_);
  }

  ~GrpcArtifactCall() override {
    if (reader_ == nullptr || finished_) return;
    context_.TryCancel();
    v1::DownloadArtifactResponse ignored;
    while (reader_->Read(&ignored)) {
    }
    reader_->Finish().IgnoreError();
  }

  std::optional<v1::DownloadArtifactResponse> Next() override {
    if (reader_ == nullptr) {
      reader_ = link_->stub->DownloadArtifact(&context_, request_);
    }
    v1::DownloadArtifactResponse piece;
    if (!reader_->Read(&piece)) return std::nullopt;
    return piece;
  }

  absl::Status Finish() override {
    finished_ = true;
    return ToStatus(reader_->Finish());
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  const Link link_;
  const v1::DownloadArtifactRequest request_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::DownloadArtifactResponse>> reader_;
  bool finished_ = false;
};

// Of a call that answers once.
struct CallOptions {
  bool may_repeat = true;
  // Set: how long the call may take in all; the client's timeout then bounds
  // the time until the service is reached.
  std::optional<absl::Duration> wait_once_reached = std::nullopt;
};

class GrpcConnection final : public Connection {
 public:
  GrpcConnection(const ClientOptions& options,
                 const std::shared_ptr<grpc::ChannelCredentials>& credentials)
      : timeout_(options.timeout),
        token_(options.token),
        wait_for_ready_(options.wait_for_ready),
        platform_(options.platform != nullptr ? options.platform
                                              : MakePlatform()) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                     kInitialReconnectBackoffMs);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectBackoffMs);
    if (options.tls.has_value() && !options.tls->server_name.empty()) {
      arguments.SetSslTargetNameOverride(options.tls->server_name);
    }
    // gRPC goes by the environment's proxy even to loopback, and what is sent
    // in the clear, the token too, would leave this machine.
    if (!options.tls.has_value()) {
      arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    }
    // A connection of its own.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    pool_ = std::make_shared<ChannelPool>(
        [address = options.address, credentials, arguments] {
          return grpc::CreateCustomChannel(address, credentials, arguments);
        });
  }

  absl::StatusOr<v1::HealthResponse> Health(
      const v1::HealthRequest& request) override {
    return Call(&Stub::Health, request);
  }

  absl::StatusOr<v1::ConstructArgsResponse> ConstructArgs(
      const v1::ConstructArgsRequest& request) override {
    return Call(&Stub::ConstructArgs, request);
  }

  std::unique_ptr<BuildEventSource> Build(
      const v1::BuildRequest& request) override {
    return MakeSource(&Stub::Build, request);
  }

  absl::StatusOr<v1::CreateBuildResponse> CreateBuild(
      const v1::CreateBuildRequest& request) override {
    return Call(&Stub::CreateBuild, request,
                {.may_repeat = !request.request_id().empty()});
  }

  std::unique_ptr<BuildEventSource> WatchBuild(
      const v1::WatchBuildRequest& request) override {
    return MakeSource(&Stub::WatchBuild, request);
  }

  absl::StatusOr<v1::GetBuildResponse> GetBuild(
      const v1::GetBuildRequest& request) override {
    return Call(&Stub::GetBuild, request);
  }

  absl::StatusOr<v1::ListBuildsResponse> ListBuilds(
      const v1::ListBuildsRequest& request) override {
    return Call(&Stub::ListBuilds, request);
  }

  absl::StatusOr<v1::CancelBuildResponse> CancelBuild(
      const v1::CancelBuildRequest& request, absl::Duration wait) override {
    return Call(&Stub::CancelBuild, request, {.wait_once_reached = wait});
  }

  std::shared_ptr<BuildCall> MakeBuildCall(
      const v1::BuildRequest& request,
      std::shared_ptr<BuildCallReceiver> receiver) override {
    return MakeCall<v1::BuildRequest, v1::BuildResponse>(
        &Stub::async::Build, request, std::move(receiver));
  }

  std::shared_ptr<BuildCall> MakeWatchCall(
      const v1::WatchBuildRequest& request,
      std::shared_ptr<BuildCallReceiver> receiver) override {
    return MakeCall<v1::WatchBuildRequest, v1::WatchBuildResponse>(
        &Stub::async::WatchBuild, request, std::move(receiver));
  }

  void CancelBuildAsync(
      const v1::CancelBuildRequest& request, absl::Duration wait,
      std::function<void(const absl::Status&)> done) override {
    struct Call {
      std::shared_ptr<ChannelPool> pool;
      std::function<void(const absl::Status&)> done;
      grpc::ClientContext context;
      v1::CancelBuildRequest request;
      v1::CancelBuildResponse response;
    };
    const auto call = std::make_shared<Call>();
    call->pool = pool_;
    call->done = std::move(done);
    AddToken(token_, call->context);
    call->context.set_deadline(absl::ToChronoTime(absl::Now() + wait));
    call->request = request;
    pool_->main().stub->async()->CancelBuild(
        &call->context, &call->request, &call->response,
        [call = call](const grpc::Status& status) mutable {
          call->done(ToStatus(status));
          ReleaseElsewhere(std::move(call));
        });
  }

  absl::StatusOr<v1::DeleteBuildResponse> DeleteBuild(
      const v1::DeleteBuildRequest& request) override {
    return Call(&Stub::DeleteBuild, request, {.may_repeat = false});
  }

  absl::StatusOr<v1::FindMissingBlobsResponse> FindMissingBlobs(
      const v1::FindMissingBlobsRequest& request) override {
    return Call(&Stub::FindMissingBlobs, request);
  }

  std::unique_ptr<BlobUploadCall> UploadBlobs() override {
    return std::make_unique<GrpcBlobUploadCall>(pool_->ForStream(), token_);
  }

  std::unique_ptr<ArtifactCall> DownloadArtifact(
      const v1::DownloadArtifactRequest& request) override {
    return std::make_unique<GrpcArtifactCall>(pool_->ForStream(), request,
                                              token_);
  }

 private:
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                   Response*),
      const Request& request, const CallOptions& options = {}) {
    const absl::Duration timeout = options.wait_once_reached.value_or(timeout_);
    Retry retry(*platform_, std::min(timeout_, timeout));
    absl::Notification never;
    for (bool is_first = true;; is_first = false) {
      grpc::ClientContext context;
      AddToken(token_, context);
      // Without a deadline that ends it, waiting is left to the retries.
      context.set_wait_for_ready(wait_for_ready_ &&
                                 !options.wait_once_reached.has_value());
      if (timeout != absl::InfiniteDuration()) {
        context.set_deadline(
            absl::ToChronoTime(absl::Now() + timeout - retry.Elapsed()));
      }
      Response response;
      const grpc::Status status =
          (*pool_->main().stub.*method)(&context, request, &response);
      if (status.ok()) return response;
      const absl::Status error = ToStatus(status);
      if (!options.may_repeat || !IsWorthRetrying(error) ||
          (is_first && !wait_for_ready_ && NobodyListens(pool_->main())) ||
          !retry.Wait(error, never)) {
        return error;
      }
    }
  }

  template <typename Request, typename Response>
  std::unique_ptr<BuildEventSource> MakeSource(
      std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(
          grpc::ClientContext*, const Request&),
      const Request& request) {
    return std::make_unique<GrpcBuildEventSource<Request, Response>>(
        pool_->ForStream(), method, request, token_);
  }

  template <typename Request, typename Response>
  std::shared_ptr<BuildCall> MakeCall(
      typename GrpcBuildCall<Request, Response>::Method method,
      const Request& request, std::shared_ptr<BuildCallReceiver> receiver) {
    return std::make_shared<GrpcBuildCall<Request, Response>>(
        pool_->ForStream(), method, request, token_, std::move(receiver));
  }

  const absl::Duration timeout_;
  const std::string token_;
  const bool wait_for_ready_;
  const std::shared_ptr<Platform> platform_;
  std::shared_ptr<ChannelPool> pool_;
};

}  // namespace

std::shared_ptr<Connection> MakeConnection(const ClientOptions& options) {
  const absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials =
      MakeCredentials(options);
  if (!credentials.ok()) {
    return std::make_shared<FailedConnection>(credentials.status());
  }
  return std::make_shared<GrpcConnection>(options, *credentials);
}

}  // namespace containerbuilder::client
