#ifndef CONTAINERBUILDER_RPC_UNREAD_ANSWER_H_
#define CONTAINERBUILDER_RPC_UNREAD_ANSWER_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "grpcpp/server_context.h"

namespace containerbuilder::service {

// An answer that was written.
struct Answered {
  std::shared_ptr<void> memory = nullptr;  // its place there
  absl::Duration read_within = absl::InfiniteDuration();
};

// The end of a unary call: its answer is gRPC's, and in memory, until the peer
// has read it, and a peer that does not read is waited for no longer than a
// limit. Also a stream that is not to stay open for longer. Thread-safe.
class UnreadAnswer {
 public:
  // A part of the call's reactor, whose context is gRPC's.
  explicit UnreadAnswer(grpc::CallbackServerContext* context)
      : context_(context) {}
  UnreadAnswer(const UnreadAnswer&) = delete;
  UnreadAnswer& operator=(const UnreadAnswer&) = delete;

  // Before Finish: keeps the answer's place, and cancels the call where it has
  // not ended in time. Runs on `timers`; this is a part of `owner`.
  void Await(Answered answered, Executor* timers, std::weak_ptr<void> owner);
  // In OnDone, behind which there is no context.
  void End();

 private:
  void Cancel();

  absl::Mutex mutex_;
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(mutex_);
  Answered answered_ ABSL_GUARDED_BY(mutex_);
  Executor::Timer timer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_UNREAD_ANSWER_H_
