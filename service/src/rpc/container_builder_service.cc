#include "rpc/container_builder_service.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "base/timestamps.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "rpc/cancel_reactor.h"
#include "rpc/download_reactor.h"
#include "rpc/grpc_status.h"
#include "rpc/peer_host.h"
#include "rpc/upload_reactor.h"
#include "rpc/watch_reactor.h"
#include "spdlog/logger.h"

namespace containerbuilder::service {
namespace {

// What gRPC does itself for calls that are not raw.
template <typename Message>
absl::StatusOr<std::shared_ptr<const Message>> Parse(
    const grpc::ByteBuffer* bytes) {
  auto message = std::make_shared<Message>();
  // It takes the buffer as its own, and leaves none: gRPC, whose buffer it is,
  // would keep it until the call ends, which may take hours.
  if (!grpc::SerializationTraits<Message>::Deserialize(
           const_cast<grpc::ByteBuffer*>(bytes), message.get())
           .ok()) {
    return errors::RequestInvalid("the request does not parse");
  }
  return message;
}

// A unary call, and what is held for it until it ends. It is kept alive by a
// reference of its own until OnDone.
class HoldingReactor final : public grpc::ServerUnaryReactor {
 public:
  using Held = std::vector<std::shared_ptr<void>>;
  // May add to what is held.
  using Work = std::function<absl::Status(Held& held)>;

  // Has `work` posted, and finishes the call with its status.
  static HoldingReactor* Start(
      absl::FunctionRef<void(std::function<void()> work)> post, Held held,
      Work work) {
    auto reactor = std::make_shared<HoldingReactor>();
    reactor->self_ = reactor;
    reactor->held_ = std::move(held);
    post([reactor, work = std::move(work)] {
      reactor->Finish(ToGrpcStatus(work(reactor->held_)));
    });
    return reactor.get();
  }

  void OnDone() override {
    // The last use of this by gRPC.
    const std::shared_ptr<HoldingReactor> last = std::move(self_);
  }

