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
#include "base/limits.h"
#include "build/engine.h"
#include "containerbuilder/v1/container_builder.grpc.pb.h"
#include "grpcpp/support/byte_buffer.h"
#include "rpc/authenticator.h"
#include "rpc/caller_shares.h"
#include "rpc/caller_turns.h"
#include "rpc/log_throttle.h"
#include "rpc/rate_limiter.h"
#include "rpc/unread_answer.h"
#include "rpc/watch_reactor.h"

namespace spdlog {
class logger;
}  // namespace spdlog

namespace containerbuilder::service {

// A generated service of which some methods take and answer bytes.
template <typename Service, template <typename> typename... WithRawMethod>
struct RawMethods {
  using Type = Service;
};
template <typename Service, template <typename> typename First,
          template <typename> typename... Others>
struct RawMethods<Service, First, Others...> {
  using Type = First<typename RawMethods<Service, Others...>::Type>;
};

// All: what a message takes in memory is up to who sent it, and it is not
// parsed before he is known and had to answer for its bytes. Nor on gRPC's
// threads, which are two on a small machine, and everybody's.
using RawContainerBuilder = RawMethods<
    v1::ContainerBuilder::CallbackService,
    v1::ContainerBuilder::WithRawCallbackMethod_Health,
    v1::ContainerBuilder::WithRawCallbackMethod_ConstructArgs,
    v1::ContainerBuilder::WithRawCallbackMethod_Build,
    v1::ContainerBuilder::WithRawCallbackMethod_CreateBuild,
    v1::ContainerBuilder::WithRawCallbackMethod_WatchBuild,
    v1::ContainerBuilder::WithRawCallbackMethod_GetBuild,
    v1::ContainerBuilder::WithRawCallbackMethod_ListBuilds,
    v1::ContainerBuilder::WithRawCallbackMethod_CancelBuild,
    v1::ContainerBuilder::WithRawCallbackMethod_DeleteBuild,
    v1::ContainerBuilder::WithRawCallbackMethod_FindMissingBlobs,
    v1::ContainerBuilder::WithRawCallbackMethod_UploadBlobs,
    v1::ContainerBuilder::WithRawCallbackMethod_DownloadArtifact>::Type;

// The RPCs: knows who calls and whether he may, and converts between gRPC and
// the engine; nothing else. Events are written as they were serialized for all
// that watch.
class ContainerBuilderService final : public RawContainerBuilder {
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

  // What the calls' work runs on.
  struct Executors {
    Executor* parsing;        // waits for nothing
    Executor* large_parsing;  // the same, of one request at a time
    Executor* requests;       // may wait for the disk, and for nothing slower
    Executor* lists;          // as the requests, of which it is the slow kind
    Executor* cancels;     // the same; who waits there has builds that run on
    Executor* health;      // asks all programs, any of which may hang
    Executor* nerdctl;     // asks nerdctl first, which may hang
    Executor* admissions;  // copies contexts
    Executor* streams;     // feeds streams
    Executor* transfers;   // uploads and downloads
  };

  // All must outlive it.
  ContainerBuilderService(Options options, Engine* engine,
                          const Authenticator* authenticator,
                          RateLimiter* rate_limiter,
                          const Executors& executors);

  // Blocks until no stream of events is open, or for `most`.
  void AwaitWatches(absl::Duration most) {
    watches_.AwaitNone(*streams_, most);
  }

