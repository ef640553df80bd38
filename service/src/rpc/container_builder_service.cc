#include "rpc/container_builder_service.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "base/timestamps.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "rpc/cancel_reactor.h"
#include "rpc/download_reactor.h"
#include "rpc/grpc_status.h"
#include "rpc/upload_reactor.h"
#include "rpc/watch_reactor.h"
#include "spdlog/logger.h"

namespace containerbuilder::service {
namespace {

// What gRPC does itself for calls that are not raw.
template <typename Message>
absl::StatusOr<std::shared_ptr<const Message>> Parse(
    const grpc::ByteBuffer& bytes) {
  auto message = std::make_shared<Message>();
  // It takes the buffer as its own.
  grpc::ByteBuffer copy(bytes);
  if (!grpc::SerializationTraits<Message>::Deserialize(&copy, message.get())
           .ok()) {
    return absl::InvalidArgumentError("the request does not parse");
  }
  return message;
}

// The interval that a watcher asked for, or the service's own.
absl::StatusOr<absl::Duration> HeartbeatInterval(
    const google::protobuf::Duration& asked, absl::Duration usual) {
  const absl::Duration interval = ToDuration(asked);
  if (interval == absl::ZeroDuration()) return usual;
  if (interval < limits::kMinHeartbeatInterval ||
      interval > limits::kMaxPolicyDuration) {
    return errors::OptionInvalid(
        "heartbeat_interval",
        "an interval is from 0.1 s to 7 days, or 0 for the default");
  }
  return interval;
}

absl::string_view RoleName(Role role) {
  switch (role) {
    case Role::kViewer:
      return "viewer";
    case Role::kBuilder:
      return "builder";
    case Role::kAdmin:
      return "admin";
  }
  return "";
}

// `ipv4:127.0.0.1` of `ipv4:127.0.0.1:5000`.
std::string PeerHost(const std::string& peer) {
  return peer.substr(0, peer.rfind(':'));
}

// Whose calls are counted together: those without a name are many.
std::string CountedAs(const Caller& caller,
                      const grpc::CallbackServerContext& context) {
  return caller.name == Authenticator::kAnonymous ? PeerHost(context.peer())
                                                  : caller.name;
}

}  // namespace

ContainerBuilderService::ContainerBuilderService(
    Options options, Engine* engine, const Authenticator* authenticator,
    RateLimiter* rate_limiter, Executor* requests, Executor* admissions,
    Executor* streams, Executor* transfers)
    : options_(std::move(options)),
      engine_(engine),
      authenticator_(authenticator),
      rate_limiter_(rate_limiter),
      refusals_(limits::kRefusalLogInterval),
      requests_(requests),
      admissions_(admissions),
      streams_(streams),
      transfers_(transfers) {}

grpc::ServerUnaryReactor* ContainerBuilderService::Health(
    grpc::CallbackServerContext* context, const v1::HealthRequest* request,
    v1::HealthResponse* response) {
  return Answer(context, Role::kViewer, *request,
                [this, response](const Caller&) {
                  *response = engine_->Health(limits::kHealthFreshness);
                  return absl::OkStatus();
                });
}

grpc::ServerUnaryReactor* ContainerBuilderService::ConstructArgs(
    grpc::CallbackServerContext* context,
    const v1::ConstructArgsRequest* request,
    v1::ConstructArgsResponse* response) {
  return Answer(
      context, Role::kViewer, *request,
      [this, request, response](const Caller& caller) -> absl::Status {
        CONTAINERBUILDER_ASSIGN_OR_RETURN(
            *response, engine_->ConstructArgs(request->options(), caller));
        return absl::OkStatus();
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ContainerBuilderService::Build(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) {
  absl::StatusOr<Caller> caller =
      Admit(*context, Role::kBuilder, bytes->Length());
  if (!caller.ok()) return WatchReactor::Fail(caller.status());
  const auto request = Parse<v1::BuildRequest>(*bytes);
  if (!request.ok()) return WatchReactor::Fail(request.status());
  return WatchReactor::Start(
      {.heartbeat_interval = options_.heartbeat_interval},
      [this, request = *request, caller = *caller, context] {
        return engine_->StartBuild(
            *request, caller, [context] { return context->IsCancelled(); });
      },
      AdmissionsOf(*caller, (*request)->spec()), streams_, options_.now);
}

grpc::ServerUnaryReactor* ContainerBuilderService::CreateBuild(
    grpc::CallbackServerContext* context, const v1::CreateBuildRequest* request,
    v1::CreateBuildResponse* response) {
  absl::StatusOr<Caller> caller =
      Admit(*context, Role::kBuilder, request->ByteSizeLong());
  Executor* const executor =
      caller.ok() ? AdmissionsOf(*caller, request->spec()) : requests_;
  return Answer(context, std::move(caller), executor,
                [this, request, response](const Caller& asker) -> absl::Status {
                  CONTAINERBUILDER_ASSIGN_OR_RETURN(
                      *response->mutable_build(),
                      engine_->CreateBuild(*request, asker));
                  return absl::OkStatus();
                });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ContainerBuilderService::WatchBuild(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) {
  absl::StatusOr<Caller> caller =
      Admit(*context, Role::kViewer, bytes->Length());
  if (!caller.ok()) return WatchReactor::Fail(caller.status());
  const auto request = Parse<v1::WatchBuildRequest>(*bytes);
  if (!request.ok()) return WatchReactor::Fail(request.status());
  const absl::StatusOr<absl::Duration> heartbeat_interval = HeartbeatInterval(
      (*request)->heartbeat_interval(), options_.heartbeat_interval);
  if (!heartbeat_interval.ok()) {
    return WatchReactor::Fail(heartbeat_interval.status());
  }
  return WatchReactor::Start(
      {.heartbeat_interval = *heartbeat_interval,
       .no_follow = (*request)->no_follow()},
      [this, request = *request, caller = *std::move(caller)] {
        return engine_->WatchBuild(request->name(), request->after_sequence(),
                                   caller);
      },
      requests_, streams_, options_.now);
}

grpc::ServerUnaryReactor* ContainerBuilderService::GetBuild(
    grpc::CallbackServerContext* context, const v1::GetBuildRequest* request,
    v1::GetBuildResponse* response) {
  return Answer(
      context, Role::kViewer, *request,
      [this, request, response](const Caller& caller) -> absl::Status {
        CONTAINERBUILDER_ASSIGN_OR_RETURN(
            *response->mutable_build(),
            engine_->GetBuild(request->name(), caller));
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* ContainerBuilderService::ListBuilds(
    grpc::CallbackServerContext* context, const v1::ListBuildsRequest* request,
    v1::ListBuildsResponse* response) {
  return Answer(
      context, Role::kViewer, *request,
      [this, request, response](const Caller& caller) -> absl::Status {
        CONTAINERBUILDER_ASSIGN_OR_RETURN(
            *response, engine_->ListBuilds(*request, caller));
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* ContainerBuilderService::CancelBuild(
    grpc::CallbackServerContext* context, const v1::CancelBuildRequest* request,
    v1::CancelBuildResponse* response) {
  return CancelReactor::Start(
      [this, name = request->name(),
       caller = Admit(*context, Role::kBuilder, request->ByteSizeLong())](
          CancelReactor::OnEnd on_end) {
        if (!caller.ok()) return caller.status();
        return engine_->CancelBuild(name, *caller, std::move(on_end));
      },
      response, requests_);
}

grpc::ServerUnaryReactor* ContainerBuilderService::DeleteBuild(
    grpc::CallbackServerContext* context, const v1::DeleteBuildRequest* request,
    v1::DeleteBuildResponse* /*response*/) {
  return Answer(context, Role::kBuilder, *request,
                [this, request](const Caller& caller) {
                  return engine_->DeleteBuild(request->name(), caller);
                });
}

grpc::ServerUnaryReactor* ContainerBuilderService::FindMissingBlobs(
    grpc::CallbackServerContext* context,
    const v1::FindMissingBlobsRequest* request,
    v1::FindMissingBlobsResponse* response) {
  return Answer(
      context, Role::kBuilder, *request,
      [this, request, response](const Caller& caller) -> absl::Status {
        CONTAINERBUILDER_ASSIGN_OR_RETURN(
            *response, engine_->FindMissingBlobs(*request, caller));
        return absl::OkStatus();
      });
}

grpc::ServerReadReactor<v1::UploadBlobsRequest>*
ContainerBuilderService::UploadBlobs(grpc::CallbackServerContext* context,
                                     v1::UploadBlobsResponse* response) {
  absl::StatusOr<Caller> caller = Admit(*context, Role::kBuilder, 0);
  if (!caller.ok()) return UploadReactor::Fail(caller.status());
  options_.on_upload(context->peer(), /*begins=*/true);
  return UploadReactor::Start(
      [this, caller = *caller, counted_as = CountedAs(*caller, *context)] {
        return engine_->UploadBlobs(caller, counted_as);
      },
      {.on_piece = [this, peer = context->peer()](
                       std::int64_t bytes) { options_.on_piece(peer, bytes); },
       .on_end =
           [this, peer = context->peer()] {
             options_.on_upload(peer, /*begins=*/false);
           }},
      response, transfers_, options_.transfer_idle_timeout);
}

grpc::ServerWriteReactor<v1::DownloadArtifactResponse>*
ContainerBuilderService::DownloadArtifact(
    grpc::CallbackServerContext* context,
    const v1::DownloadArtifactRequest* request) {
  absl::StatusOr<Caller> caller =
      Admit(*context, Role::kViewer, request->ByteSizeLong());
  if (!caller.ok()) return DownloadReactor::Fail(caller.status());
  return DownloadReactor::Start(
      [this, request = *request, caller = *caller,
       counted_as = CountedAs(*caller, *context)] {
        return engine_->OpenArtifact(request, caller, counted_as);
      },
      request->offset(), transfers_, options_.transfer_idle_timeout);
}

Executor* ContainerBuilderService::AdmissionsOf(
    const Caller& caller, const v1::BuildSpec& spec) const {
  // Trusted callers' own contexts are used in place, and where nothing is by
  // value, nothing is copied and put on disk: they do not wait for others'
  // copies, and unary calls do not wait for the disk.
  const bool copies = !caller.trusted || !spec.context_digest().empty() ||
                      !spec.dockerfile().empty();
  return copies ? admissions_ : requests_;
}

grpc::ServerUnaryReactor* ContainerBuilderService::Answer(
    grpc::CallbackServerContext* context, absl::StatusOr<Caller> caller,
    Executor* executor, std::function<absl::Status(const Caller&)> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (!caller.ok()) {
    reactor->Finish(ToGrpcStatus(caller.status()));
    return reactor;
  }
  // gRPC keeps request and response until OnDone.
  executor->Post(
      [reactor, work = std::move(work), caller = *std::move(caller)] {
        reactor->Finish(ToGrpcStatus(work(caller)));
      });
  return reactor;
}

grpc::ServerUnaryReactor* ContainerBuilderService::Answer(
    grpc::CallbackServerContext* context, Role least,
    const google::protobuf::Message& request,
    std::function<absl::Status(const Caller&)> work) {
  return Answer(context, Admit(*context, least, request.ByteSizeLong()),
                requests_, std::move(work));
}

absl::StatusOr<Caller> ContainerBuilderService::Admit(
    const grpc::CallbackServerContext& context, Role least,
    std::size_t request_bytes) {
  absl::StatusOr<Caller> caller =
      authenticator_->Authenticate(CredentialsOf(context));
  if (caller.ok() && !caller->trusted) {
    const absl::Duration wait =
        rate_limiter_->Take(CountedAs(*caller, context), options_.now());
    if (wait > absl::ZeroDuration()) caller = errors::TooManyCalls(wait);
  }
  if (caller.ok() && caller->role < least) {
    caller = errors::RoleRequired(RoleName(least));
  }
  if (caller.ok()) {
    options_.on_call(context.peer(), static_cast<std::int64_t>(request_bytes));
  } else if (options_.logger != nullptr) {
    if (const auto left_out = refusals_.Admit(options_.now())) {
      options_.logger->warn(
          "refused a call from {}: {} ({} more since the last such line)",
          context.peer(), std::string(caller.status().message()), *left_out);
    }
  }
  return caller;
}

}  // namespace containerbuilder::service
