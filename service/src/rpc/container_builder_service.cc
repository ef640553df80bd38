#include "rpc/container_builder_service.h"

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "base/limits.h"
#include "rpc/build_reactor.h"
#include "rpc/grpc_status.h"

namespace containerbuilder::service {

ContainerBuilderService::ContainerBuilderService(Options options,
                                                 Engine* engine,
                                                 Executor* requests,
                                                 Executor* streams)
    : options_(std::move(options)),
      engine_(engine),
      requests_(requests),
      streams_(streams) {}

grpc::ServerUnaryReactor* ContainerBuilderService::Health(
    grpc::CallbackServerContext* context, const v1::HealthRequest* /*request*/,
    v1::HealthResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  requests_->Post([this, reactor, response] {
    *response = engine_->Health(limits::kHealthFreshness);
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

grpc::ServerUnaryReactor* ContainerBuilderService::ConstructArgs(
    grpc::CallbackServerContext* context,
    const v1::ConstructArgsRequest* request,
    v1::ConstructArgsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  requests_->Post(
      [this, reactor, request, response, caller = CallerOf(*context)] {
        absl::StatusOr<v1::ConstructArgsResponse> answer =
            engine_->ConstructArgs(request->options(), caller);
        const grpc::Status status = ToGrpcStatus(answer.status());
        if (answer.ok()) *response = *std::move(answer);
        reactor->Finish(status);
      });
  return reactor;
}

grpc::ServerWriteReactor<v1::BuildResponse>* ContainerBuilderService::Build(
    grpc::CallbackServerContext* context, const v1::BuildRequest* request) {
  return BuildReactor::Start(
      // gRPC keeps the request until OnDone.
      [this, request, caller = CallerOf(*context)] {
        return engine_->StartBuild(*request, caller);
      },
      requests_, streams_, options_.now, options_.heartbeat_interval);
}

Caller ContainerBuilderService::CallerOf(
    const grpc::CallbackServerContext& context) const {
  // The socket's mode is what tells its callers apart: gRPC 1.51 gives no uid
  // for them.
  const bool local =
      options_.trust_local && absl::StartsWith(context.peer(), "unix:");
  return local ? Caller{"local", true} : Caller{"anonymous", false};
}

}  // namespace containerbuilder::service
