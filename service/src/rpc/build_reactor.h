#ifndef CONTAINERBUILDER_RPC_BUILD_REACTOR_H_
#define CONTAINERBUILDER_RPC_BUILD_REACTOR_H_

#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "build/build.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "grpcpp/support/server_callback.h"

namespace containerbuilder::service {

// One call of Build: admits the build, then pulls its events from the journal,
// one write in flight, as fast as the caller reads. Files are read and builds
// started on executors, never in a reaction.
//
// It is kept alive by a reference of its own until OnDone, and by the work it
// has posted.
class BuildReactor final : public grpc::ServerWriteReactor<v1::BuildResponse>,
                           public std::enable_shared_from_this<BuildReactor> {
 public:
  // Admits and starts the build.
  using StartBuild = std::function<absl::StatusOr<std::shared_ptr<Build>>()>;

  // The answer is for gRPC, which tells it when it is done. `start_build` runs
  // on `requests`, the rest on `streams`, so that a slow admission delays
  // nobody's events; both must outlive the call.
  static BuildReactor* Start(StartBuild start_build, Executor* requests,
                             Executor* streams, std::function<absl::Time()> now,
                             absl::Duration heartbeat_interval);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  BuildReactor(Executor* streams, std::function<absl::Time()> now,
               absl::Duration heartbeat_interval);

  // Who may take the next step. Each state is left by exactly one party, so
  // that there is never a second write or a second read of the journal.
  enum class State {
    kAdmitting,  // Admit
    kPumping,    // Pump, or OnCancel that took over from a wait
    kWriting,    // OnWriteDone; response_ is gRPC's
    kWaiting,    // the journal's wake-up, the heartbeat or OnCancel
    kFinished,   // nobody
  };

  void Admit(const StartBuild& start_build);
  // Writes the next event, waits for one, or ends the call. On streams_.
  void Pump();
  void PostPump();
  void Write();
  // Waits for the journal; false where there is something to read already.
  bool Wait(Build& build);
  void OnWake();
  void OnHeartbeat();
  // Ends the call; for the party that may step.
  void FinishWith(const absl::Status& status);

  Executor* const streams_;
  const std::function<absl::Time()> now_;
  const absl::Duration heartbeat_interval_;
  std::shared_ptr<BuildReactor> self_;

  absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kAdmitting;
  std::shared_ptr<Build> build_ ABSL_GUARDED_BY(mutex_);
  bool wake_set_ ABSL_GUARDED_BY(mutex_) = false;   // the journal will call
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;  // nobody reads any more
  Executor::Timer heartbeat_ ABSL_GUARDED_BY(mutex_);
  Journal::Cursor cursor_;      // Pump's
  v1::BuildResponse response_;  // that of the party that may step
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_BUILD_REACTOR_H_
