#include "rpc/container_builder_service.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "base/timestamps.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "rpc/cancel_reactor.h"
#include "rpc/download_reactor.h"
#include "rpc/grpc_status.h"
#include "rpc/message_bytes.h"
#include "rpc/peer_host.h"
#include "rpc/upload_reactor.h"
#include "rpc/watch_reactor.h"
#include "spdlog/logger.h"

namespace containerbuilder::service {
namespace {

// A unary call. It is kept alive by a reference of its own until OnDone.
class UnaryReactor final : public grpc::ServerUnaryReactor,
                           public std::enable_shared_from_this<UnaryReactor> {
 public:
  // Ends the call. Once, on any thread.
  using Reply = std::function<void(absl::StatusOr<Answered>)>;

  // `begin` has the call's work done on some executor, and then `reply` called.
  static UnaryReactor* Start(grpc::CallbackServerContext* context,
                             absl::FunctionRef<void(Reply reply)> begin,
                             Executor* timers) {
    auto reactor = std::make_shared<UnaryReactor>(context);
    reactor->self_ = reactor;
    begin([reactor, timers](absl::StatusOr<Answered> answered) {
      reactor->FinishWith(std::move(answered), timers);
    });
    return reactor.get();
  }
  explicit UnaryReactor(grpc::CallbackServerContext* context)
      : unread_(context) {}

  void OnDone() override {
    unread_.End();
    // The last use of this by gRPC.
    const std::shared_ptr<UnaryReactor> last = std::move(self_);
  }

 private:
  void FinishWith(absl::StatusOr<Answered> answered, Executor* timers) {
    const absl::Status status = answered.status();
    if (answered.ok()) {
      unread_.Await(*std::move(answered), timers, weak_from_this());
    }
    // OnDone may run before Finish returns: nothing after it.
    Finish(ToGrpcStatus(status));
  }

  UnreadAnswer unread_;
  std::shared_ptr<UnaryReactor> self_;
};

bool IsBounded(const Caller& caller) {
  return !caller.trusted && !caller.is_admin();
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
std::string CountedAs(const Caller& caller, const std::string& peer) {
  return caller.name == Authenticator::kAnonymous ? PeerHost(peer)
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
      parsing_(executors.parsing, /*is_of_all_callers=*/false),
      large_parsing_(executors.large_parsing, /*is_of_all_callers=*/false),
      requests_(executors.requests, /*is_of_all_callers=*/false),
      lists_(executors.lists, /*is_of_all_callers=*/false),
      cancels_(executors.cancels, /*is_of_all_callers=*/false),
      health_(executors.health, /*is_of_all_callers=*/false),
      nerdctl_(executors.nerdctl, /*is_of_all_callers=*/false),
      admissions_(executors.admissions, /*is_of_all_callers=*/true),
      streams_(executors.streams),
      transfers_(executors.transfers) {}

// --- Calls ------------------------------------------------------------------

grpc::ServerUnaryReactor* ContainerBuilderService::Health(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Answer<v1::HealthRequest, v1::HealthResponse>(
      {context, request, response}, Role::kViewer, health_,
      [this](const v1::HealthRequest&, const Caller&) {
        return engine_->Health(limits::kHealthFreshness);
      });
}

grpc::ServerUnaryReactor* ContainerBuilderService::ConstructArgs(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Answer<v1::ConstructArgsRequest, v1::ConstructArgsResponse>(
      {context, request, response}, Role::kViewer, nerdctl_,
      [this](const v1::ConstructArgsRequest& asked, const Caller& caller) {
        return engine_->ConstructArgs(asked.options(), caller);
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ContainerBuilderService::Build(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  const absl::StatusOr<Entry> entry = Enter(*context, Role::kBuilder, request);
  if (!entry.ok()) return WatchReactor::Fail(entry.status());
  return WatchReactor::Start(
      [&](const WatchReactor::Open& open) {
        ParseAndPostTo<v1::BuildRequest>(
            parsing_, *entry, /*context=*/nullptr,
            [this, entry = *entry, context, open](const auto& asked) {
              const absl::Status begun =
                  asked.ok() ? BeginBuild(*asked, entry, context, open)
                             : asked.status();
              if (!begun.ok()) open(Audited(begun, entry));
            });
      },
      streams_, options_.now);
}

absl::Status ContainerBuilderService::BeginBuild(
    const std::shared_ptr<const v1::BuildRequest>& request, const Entry& entry,
    const grpc::CallbackServerContext* context,
    const WatchReactor::Open& open) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(Share watch, HoldWatch(entry));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      Turn turn, TakeTurn(entry, request->spec(), request->request_id()));
  PostTo(turn.lane, entry,
         [this, request, entry, context, open, place = std::move(turn.place),
          options = WatchReactor::Options{
              .heartbeat_interval = options_.heartbeat_interval,
              .open = std::move(watch),
              .hold_event = HoldsEvents(entry)}]() mutable {
           const auto is_gone = [context] { return context->IsCancelled(); };
           if (is_gone() && !OutlivesItsCall(request->policy())) {
             open(absl::CancelledError());
             return;
           }
           absl::StatusOr<BuildWatch> begun =
               Audited(engine_->StartBuild(std::move(place), *request,
                                           entry.caller, is_gone),
                       entry);
           if (begun.ok()) {
             open(WatchReactor::Watched{*std::move(begun), std::move(options)});
           } else {
             open(begun.status());
           }
         });
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* ContainerBuilderService::CreateBuild(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  const absl::StatusOr<Entry> entry = Enter(*context, Role::kBuilder, request);
  if (!entry.ok()) return Fail(context, entry.status());
  return UnaryReactor::Start(
      context,
      [&](const UnaryReactor::Reply& reply) {
        ParseAndPostTo<v1::CreateBuildRequest>(
            parsing_, *entry, /*context=*/nullptr,
            [this, entry = *entry, response, reply](const auto& asked) {
              const absl::Status begun =
                  asked.ok() ? BeginCreateBuild(*asked, entry, response, reply)
                             : asked.status();
              if (!begun.ok()) reply(Audited(begun, entry));
            });
      },
      streams_);
}

absl::Status ContainerBuilderService::BeginCreateBuild(
    const std::shared_ptr<const v1::CreateBuildRequest>& request,
    const Entry& entry, grpc::ByteBuffer* response,
    const std::function<void(absl::StatusOr<Answered>)>& reply) {
  // Before the build is made, of which an answer that is refused would tell
  // nothing. It has what the request has.
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      Share memory,
      Hold(memory_, entry, static_cast<std::int64_t>(request->ByteSizeLong())));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      Turn turn, TakeTurn(entry, request->spec(), request->request_id()));
  PostTo(
      turn.lane, entry,
      [this, request, entry, response, reply, memory = std::move(memory),
       place = std::move(turn.place)]() mutable {
        const auto answer = [&]() -> absl::StatusOr<Answered> {
          v1::CreateBuildResponse made;
          CONTAINERBUILDER_ASSIGN_OR_RETURN(
              *made.mutable_build(),
              engine_->CreateBuild(std::move(place), *request, entry.caller));
          Serialize(made, response);
          return Answered{std::move(memory), ReadWithin(entry, *response)};
        };
        reply(Audited(answer(), entry));
      });
  return absl::OkStatus();
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ContainerBuilderService::WatchBuild(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  const absl::StatusOr<Entry> entry = Enter(*context, Role::kViewer, request);
  if (!entry.ok()) return WatchReactor::Fail(entry.status());
  return WatchReactor::Start(
      [&](const WatchReactor::Open& open) {
        ParseAndPostTo<v1::WatchBuildRequest>(
            requests_, *entry, context,
            [this, entry = *entry, open](const auto& asked) {
              open(Audited(asked.ok() ? Watch(**asked, entry) : asked.status(),
                           entry));
            });
      },
      streams_, options_.now);
}

absl::StatusOr<WatchReactor::Watched> ContainerBuilderService::Watch(
    const v1::WatchBuildRequest& request, const Entry& entry) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const absl::Duration heartbeat_interval,
      HeartbeatInterval(request.heartbeat_interval(),
                        options_.heartbeat_interval));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(Share open, HoldWatch(entry));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      BuildWatch watch,
      engine_->WatchBuild(request.name(), request.after_sequence(),
                          entry.caller));
  return WatchReactor::Watched{std::move(watch),
                               {.heartbeat_interval = heartbeat_interval,
                                .no_follow = request.no_follow(),
                                .open = std::move(open),
                                .hold_event = HoldsEvents(entry)}};
}

grpc::ServerUnaryReactor* ContainerBuilderService::GetBuild(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Answer<v1::GetBuildRequest, v1::GetBuildResponse>(
      {context, request, response}, Role::kViewer, requests_,
      [this](const v1::GetBuildRequest& asked,
             const Caller& caller) -> absl::StatusOr<v1::GetBuildResponse> {
        v1::GetBuildResponse answer;
        CONTAINERBUILDER_ASSIGN_OR_RETURN(
            *answer.mutable_build(), engine_->GetBuild(asked.name(), caller));
        return answer;
      });
}

grpc::ServerUnaryReactor* ContainerBuilderService::ListBuilds(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Answer<v1::ListBuildsRequest, v1::ListBuildsResponse>(
      {context, request, response}, Role::kViewer, lists_,
      [this](const v1::ListBuildsRequest& asked, const Caller& caller) {
        return engine_->ListBuilds(asked, caller);
      });
}

grpc::ServerUnaryReactor* ContainerBuilderService::CancelBuild(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  const absl::StatusOr<Entry> entry = Enter(*context, Role::kBuilder, request);
  if (!entry.ok()) return Fail(context, entry.status());
  return CancelReactor::Start(
      [&](const CancelReactor::OnEnd& on_end) {
        // Also where the caller, and so the call, has gone before its turn.
        ParseAndPostTo<v1::CancelBuildRequest>(
            cancels_, *entry, /*context=*/nullptr,
            [this, entry = *entry, on_end](const auto& asked) {
              const absl::Status begun =
                  asked.ok() ? engine_->CancelBuild((*asked)->name(),
                                                    entry.caller, on_end)
                             : asked.status();
              if (!begun.ok()) on_end(Audited(begun, entry));
            });
      },
      // Only now is it known how large it is. Where that is too much the build
      // is cancelled all the same, and who asks again is answered.
      [this, entry = *entry, response](const v1::CancelBuildResponse& answer) {
        return Audited(Respond(answer, entry, response), entry);
      },
      context, streams_);
}

grpc::ServerUnaryReactor* ContainerBuilderService::DeleteBuild(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Answer<v1::DeleteBuildRequest, v1::DeleteBuildResponse>(
      {context, request, response}, Role::kBuilder, requests_,
      [this](const v1::DeleteBuildRequest& asked,
             const Caller& caller) -> absl::StatusOr<v1::DeleteBuildResponse> {
        CONTAINERBUILDER_RETURN_IF_ERROR(
            engine_->DeleteBuild(asked.name(), caller));
        return v1::DeleteBuildResponse();
      });
}

grpc::ServerUnaryReactor* ContainerBuilderService::FindMissingBlobs(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Answer<v1::FindMissingBlobsRequest, v1::FindMissingBlobsResponse>(
      {context, request, response}, Role::kBuilder, requests_,
      [this](const v1::FindMissingBlobsRequest& asked, const Caller& caller) {
        return engine_->FindMissingBlobs(asked, caller);
      });
}

grpc::ServerReadReactor<grpc::ByteBuffer>* ContainerBuilderService::UploadBlobs(
    grpc::CallbackServerContext* context, grpc::ByteBuffer* response) {
  absl::StatusOr<Entry> entry =
      Enter(*context, Role::kBuilder, /*request=*/nullptr);
  if (!entry.ok()) {
    // What a caller has sent of it by now is no flood.
    if (!absl::IsUnauthenticated(entry.status())) {
      options_.on_upload(context->peer(), /*begins=*/true);
      options_.on_upload(context->peer(), /*begins=*/false);
    }
    return UploadReactor::Fail(entry.status());
  }
  options_.on_upload(entry->peer, /*begins=*/true);
  return UploadReactor::Start(
      [this, entry = *entry] {
        return engine_->UploadBlobs(entry.caller, entry.counted_as);
      },
      {.on_piece = [this, peer = entry->peer](
                       std::int64_t bytes) { options_.on_piece(peer, bytes); },
       .on_end =
           [this, entry = *entry](const absl::Status& end) {
             Audit(end, entry);
             options_.on_upload(entry.peer, /*begins=*/false);
           }},
      response, transfers_, options_.transfer_idle_timeout);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>*
ContainerBuilderService::DownloadArtifact(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request) {
  const absl::StatusOr<Entry> entry = Enter(*context, Role::kViewer, request);
  if (!entry.ok()) return DownloadReactor::Fail(entry.status());
  return DownloadReactor::Start(
      [&](const DownloadReactor::Open& open) {
        ParseAndPostTo<v1::DownloadArtifactRequest>(
            parsing_, *entry, context,
            [this, entry = *entry, open](auto asked) {
              transfers_->Post([this, asked = std::move(asked), entry, open] {
                const auto download =
                    [&]() -> absl::StatusOr<DownloadReactor::Opened> {
                  CONTAINERBUILDER_RETURN_IF_ERROR(asked.status());
                  CONTAINERBUILDER_ASSIGN_OR_RETURN(
                      Engine::OpenedArtifact artifact,
                      engine_->OpenArtifact(**asked, entry.caller,
                                            entry.counted_as));
                  return DownloadReactor::Opened{std::move(artifact),
                                                 (*asked)->offset()};
                };
                open(Audited(download(), entry));
              });
            });
      },
      transfers_, options_.transfer_idle_timeout);
}

// --- The begin of a call ----------------------------------------------------

absl::StatusOr<ContainerBuilderService::Entry> ContainerBuilderService::Enter(
    const grpc::CallbackServerContext& context, Role least,
    const grpc::ByteBuffer* request) {
  Entry entry;
  entry.peer = context.peer();
  std::int64_t size = 0;
  if (request != nullptr) {
    entry.request = std::make_shared<Unparsed>();
    entry.request->bytes = TakeBytes(request);
    size = static_cast<std::int64_t>(entry.request->bytes.Length());
  }
  absl::StatusOr<Caller> caller =
      authenticator_->Authenticate(CredentialsOf(context));
  if (caller.ok()) {
    entry.caller = *caller;
    entry.counted_as = CountedAs(*caller, entry.peer);
    // Also where it is refused below, for it came: it is no flood.
    options_.on_call(entry.peer, size);
  }
  if (caller.ok() && !caller->trusted) {
    const absl::Duration wait =
        rate_limiter_->Take(entry.counted_as, options_.now());
    if (wait > absl::ZeroDuration()) caller = errors::TooManyCalls(wait);
  }
  if (caller.ok() && caller->role < least) {
    caller = errors::RoleRequired(RoleName(least));
  }
  if (!caller.ok()) {
    LogRefusal(entry, std::string(caller.status().message()));
    return caller.status();
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(Share memory,
                                    Audited(Hold(memory_, entry, size), entry));
  if (request != nullptr) entry.request->memory = std::move(memory);
  return entry;
}

template <typename Request>
ContainerBuilderService::Parsed<Request> ContainerBuilderService::Parse(
    const Entry& entry) {
  struct Held {
    Request request;
    Share memory;
  };
  const auto held = std::make_shared<Held>();
  Request& request = held->request;
  const bool is_request = Deserialize(&entry.request->bytes, &request);
  entry.request->memory = nullptr;
  if (!is_request) return errors::RequestInvalid("the request does not parse");
  const auto size = static_cast<std::int64_t>(request.ByteSizeLong());
  const auto space = static_cast<std::int64_t>(request.SpaceUsedLong());
  if (space > 2 * size + limits::kMaxRequestOverheadBytes) {
    return errors::RequestInvalid(absl::StrCat(
        "the request has ", size, " bytes and takes ", space,
        " in memory; send fewer parts, such as empty values, in it"));
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(held->memory, Hold(memory_, entry, space));
  return std::shared_ptr<const Request>(held, &request);
}

template <typename Request>
void ContainerBuilderService::ParseAndPostTo(
    Lane& lane, const Entry& entry, const grpc::CallbackServerContext* context,
    std::function<void(Parsed<Request>)> work) {
  const auto parse = [this, entry, context]() -> Parsed<Request> {
    if (context != nullptr && context->IsCancelled()) {
      return absl::CancelledError();
    }
    return Parse<Request>(entry);
  };
  const bool is_large =
      IsBounded(entry.caller) &&
      entry.request->bytes.Length() > limits::kMaxParsedTogetherBytes;
  if (!is_large) {
    PostTo(lane, entry, [parse, work = std::move(work)] { work(parse()); });
    return;
  }
  PostTo(large_parsing_, entry, [&lane, entry, parse, work = std::move(work)] {
    PostTo(lane, entry,
           [work, parsed = parse()]() mutable { work(std::move(parsed)); });
  });
}

grpc::ServerUnaryReactor* ContainerBuilderService::Fail(
    grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

// --- Unary calls ------------------------------------------------------------

template <typename Request, typename Response>
grpc::ServerUnaryReactor* ContainerBuilderService::Answer(
    const Call& call, Role least, Lane& lane,
    std::function<absl::StatusOr<Response>(const Request&, const Caller&)>
        work) {
  const absl::StatusOr<Entry> entry = Enter(*call.context, least, call.request);
  if (!entry.ok()) return Fail(call.context, entry.status());
  return UnaryReactor::Start(
      call.context,
      [&](const UnaryReactor::Reply& reply) {
        ParseAndPostTo<Request>(
            lane, *entry, call.context,
            [this, call, work = std::move(work), entry = *entry,
             reply](auto asked) {
              const auto answer = [&]() -> absl::StatusOr<Answered> {
                CONTAINERBUILDER_ASSIGN_OR_RETURN(const auto request,
                                                  std::move(asked));
                CONTAINERBUILDER_ASSIGN_OR_RETURN(const Response response,
                                                  work(*request, entry.caller));
                return Respond(response, entry, call.response);
              };
              reply(Audited(answer(), entry));
            });
      },
      streams_);
}

template <typename Response>
absl::StatusOr<Answered> ContainerBuilderService::Respond(
    const Response& response, const Entry& entry, grpc::ByteBuffer* bytes) {
  Serialize(response, bytes);
  absl::StatusOr<Share> memory =
      Hold(memory_, entry, static_cast<std::int64_t>(bytes->Length()));
  if (!memory.ok()) {
    bytes->Clear();
    return memory.status();
  }
  return Answered{*std::move(memory), ReadWithin(entry, *bytes)};
}

absl::Duration ContainerBuilderService::ReadWithin(
    const Entry& entry, const grpc::ByteBuffer& answer) const {
  if (!IsBounded(entry.caller)) return absl::InfiniteDuration();
  return options_.transfer_idle_timeout +
         absl::Seconds(answer.Length() / limits::kLeastBytesPerSecond);
}

// --- Admissions -------------------------------------------------------------

absl::StatusOr<ContainerBuilderService::Turn> ContainerBuilderService::TakeTurn(
    const Entry& entry, const v1::BuildSpec& spec,
    const std::string& request_id) {
  const auto take = [&]() -> absl::StatusOr<std::shared_ptr<Engine::Place>> {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(Share memory, HoldBuild(entry, spec));
    return engine_->TakePlace(entry.caller, request_id, std::move(memory));
  };
  absl::StatusOr<std::shared_ptr<Engine::Place>> place = take();
  if (place.ok()) {
    return Turn{AdmissionsOf(entry.caller, spec), std::move(place)};
  }
  // It waits for no copy, and what it has in memory goes at once.
  if (request_id.empty()) return place.status();
  // The build may be there, which only the records know.
  return Turn{requests_, std::move(place)};
}

ContainerBuilderService::Lane& ContainerBuilderService::AdmissionsOf(
    const Caller& caller, const v1::BuildSpec& spec) {
  // Trusted callers' own contexts are used in place, and where nothing is by
  // value, nothing is copied and put on disk: they do not wait for others'
  // copies, and unary calls do not wait for the disk. All ask nerdctl.
  const bool copies = !caller.trusted || !spec.context_digest().empty() ||
                      !spec.dockerfile().empty();
  return copies ? admissions_ : nerdctl_;
}

void ContainerBuilderService::PostTo(Lane& lane, const Entry& entry,
                                     std::function<void()> work) {
  if (IsBounded(entry.caller) || lane.of_all_callers) {
    lane.turns.Post(entry.counted_as, std::move(work));
  } else {
    lane.executor->Post(std::move(work));
  }
}

// --- Shares -----------------------------------------------------------------

absl::StatusOr<ContainerBuilderService::Share> ContainerBuilderService::Hold(
    CallerShares& shares, const Entry& entry, std::int64_t bytes) {
  if (bytes == 0 || !IsBounded(entry.caller)) return nullptr;
  Share share = shares.Take(
      entry.counted_as, bytes,
      {.of_caller = limits::kMaxCallBytesPerCaller,
       .of_all =
           bytes > limits::kCountedMessageBytes ? limits::kMaxCallBytes : 0});
  if (share == nullptr) return errors::TooMuchAtOnce();
  return share;
}

absl::StatusOr<ContainerBuilderService::Share>
ContainerBuilderService::HoldBuild(const Entry& entry,
                                   const v1::BuildSpec& spec) {
  const auto space = static_cast<std::int64_t>(spec.SpaceUsedLong());
  if (space <= limits::kCountedMessageBytes) return nullptr;
  absl::StatusOr<Share> share =
      Hold(builds_, entry, limits::kSpecCopies * space);
  if (!share.ok()) return errors::TooMuchInBuilds();
  return share;
}

absl::StatusOr<ContainerBuilderService::Share>
ContainerBuilderService::HoldWatch(const Entry& entry) {
  Share share = watches_.Take(
      entry.counted_as, 1,
      {.of_caller = IsBounded(entry.caller) ? limits::kMaxOpenWatches : 0});
  if (share == nullptr) return errors::TooManyWatches(limits::kMaxOpenWatches);
  return share;
}

WatchReactor::HoldEvent ContainerBuilderService::HoldsEvents(
    const Entry& entry) {
  return [this, entry](std::int64_t bytes) -> std::optional<Share> {
    // As many of these as there are watches may be.
    if (bytes <= limits::kUncountedEventBytes) return nullptr;
    absl::StatusOr<Share> held = Hold(events_, entry, bytes);
    if (!held.ok()) return std::nullopt;
    return *std::move(held);
  };
}

// --- The log ----------------------------------------------------------------

void ContainerBuilderService::Audit(const absl::Status& end,
                                    const Entry& entry) {
  const std::string rule = RuleOf(end, entry.caller);
  if (!rule.empty()) LogRefusal(entry, rule);
}

void ContainerBuilderService::LogRefusal(const Entry& entry,
                                         const std::string& why) {
  if (options_.logger == nullptr) return;
  const std::string& caller = entry.caller.name;
  if (const auto left_out = refusals_.Admit(caller, options_.now())) {
    options_.logger->warn(
        "refused a call from {}{}: {} ({} more since the last such line)",
        entry.peer, caller.empty() ? "" : " by " + caller, why, *left_out);
  }
}

}  // namespace containerbuilder::service
