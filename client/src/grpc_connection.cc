#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "containerbuilder/v1/container_builder.grpc.pb.h"

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

class GrpcBuildEventSource final : public BuildEventSource {
 public:
  GrpcBuildEventSource(std::shared_ptr<v1::ContainerBuilder::Stub> stub,
                       v1::BuildRequest request)
      : stub_(std::move(stub)), request_(std::move(request)) {}

  ~GrpcBuildEventSource() override {
    if (reader_ == nullptr || status_.has_value()) return;
    context_.TryCancel();
    v1::BuildResponse ignored;
    while (reader_->Read(&ignored)) {
    }
    reader_->Finish().IgnoreError();
  }

  std::optional<v1::BuildEvent> Next() override {
    // Opening the call blocks until there is a connection, so it is done here
    // and not in the constructor: Cancel must be able to end that too.
    if (reader_ == nullptr) reader_ = stub_->Build(&context_, request_);
    v1::BuildResponse response;
    if (status_.has_value() || !reader_->Read(&response)) return std::nullopt;
    return std::move(*response.mutable_event());
  }

  absl::Status Finish() override {
    if (!status_.has_value()) status_ = ToStatus(reader_->Finish());
    return *status_;
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  const std::shared_ptr<v1::ContainerBuilder::Stub> stub_;
  const v1::BuildRequest request_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::BuildResponse>> reader_;
  std::optional<absl::Status> status_;
};

class GrpcConnection final : public Connection {
 public:
  explicit GrpcConnection(const ClientOptions& options)
      : timeout_(options.timeout), wait_for_ready_(options.wait_for_ready) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
                     kInitialReconnectBackoffMs);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectBackoffMs);
    stub_ = v1::ContainerBuilder::NewStub(grpc::CreateCustomChannel(
        options.address, grpc::InsecureChannelCredentials(), arguments));
  }

  absl::StatusOr<v1::HealthResponse> Health(
      const v1::HealthRequest& request) override {
    return Call(&v1::ContainerBuilder::Stub::Health, request);
  }

  absl::StatusOr<v1::ConstructArgsResponse> ConstructArgs(
      const v1::ConstructArgsRequest& request) override {
    return Call(&v1::ContainerBuilder::Stub::ConstructArgs, request);
  }

  std::unique_ptr<BuildEventSource> Build(
      const v1::BuildRequest& request) override {
    return std::make_unique<GrpcBuildEventSource>(stub_, request);
  }

 private:
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(
      grpc::Status (v1::ContainerBuilder::Stub::*method)(grpc::ClientContext*,
                                                         const Request&,
                                                         Response*),
      const Request& request) {
    grpc::ClientContext context;
    context.set_wait_for_ready(wait_for_ready_);
    if (timeout_ != absl::InfiniteDuration()) {
      context.set_deadline(absl::ToChronoTime(absl::Now() + timeout_));
    }
    Response response;
    const grpc::Status status =
        ((*stub_).*method)(&context, request, &response);
    if (!status.ok()) return ToStatus(status);
    return response;
  }

  const absl::Duration timeout_;
  const bool wait_for_ready_;
  std::shared_ptr<v1::ContainerBuilder::Stub> stub_;
};

}  // namespace

std::shared_ptr<Connection> MakeConnection(const ClientOptions& options) {
  return std::make_shared<GrpcConnection>(options);
}

}  // namespace containerbuilder::client
