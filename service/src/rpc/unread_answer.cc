#include "rpc/unread_answer.h"

#include <utility>

namespace containerbuilder::service {

void UnreadAnswer::Await(absl::Duration longest, Executor* timers,
                         std::weak_ptr<void> owner) {
  if (longest == absl::InfiniteDuration()) return;
  absl::MutexLock lock(&mutex_);
  timer_ = timers->After(longest, [this, owner = std::move(owner)] {
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
