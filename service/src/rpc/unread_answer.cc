#include "rpc/unread_answer.h"

#include <utility>

namespace containerbuilder::service {

void UnreadAnswer::Await(Answered answered, Executor* timers,
                         std::weak_ptr<void> owner) {
  absl::MutexLock lock(&mutex_);
  answered_ = std::move(answered);
  if (answered_.read_within == absl::InfiniteDuration()) return;
  timer_ =
      timers->After(answered_.read_within, [this, owner = std::move(owner)] {
        if (const std::shared_ptr<void> alive = owner.lock()) Cancel();
      });
}

void UnreadAnswer::End() {
  absl::MutexLock lock(&mutex_);
  context_ = nullptr;
  timer_.reset();
}

void UnreadAnswer::Cancel() {
  // Under the lock, as the context goes with OnDone. gRPC 1.51 has that run on
  // a thread of its own, so that it waits here.
  absl::MutexLock lock(&mutex_);
  if (context_ != nullptr) context_->TryCancel();
}

}  // namespace containerbuilder::service
