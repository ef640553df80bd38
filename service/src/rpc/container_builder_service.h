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
#include "rpc/caller_shares.h"
#include "rpc/caller_turns.h"
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

  // What the calls' work runs on.
  struct Executors {
    Executor* requests;    // may wait for the disk, and for nothing slower
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
  // The end of a caller's call from `peer`, as gRPC names it: logged where a
  // rule refused it, or he is not trusted and sent what no rule allows.
  void Audit(const absl::Status& end, const Caller& caller,
             const std::string& peer);
  // The same of an outcome, which is answered as it is.
  template <typename Outcome>
  absl::StatusOr<Outcome> Audited(absl::StatusOr<Outcome> outcome,
                                  const Caller& caller,
                                  const std::string& peer) {
    Audit(outcome.status(), caller, peer);
    return outcome;
  }
  // `caller` is empty where nobody knows who it was; `why` has no secrets.
  void LogRefusal(const std::string& caller, const std::string& peer,
                  const std::string& why);
  // Where a build is admitted, and whether there is a place for it.
  struct Turn {
    Executor* executor;
    absl::StatusOr<std::shared_ptr<Engine::Place>> place;
  };
  // An error where there is none, and no build that is there can be meant.
  absl::StatusOr<Turn> TakeTurn(const Caller& caller,
                                const std::string& counted_as,
                                const v1::BuildSpec& spec,
                                const std::string& request_id);
  // What a caller's build is admitted on.
  Executor* AdmissionsOf(const Caller& caller, const v1::BuildSpec& spec) const;
  // Has a caller's work done there; behind that of others where he has enough.
  void Post(const Turn& turn, const std::string& counted_as,
            std::function<void()> work);
  using Share = std::shared_ptr<void>;
  // The memory that a request takes is the caller's until the answer goes;
  // none for a small one.
  absl::StatusOr<Share> HoldRequest(const Caller& caller,
                                    const grpc::CallbackServerContext& context,
                                    const google::protobuf::Message& request);
  // The same of an answer.
  absl::StatusOr<Share> HoldAnswer(const Caller& caller,
                                   const std::string& counted_as,
                                   const google::protobuf::Message& answer);
  // What a build keeps of its request until it ends. Not of the memory of
  // calls: who has all of his in builds can still list and cancel them.
  absl::StatusOr<Share> HoldBuild(const Caller& caller,
                                  const std::string& counted_as,
                                  const v1::BuildSpec& spec);
  // One more stream of events.
  absl::StatusOr<Share> HoldWatch(const Caller& caller,
                                  const grpc::CallbackServerContext& context);
  // Finishes a call at once.
  static grpc::ServerUnaryReactor* Fail(grpc::CallbackServerContext* context,
                                        const absl::Status& status);
  // What a unary call is about; both messages are gRPC's until OnDone.
  struct Call {
    grpc::CallbackServerContext* context;
    const google::protobuf::Message* request;
    google::protobuf::Message* response;
  };
  using Work = std::function<absl::Status(const Caller&)>;
  // Runs `work`, which fills the response, if the caller has at least this
  // role, and finishes the call with its status; on requests_ where no other
  // executor is named. For what changes nothing, or answers nothing: an answer
  // that is too large is refused when the work is done.
  grpc::ServerUnaryReactor* Answer(const Call& call, Role least, Work work,
                                   Executor* executor = nullptr);

  const Options options_;
  Engine* const engine_;
  const Authenticator* const authenticator_;
  RateLimiter* const rate_limiter_;
  CallerLogThrottle refusals_;
  CallerShares memory_;   // bytes of requests and answers
  CallerShares builds_;   // bytes of builds that have not ended
  CallerShares watches_;  // streams of events
  Executor* const requests_;
  Executor* const health_;
  Executor* const nerdctl_;
  Executor* const admissions_;
  CallerTurns admission_turns_;  // on admissions_
  Executor* const streams_;
  Executor* const transfers_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CONTAINER_BUILDER_SERVICE_H_