  grpc::ServerUnaryReactor* Health(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ConstructArgs(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Build(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* CreateBuild(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchBuild(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* GetBuild(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListBuilds(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* CancelBuild(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DeleteBuild(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* FindMissingBlobs(
      grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
      grpc::ByteBuffer* response) override;
  grpc::ServerReadReactor<grpc::ByteBuffer>* UploadBlobs(
      grpc::CallbackServerContext* context,
      grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* DownloadArtifact(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;

 private:
  // Memory, or what else there is not much of, that is a caller's until this
  // goes.
  using Share = std::shared_ptr<void>;

  // A request as it came, until it is parsed.
  struct Unparsed {
    grpc::ByteBuffer bytes;
    Share memory;
  };
  // A call that is let in.
  struct Entry {
    Caller caller = {};
    std::string counted_as = {};  // whose calls it is counted with
    std::string peer = {};        // as gRPC names it
    std::shared_ptr<Unparsed> request = nullptr;
  };
  // Lets a caller in, if he may do what takes at least this role, now.
  // Takes the bytes of `request`, which is null where requests are a stream.
  absl::StatusOr<Entry> Enter(const grpc::CallbackServerContext& context,
                              Role least, const grpc::ByteBuffer* request);
  // What the request takes in memory is the caller's as long as it is kept.
  template <typename Request>
  using Parsed = absl::StatusOr<std::shared_ptr<const Request>>;
  template <typename Request>
  Parsed<Request> Parse(const Entry& entry);
  // Finishes a call at once.
  static grpc::ServerUnaryReactor* Fail(grpc::CallbackServerContext* context,
                                        const absl::Status& status);

  // Where calls' work is done. A caller who is bounded has few turns at a time,
  // so that others do not wait behind all of his.
  struct Lane {
    Lane(Executor* its_executor, bool is_of_all_callers)
        : executor(its_executor),
          turns(its_executor, limits::kTurnsPerCaller),
          of_all_callers(is_of_all_callers) {}
    Executor* const executor;
    CallerTurns turns;
    const bool of_all_callers;  // the turns are
  };
  static void PostTo(Lane& lane, const Entry& entry,
                     std::function<void()> work);
  // Has the request parsed, and then `work` done with it on `lane`. A call that
  // nobody waits for any more is not to keep others waiting: it is CANCELLED in
  // place of being parsed, unless `context` is null.
  template <typename Request>
  void ParseAndPostTo(Lane& lane, const Entry& entry,
                      const grpc::CallbackServerContext* context,
                      std::function<void(Parsed<Request>)> work);

  // What a unary call is about; `response` is gRPC's until OnDone.
  struct Call {
    grpc::CallbackServerContext* context;
    const grpc::ByteBuffer* request;
    grpc::ByteBuffer* response;
  };
  // Has `work` answer a call of who has at least this role. For what changes
  // nothing, or answers nothing: an answer that is too large is refused when
  // the work is done.
  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* Answer(
      const Call& call, Role least, Lane& lane,
      std::function<absl::StatusOr<Response>(const Request&, const Caller&)>
          work);
  // Writes an answer; an error where there is no place for it.
  template <typename Response>
  absl::StatusOr<Answered> Respond(const Response& response, const Entry& entry,
                                   grpc::ByteBuffer* bytes);
  absl::Duration ReadWithin(const Entry& entry,
                            const grpc::ByteBuffer& answer) const;

  // A Build call whose request is parsed.
  absl::Status BeginBuild(
      const std::shared_ptr<const v1::BuildRequest>& request,
      const Entry& entry, const grpc::CallbackServerContext* context,
      const WatchReactor::Open& open);
  absl::StatusOr<WatchReactor::Watched> Watch(
      const v1::WatchBuildRequest& request, const Entry& entry);
  absl::Status BeginCreateBuild(
      const std::shared_ptr<const v1::CreateBuildRequest>& request,
      const Entry& entry, grpc::ByteBuffer* response,
      const std::function<void(absl::StatusOr<Answered>)>& reply);

  // Where a build is admitted, and whether there is a place for it.
  struct Turn {
    Lane& lane;
    absl::StatusOr<std::shared_ptr<Engine::Place>> place;
  };
  // An error where there is none, and no build that is there can be meant.
  absl::StatusOr<Turn> TakeTurn(const Entry& entry, const v1::BuildSpec& spec,
                                const std::string& request_id);
  // What a caller's build is admitted on.
  Lane& AdmissionsOf(const Caller& caller, const v1::BuildSpec& spec);

  // So many bytes more; null for callers who are not bounded.
  static absl::StatusOr<Share> Hold(CallerShares& shares, const Entry& entry,
                                    std::int64_t bytes);
  // What a build keeps of its request until it ends. Not of the memory of
  // calls: who has all of his in builds can still list and cancel them.
  absl::StatusOr<Share> HoldBuild(const Entry& entry,
                                  const v1::BuildSpec& spec);
  // One more stream of events, and each of its events that is large.
  absl::StatusOr<Share> HoldWatch(const Entry& entry);
  WatchReactor::HoldEvent HoldsEvents(const Entry& entry);

  // The end of a call: logged where a rule refused it, or the caller is not
  // trusted and sent what no rule allows.
  void Audit(const absl::Status& end, const Entry& entry);
  // The same of an outcome, which is answered as it is.
  absl::Status Audited(absl::Status end, const Entry& entry) {
    Audit(end, entry);
    return end;
  }
  template <typename Outcome>
  absl::StatusOr<Outcome> Audited(absl::StatusOr<Outcome> outcome,
                                  const Entry& entry) {
    Audit(outcome.status(), entry);
    return outcome;
  }
  // `why` has no secrets. The caller has no name where nobody knows who it was.
  void LogRefusal(const Entry& entry, const std::string& why);

  const Options options_;
  Engine* const engine_;
  const Authenticator* const authenticator_;
  RateLimiter* const rate_limiter_;
  CallerLogThrottle refusals_;
  CallerShares memory_;   // bytes of requests and answers
  CallerShares builds_;   // bytes of builds that have not ended
  CallerShares events_;   // bytes of events, of those that are large
  CallerShares watches_;  // streams of events
  Lane parsing_;
  Lane large_parsing_;
  Lane requests_;
  Lane lists_;
  Lane cancels_;  // who has slow calls can still end his builds
  Lane health_;
  Lane nerdctl_;
  Lane admissions_;
  Executor* const streams_;
  Executor* const transfers_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_
