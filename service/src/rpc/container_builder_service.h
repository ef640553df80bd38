#ifndef CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_
#define CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_

#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "build/engine.h"
#include "containerbuilder/v1/container_builder.grpc.pb.h"
#include "grpcpp/support/byte_buffer.h"

namespace containerbuilder::service {

// The RPCs: converts between gRPC and the engine, and nothing else. What it
// does not override, gRPC answers UNIMPLEMENTED. The two that stream events
// write bytes that are serialized already.
class ContainerBuilderService final
    : public v1::ContainerBuilder::WithRawCallbackMethod_Build<
          v1::ContainerBuilder::WithRawCallbackMethod_WatchBuild<
              v1::ContainerBuilder::CallbackService>> {
 public:
  struct Options {
    // Callers on the unix socket may name any path and option.
    bool trust_local = true;
    absl::Duration heartbeat_interval = absl::Seconds(15);
    std::function<absl::Time()> now = absl::Now;
  };

  // All must outlive it. Work that may block runs on `requests`, admissions
  // that copy whole contexts on `admissions`, what feeds streams on `streams`.
  ContainerBuilderService(Options options, Engine* engine, Executor* requests,
                          Executor* admissions, Executor* streams);

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

 private:
  Caller CallerOf(const grpc::CallbackServerContext& context) const;
  // What a caller is admitted on.
  Executor* AdmissionsOf(const Caller& caller) const;
  // Runs `work` on `executor` and finishes the call with its status.
  static grpc::ServerUnaryReactor* Answer(
      grpc::CallbackServerContext* context, Executor* executor, Caller caller,
      std::function<absl::Status(const Caller&)> work);
  grpc::ServerUnaryReactor* Answer(
      grpc::CallbackServerContext* context,
      std::function<absl::Status(const Caller&)> work);

  const Options options_;
  Engine* const engine_;
  Executor* const requests_;
  Executor* const admissions_;
  Executor* const streams_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_
