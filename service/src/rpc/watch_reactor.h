#ifndef CONTAINERBUILDER_RPC_WATCH_REACTOR_H_
#define CONTAINERBUILDER_RPC_WATCH_REACTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "build/engine.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "journal/journal.h"

namespace containerbuilder::service {

// One call that streams a build's events: Build, once it has admitted the
// build, and WatchBuild. It pulls events from the journal, one write in flight,
// as fast as the caller reads. Files are read and builds admitted on executors,
// never in a reaction.
//
// Both responses hold the event as their field 1, and events are written as the
// journal has them: serialized once for all that watch.
//
// It is kept alive by a reference of its own until OnDone, and by the work it
// has posted.
class WatchReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public std::enable_shared_from_this<WatchReactor> {
 public:
  // What keeps an event's place in memory, of so many bytes, until the peer has
  // it; nothing where there is none now.
  using HoldEvent =
      std::function<std::optional<std::shared_ptr<void>>(std::int64_t bytes)>;
  struct Options {
    // Between heartbeats while nothing happens.
    absl::Duration heartbeat_interval;
    // End after the events that there are at the beginning.
    bool no_follow = false;
    // Let go when gRPC is done with the call.
    std::shared_ptr<void> open = nullptr;
    HoldEvent hold_event = nullptr;
  };
  // What is watched, and how.
  struct Watched {
    BuildWatch watch;
    Options options;
  };
  // Has the call go on with the events, or end. Once, not in a reaction.
  using Open = std::function<void(absl::StatusOr<Watched>)>;

  // The answer is for gRPC, which tells it when it is done. `begin` has a build
  // admitted or found on some executor, and then `open` called; the rest runs
  // on `streams`, so that a slow admission delays nobody's events, which must
  // outlive the call.
  static WatchReactor* Start(absl::FunctionRef<void(Open open)> begin,
                             Executor* streams,
                             std::function<absl::Time()> now);
  // Ends the call at once with an error.
  static WatchReactor* Fail(const absl::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  WatchReactor(Executor* streams, std::function<absl::Time()> now);

  // Who may take the next step. Each state is left by exactly one party, so
  // that there is never a second write or a second read of the journal.
  enum class State {
    kBeginning,  // OpenWith
    kPumping,    // Pump, or OnCancel that took over from a wait
    kWriting,    // OnWriteDone; message_ is gRPC's
    kWaiting,    // the journal's wake-up, the heartbeat or OnCancel
    kFinished,   // nobody
  };

  void OpenWith(absl::StatusOr<Watched> watched);
  // Writes the next event, waits for one, or ends the call. On streams_.
  void Pump();
  void PostPump();
  // False where there is no place for it in memory.
  bool Write(const Journal::Entry& entry);
  bool TakeRoom(std::int64_t bytes);
  // Tries again later, with heartbeats until then.
  void AwaitRoom();
  // Waits for the journal; false where there is something to read already.
  bool Wait();
  void OnWake();
  void OnHeartbeat();
  void WriteHeartbeat();
  // Ends the call; for the party that may step.
  void FinishWith(const absl::Status& status);

  Executor* const streams_;
  const std::function<absl::Time()> now_;
  std::shared_ptr<WatchReactor> self_;

  // Pump's; set before it runs first.
  Options options_;
  BuildWatch watch_;
  std::int64_t written_ = 0;  // the newest event's sequence

  absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kBeginning;
  bool wake_set_ ABSL_GUARDED_BY(mutex_) = false;   // the journal will call
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;  // nobody reads any more
  // For a heartbeat, or where there was no room.
  Executor::Timer timer_ ABSL_GUARDED_BY(mutex_);
  grpc::ByteBuffer message_;    // that of the party that may step
  std::shared_ptr<void> held_;  // for message_, of so many bytes
  std::int64_t held_bytes_ = 0;
  std::int64_t awaited_bytes_ = 0;  // of the next event, if it awaits room
  absl::Duration waited_ = absl::ZeroDuration();  // since a heartbeat, for that
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_WATCH_REACTOR_H_