 private:
  std::shared_ptr<HoldingReactor> self_;
  Held held_;
};

auto PostTo(Executor* executor) {
  return [executor](std::function<void()> work) {
    executor->Post(std::move(work));
  };
}

bool IsBounded(const Caller& caller) {
  return !caller.trusted && !caller.is_admin();
}

CallerShares::Limits MemoryLimits(const Caller& caller) {
  if (!IsBounded(caller)) return {};
  return {limits::kMaxCallBytesPerCaller, limits::kMaxCallBytes};
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

// Whether the build of a Build call is made, and goes on, without it.
bool OutlivesItsCall(const v1::BuildPolicy& policy) {
  return policy.disconnect_policy() == v1::DISCONNECT_POLICY_DETACH ||
         policy.disconnect_policy() == v1::DISCONNECT_POLICY_LINGER;
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

// Whose calls are counted together: those without a name are many.
std::string CountedAs(const Caller& caller,
                      const grpc::CallbackServerContext& context) {
  return caller.name == Authenticator::kAnonymous ? PeerHost(context.peer())
                                                  : caller.name;
}

// Which of the operator's rules refused a request, or which of the service's
// own, of a caller who is not trusted; empty where none did.
std::string RuleOf(const absl::Status& status, const Caller& caller) {
  const auto payload =
      status.GetPayload("type.googleapis.com/google.rpc.ErrorInfo");
  ::containerbuilder::errors::v1::ErrorInfo info;
  if (!payload || !info.ParseFromString(std::string(*payload))) return "";
  const bool is_wrong = absl::IsInvalidArgument(status) ||
                        absl::IsOutOfRange(status) ||
                        info.reason() == "TOO_LARGE";
  if (!absl::IsPermissionDenied(status) && info.reason() != "RATE_LIMITED" &&
      (caller.trusted || !is_wrong)) {
    return "";
  }
  // Not the message, which quotes what was sent. A field may, in a key.
  std::string rule = info.reason();
  for (const char* fact : {"field", "setting"}) {
    const auto found = info.metadata().find(fact);
    if (found == info.metadata().end()) continue;
    absl::StrAppend(&rule, " ",
                    absl::CEscape(absl::string_view(found->second)
                                      .substr(0, limits::kMaxLoggedBytes)));
  }
  return rule;
}

}  // namespace

ContainerBuilderService::ContainerBuilderService(
    Options options, Engine* engine, const Authenticator* authenticator,
    RateLimiter* rate_limiter, const Executors& executors)
    : options_(std::move(options)),
      engine_(engine),
      authenticator_(authenticator),
      rate_limiter_(rate_limiter),
      refusals_(limits::kRefusalLogInterval, limits::kMaxRefusalLogCallers),
      requests_(executors.requests),
      health_(executors.health),
      nerdctl_(executors.nerdctl),
      admissions_(executors.admissions),
      admission_turns_(executors.admissions, limits::kAdmissionsPerCaller),
      streams_(executors.streams),
      transfers_(executors.transfers) {}

grpc::ServerUnaryReactor* ContainerBuilderService::Health(
    grpc::CallbackServerContext* context, const v1::HealthRequest* request,
    v1::HealthResponse* response) {
  return Answer(
      {context, request, response}, Role::kViewer,
      [this, response](const Caller&) {
        *response = engine_->Health(limits::kHealthFreshness);
        return absl::OkStatus();
      },
      health_);
}

grpc::ServerUnaryReactor* ContainerBuilderService::ConstructArgs(
    grpc::CallbackServerContext* context,
    const v1::ConstructArgsRequest* request,
    v1::ConstructArgsResponse* response) {
  return Answer(
      {context, request, response}, Role::kViewer,
      [this, request, response](const Caller& caller) -> absl::Status {
        CONTAINERBUILDER_ASSIGN_OR_RETURN(
            *response, engine_->ConstructArgs(request->options(), caller));
        return absl::OkStatus();
      },
      nerdctl_);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ContainerBuilderService::Build(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) {
  absl::StatusOr<Caller> caller =
      Admit(*context, Role::kBuilder, bytes->Length());
  if (!caller.ok()) return WatchReactor::Fail(caller.status());
  const auto request =
      Audited(Parse<v1::BuildRequest>(bytes), *caller, context->peer());
  if (!request.ok()) return WatchReactor::Fail(request.status());
  absl::StatusOr<Share> watch = HoldWatch(*caller, *context);
  if (!watch.ok()) return WatchReactor::Fail(watch.status());
  absl::StatusOr<Share> memory = HoldRequest(*caller, *context, **request);
  if (!memory.ok()) return WatchReactor::Fail(memory.status());
  const std::string counted_as = CountedAs(*caller, *context);
  absl::StatusOr<Turn> turn =
      Audited(TakeTurn(*caller, counted_as, (*request)->spec(),
                       (*request)->request_id()),
              *caller, context->peer());
  if (!turn.ok()) return WatchReactor::Fail(turn.status());
  return WatchReactor::Start(
      {.heartbeat_interval = options_.heartbeat_interval,
       .begin_anyway = OutlivesItsCall((*request)->policy()),
       .open = *std::move(watch)},
      [this, request = *request, memory = *std::move(memory), caller = *caller,
       context, place = std::move(turn->place)]() mutable {
        return Audited(
            engine_->StartBuild(std::move(place), *request, caller,
                                [context] { return context->IsCancelled(); }),
            caller, context->peer());
      },
      [&](std::function<void()> work) {
        Post(*turn, counted_as, std::move(work));
      },
      streams_, options_.now);
}

grpc::ServerUnaryReactor* ContainerBuilderService::CreateBuild(
    grpc::CallbackServerContext* context, const v1::CreateBuildRequest* request,
    v1::CreateBuildResponse* response) {
  absl::StatusOr<Caller> caller =
      Admit(*context, Role::kBuilder, request->ByteSizeLong());
  if (!caller.ok()) return Fail(context, caller.status());
  const std::string counted_as = CountedAs(*caller, *context);
  absl::StatusOr<Share> memory = HoldRequest(*caller, *context, *request);
  if (!memory.ok()) return Fail(context, memory.status());
  // Before the build is made, of which an answer that is refused would tell
  // nothing. It has what the request has.
  absl::StatusOr<Share> answer = Audited(
      HoldAnswer(*caller, counted_as, *request), *caller, context->peer());
  if (!answer.ok()) return Fail(context, answer.status());
  absl::StatusOr<Turn> turn = Audited(
      TakeTurn(*caller, counted_as, request->spec(), request->request_id()),
      *caller, context->peer());
  if (!turn.ok()) return Fail(context, turn.status());
  return HoldingReactor::Start(
      [&](std::function<void()> work) {
        Post(*turn, counted_as, std::move(work));
      },
      {*std::move(memory), *std::move(answer)},
      [this, context, request, response, caller = *std::move(caller),
       place = std::move(turn->place)](
          HoldingReactor::Held&) mutable -> absl::Status {
        CONTAINERBUILDER_ASSIGN_OR_RETURN(
            *response->mutable_build(),
            Audited(engine_->CreateBuild(std::move(place), *request, caller),
                    caller, context->peer()));
        return absl::OkStatus();
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ContainerBuilderService::WatchBuild(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* bytes) {
  absl::StatusOr<Caller> caller =
      Admit(*context, Role::kViewer, bytes->Length());
  if (!caller.ok()) return WatchReactor::Fail(caller.status());
  const std::string peer = context->peer();
  const auto request =
      Audited(Parse<v1::WatchBuildRequest>(bytes), *caller, peer);
  if (!request.ok()) return WatchReactor::Fail(request.status());
  const absl::StatusOr<absl::Duration> heartbeat_interval =
      Audited(HeartbeatInterval((*request)->heartbeat_interval(),
                                options_.heartbeat_interval),
              *caller, peer);
  if (!heartbeat_interval.ok()) {
    return WatchReactor::Fail(heartbeat_interval.status());
  }
  absl::StatusOr<Share> watch = HoldWatch(*caller, *context);
  if (!watch.ok()) return WatchReactor::Fail(watch.status());
  absl::StatusOr<Share> memory = HoldRequest(*caller, *context, **request);
  if (!memory.ok()) return WatchReactor::Fail(memory.status());
  return WatchReactor::Start(
      {.heartbeat_interval = *heartbeat_interval,
       .no_follow = (*request)->no_follow(),
       .open = *std::move(watch)},
      [this, request = *request, memory = *std::move(memory),
       caller = *std::move(caller), peer] {
        return Audited(engine_->WatchBuild(request->name(),
                                           request->after_sequence(), caller),
                       caller, peer);
      },
      PostTo(requests_), streams_, options_.now);
}

grpc::ServerUnaryReactor* ContainerBuilderService::GetBuild(
    grpc::CallbackServerContext* context, const v1::GetBuildRequest* request,
    v1::GetBuildResponse* response) {
  return Answer(
      {context, request, response}, Role::kViewer,
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
      {context, request, response}, Role::kViewer,
      [this, request, response](const Caller& caller) -> absl::Status {
        CONTAINERBUILDER_ASSIGN_OR_RETURN(
            *response, engine_->ListBuilds(*request, caller));
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* ContainerBuilderService::CancelBuild(
    grpc::CallbackServerContext* context, const v1::CancelBuildRequest* request,
    v1::CancelBuildResponse* response) {
  absl::StatusOr<Caller> caller =
      Admit(*context, Role::kBuilder, request->ByteSizeLong());
  if (!caller.ok()) return Fail(context, caller.status());
  const absl::StatusOr<Share> memory = HoldRequest(*caller, *context, *request);
  if (!memory.ok()) return Fail(context, memory.status());
  return CancelReactor::Start(
      [this, name = request->name(), caller = *caller, memory = *memory,
       peer = context->peer()](CancelReactor::OnEnd on_end) {
        absl::Status begun =
            engine_->CancelBuild(name, caller, std::move(on_end));
        Audit(begun, caller, peer);
        return begun;
      },
      // Only now is it known how large it is. Where that is too much the build
      // is cancelled all the same, and who asks again is answered.
      [this, caller = *caller, counted_as = CountedAs(*caller, *context)](
          const google::protobuf::Message& answer) {
        return HoldAnswer(caller, counted_as, answer);
      },
      response, requests_);
}

grpc::ServerUnaryReactor* ContainerBuilderService::DeleteBuild(
    grpc::CallbackServerContext* context, const v1::DeleteBuildRequest* request,
    v1::DeleteBuildResponse* response) {
  return Answer({context, request, response}, Role::kBuilder,
                [this, request](const Caller& caller) {
                  return engine_->DeleteBuild(request->name(), caller);
                });
}

grpc::ServerUnaryReactor* ContainerBuilderService::FindMissingBlobs(
    grpc::CallbackServerContext* context,
    const v1::FindMissingBlobsRequest* request,
    v1::FindMissingBlobsResponse* response) {
  return Answer(
      {context, request, response}, Role::kBuilder,
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
           [this, caller = *caller,
            peer = context->peer()](const absl::Status& end) {
             Audit(end, caller, peer);
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
  absl::StatusOr<Share> memory = HoldRequest(*caller, *context, *request);
  if (!memory.ok()) return DownloadReactor::Fail(memory.status());
  return DownloadReactor::Start(
      [this, request = *request, memory = *std::move(memory), caller = *caller,
       counted_as = CountedAs(*caller, *context), peer = context->peer()] {
        return Audited(engine_->OpenArtifact(request, caller, counted_as),
                       caller, peer);
      },
      request->offset(), transfers_, options_.transfer_idle_timeout);
}

absl::StatusOr<ContainerBuilderService::Turn> ContainerBuilderService::TakeTurn(
    const Caller& caller, const std::string& counted_as,
    const v1::BuildSpec& spec, const std::string& request_id) {
  const auto take = [&]() -> absl::StatusOr<std::shared_ptr<Engine::Place>> {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(Share memory,
                                      HoldBuild(caller, counted_as, spec));
    return engine_->TakePlace(caller, request_id, std::move(memory));
  };
  absl::StatusOr<std::shared_ptr<Engine::Place>> place = take();
  if (place.ok()) return Turn{AdmissionsOf(caller, spec), std::move(place)};
  // It waits for no copy, and what it has in memory goes at once.
  if (request_id.empty()) return place.status();
  // The build may be there, which only the records know.
  return Turn{requests_, std::move(place)};
}

Executor* ContainerBuilderService::AdmissionsOf(
    const Caller& caller, const v1::BuildSpec& spec) const {
  // Trusted callers' own contexts are used in place, and where nothing is by
  // value, nothing is copied and put on disk: they do not wait for others'
  // copies, and unary calls do not wait for the disk. All ask nerdctl.
  const bool copies = !caller.trusted || !spec.context_digest().empty() ||
                      !spec.dockerfile().empty();
  return copies ? admissions_ : nerdctl_;
}

void ContainerBuilderService::Post(const Turn& turn,
                                   const std::string& counted_as,
                                   std::function<void()> work) {
  if (turn.executor == admissions_) {
    admission_turns_.Post(counted_as, std::move(work));
  } else {
    turn.executor->Post(std::move(work));
  }
}

grpc::ServerUnaryReactor* ContainerBuilderService::Fail(
    grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

grpc::ServerUnaryReactor* ContainerBuilderService::Answer(const Call& call,
                                                          Role least, Work work,
                                                          Executor* executor) {
  absl::StatusOr<Caller> caller =
      Admit(*call.context, least, call.request->ByteSizeLong());
  if (!caller.ok()) return Fail(call.context, caller.status());
  absl::StatusOr<Share> memory =
      HoldRequest(*caller, *call.context, *call.request);
  if (!memory.ok()) return Fail(call.context, memory.status());
  return HoldingReactor::Start(
      PostTo(executor != nullptr ? executor : requests_), {*std::move(memory)},
      [this, call, work = std::move(work),
       caller = *std::move(caller)](HoldingReactor::Held& held) {
        const auto answer = [&]() -> absl::StatusOr<Share> {
          CONTAINERBUILDER_RETURN_IF_ERROR(work(caller));
          return HoldAnswer(caller, CountedAs(caller, *call.context),
                            *call.response);
        };
        const absl::StatusOr<Share> answered =
            Audited(answer(), caller, call.context->peer());
        if (answered.ok()) held.push_back(*answered);
        return answered.status();
      });
}

absl::StatusOr<ContainerBuilderService::Share>
ContainerBuilderService::HoldRequest(const Caller& caller,
                                     const grpc::CallbackServerContext& context,
                                     const google::protobuf::Message& request) {
  const auto size = static_cast<std::int64_t>(request.ByteSizeLong());
  const auto space = static_cast<std::int64_t>(request.SpaceUsedLong());
  if (space > 2 * size + limits::kMaxRequestOverheadBytes) {
    return Audited<Share>(
        errors::RequestInvalid(absl::StrCat(
            "the request has ", size, " bytes and takes ", space,
            " in memory; send fewer parts, such as empty values, in it")),
        caller, context.peer());
  }
  if (space <= limits::kCountedMessageBytes) return nullptr;
  Share share =
      memory_.Take(CountedAs(caller, context), space, MemoryLimits(caller));
  if (share == nullptr) {
    return Audited<Share>(errors::TooMuchAtOnce(), caller, context.peer());
  }
  return share;
}

absl::StatusOr<ContainerBuilderService::Share>
ContainerBuilderService::HoldAnswer(const Caller& caller,
                                    const std::string& counted_as,
                                    const google::protobuf::Message& answer) {
  const auto size = static_cast<std::int64_t>(answer.ByteSizeLong());
  if (size <= limits::kCountedMessageBytes) return nullptr;
  // gRPC has it as bytes, too, until the peer has them.
  Share share = memory_.Take(
      counted_as, size + static_cast<std::int64_t>(answer.SpaceUsedLong()),
      MemoryLimits(caller));
  if (share == nullptr) return errors::TooMuchAtOnce();
  return share;
}

absl::StatusOr<ContainerBuilderService::Share>
ContainerBuilderService::HoldBuild(const Caller& caller,
                                   const std::string& counted_as,
                                   const v1::BuildSpec& spec) {
  const auto space = static_cast<std::int64_t>(spec.SpaceUsedLong());
  if (space <= limits::kCountedMessageBytes) return nullptr;
  Share share = builds_.Take(counted_as, limits::kSpecCopies * space,
                             MemoryLimits(caller));
  if (share == nullptr) return errors::TooMuchInBuilds();
  return share;
}

absl::StatusOr<ContainerBuilderService::Share>
ContainerBuilderService::HoldWatch(const Caller& caller,
                                   const grpc::CallbackServerContext& context) {
  Share share = watches_.Take(
      CountedAs(caller, context), 1,
      {.of_caller = IsBounded(caller) ? limits::kMaxOpenWatches : 0});
  if (share == nullptr) {
    return Audited<Share>(errors::TooManyWatches(limits::kMaxOpenWatches),
                          caller, context.peer());
  }
  return share;
}

absl::StatusOr<Caller> ContainerBuilderService::Admit(
    const grpc::CallbackServerContext& context, Role least,
    std::size_t request_bytes) {
  absl::StatusOr<Caller> caller =
      authenticator_->Authenticate(CredentialsOf(context));
  const std::string name = caller.ok() ? caller->name : "";
  if (caller.ok()) {
    // Also where it is refused below, for it came: it is no flood.
    options_.on_call(context.peer(), static_cast<std::int64_t>(request_bytes));
  }
  if (caller.ok() && !caller->trusted) {
    const absl::Duration wait =
        rate_limiter_->Take(CountedAs(*caller, context), options_.now());
    if (wait > absl::ZeroDuration()) caller = errors::TooManyCalls(wait);
  }
  if (caller.ok() && caller->role < least) {
    caller = errors::RoleRequired(RoleName(least));
  }
  if (!caller.ok()) {
    LogRefusal(name, context.peer(), std::string(caller.status().message()));
  }
  return caller;
}

void ContainerBuilderService::Audit(const absl::Status& end,
                                    const Caller& caller,
                                    const std::string& peer) {
  const std::string rule = RuleOf(end, caller);
  if (!rule.empty()) LogRefusal(caller.name, peer, rule);
}

void ContainerBuilderService::LogRefusal(const std::string& caller,
                                         const std::string& peer,
                                         const std::string& why) {
  if (options_.logger == nullptr) return;
  if (const auto left_out = refusals_.Admit(caller, options_.now())) {
    options_.logger->warn(
        "refused a call from {}{}: {} ({} more since the last such line)", peer,
        caller.empty() ? "" : " by " + caller, why, *left_out);
  }
}

}  // namespace containerbuilder::service
