#ifndef CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_
#define CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "build/engine.h"
#include "containerbuilder/v1/container_builder.grpc.pb.h"
#include "grpcpp/support/byte_buffer.h"
#include "rpc/authenticator.h"
#include "rpc/log_throttle.h"
#include "rpc/rate_limiter.h"

namespace spdlog {
class logger;
}  // namespace spdlog

namespace containerbuilder::service {

// The RPCs: knows who calls and whether he may, and converts between gRPC and
// the engine; nothing else. The two that stream events write bytes that are
// serialized already.
class ContainerBuilderService final
    : public v1::ContainerBuilder::WithRawCallbackMethod_Build<
          v1::ContainerBuilder::WithRawCallbackMethod_WatchBuild<
              v1::ContainerBuilder::CallbackService>> {
 public:
  struct Options {
    absl::Duration heartbeat_interval = absl::Seconds(15);
    absl::Duration transfer_idle_timeout = absl::Minutes(1);
    std::function<absl::Time()> now = absl::Now;
    std::shared_ptr<spdlog::logger> logger;
    // Told of each call that is let in: from where (as gRPC names it) and how
    // many bytes.
    std::function<void(const std::string& peer, std::int64_t bytes)> on_call;
    // Told of the begin and the end of each upload, and of what comes in it.
    std::function<void(const std::string& peer, bool begins)> on_upload;
    std::function<void(const std::string& peer, std::int64_t bytes)> on_piece;
  };

  // All must outlive it. Work that may block runs on `requests`, admissions
  // that copy anything on `admissions`, what feeds streams on `streams`,
  // uploads and downloads on `transfers`.
  ContainerBuilderService(Options options, Engine* engine,
                          const Authenticator* authenticator,
                          RateLimiter* rate_limiter, Executor* requests,
                          Executor* admissions, Executor* streams,
                          Executor* transfers);

  grpc::ServerUnaryReactor* Health(grpc::CallbackServerContext* context,
                                   const v1::HealthRequest* request,
                                   v1::HealthResponse* response) override;
  grpc::ServerUnaryReactor* ConstructArgs(
      grpc::CallbackServerContext* context,
      const v1::ConstructArgsRequest* request,
      v1::ConstructArgsResponse* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Build(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* CreateBuild(
      grpc::CallbackServerContext* context,
      const v1::CreateBuildRequest* request,
      v1::CreateBuildResponse* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchBuild(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* GetBuild(grpc::CallbackServerContext* context,
                                     const v1::GetBuildRequest* request,
                                     v1::GetBuildResponse* response) override;
  grpc::ServerUnaryReactor* ListBuilds(
      grpc::CallbackServerContext* context,
      const v1::ListBuildsRequest* request,
      v1::ListBuildsResponse* response) override;
  grpc::ServerUnaryReactor* CancelBuild(
      grpc::CallbackServerContext* context,
      const v1::CancelBuildRequest* request,
      v1::CancelBuildResponse* response) override;
  grpc::ServerUnaryReactor* DeleteBuild(
      grpc::CallbackServerContext* context,
      const v1::DeleteBuildRequest* request,
      v1::DeleteBuildResponse* response) override;
  grpc::ServerUnaryReactor* FindMissingBlobs(
      grpc::CallbackServerContext* context,
      const v1::FindMissingBlobsRequest* request,
      v1::FindMissingBlobsResponse* response) override;
  grpc::ServerReadReactor<v1::UploadBlobsRequest>* UploadBlobs(
      grpc::CallbackServerContext* context,
      v1::UploadBlobsResponse* response) override;
  grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* DownloadArtifact(
      grpc::CallbackServerContext* context,
      const v1::DownloadArtifactRequest* request) override;

 private:
  // Who calls, if he may do what takes at least this role, now.
  absl::StatusOr<Caller> Admit(const grpc::CallbackServerContext& context,
                               Role least, std::size_t request_bytes);
  // What a caller's build is admitted on.
  Executor* AdmissionsOf(const Caller& caller, const v1::BuildSpec& spec) const;
  // Runs `work` on `executor` and finishes the call with its status, or with
  // the caller's.
  static grpc::ServerUnaryReactor* Answer(
      grpc::CallbackServerContext* context, absl::StatusOr<Caller> caller,
      Executor* executor, std::function<absl::Status(const Caller&)> work);
  // On requests_, if the caller has at least this role.
  grpc::ServerUnaryReactor* Answer(
      grpc::CallbackServerContext* context, Role least,
      const google::protobuf::Message& request,
      std::function<absl::Status(const Caller&)> work);

  const Options options_;
  Engine* const engine_;
  const Authenticator* const authenticator_;
  RateLimiter* const rate_limiter_;
  LogThrottle refusals_;
  Executor* const requests_;
  Executor* const admissions_;
  Executor* const streams_;
  Executor* const transfers_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_
