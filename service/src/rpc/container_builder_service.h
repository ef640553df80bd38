#ifndef CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_
#define CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_

#include <functional>

#include "absl/time/time.h"
#include "base/executor.h"
#include "build/engine.h"
#include "containerbuilder/v1/container_builder.grpc.pb.h"

namespace containerbuilder::service {

// The RPCs: converts between gRPC and the engine, and nothing else. What it
// does not override, gRPC answers UNIMPLEMENTED.
class ContainerBuilderService final
    : public v1::ContainerBuilder::CallbackService {
 public:
  struct Options {
    // Callers on the unix socket may name any path and option.
    bool trust_local = true;
    absl::Duration heartbeat_interval = absl::Seconds(15);
    std::function<absl::Time()> now = absl::Now;
  };

  // All must outlive it. Work that may block runs on `requests`, what feeds
  // streams on `streams`.
  ContainerBuilderService(Options options, Engine* engine, Executor* requests,
                          Executor* streams);

  grpc::ServerUnaryReactor* Health(grpc::CallbackServerContext* context,
                                   const v1::HealthRequest* request,
                                   v1::HealthResponse* response) override;
  grpc::ServerUnaryReactor* ConstructArgs(
      grpc::CallbackServerContext* context,
      const v1::ConstructArgsRequest* request,
      v1::ConstructArgsResponse* response) override;
  grpc::ServerWriteReactor<v1::BuildResponse>* Build(
      grpc::CallbackServerContext* context,
      const v1::BuildRequest* request) override;

 private:
  Caller CallerOf(const grpc::CallbackServerContext& context) const;

  const Options options_;
  Engine* const engine_;
  Executor* const requests_;
  Executor* const streams_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_
