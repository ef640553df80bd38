#include "rpc/peer_turn.h"

#include <utility>

namespace containerbuilder::service {

PeerTurn::PeerTurn(Executor* executor, absl::Duration limit,
                   std::function<void()> on_idle)
    : executor_(executor), limit_(limit), on_idle_(std::move(on_idle)) {}

void PeerTurn::Start(std::weak_ptr<void> owner) {
  absl::MutexLock lock(&mutex_);
  owner_ = std::move(owner);
  Watch(turns_);
}

void PeerTurn::Give() {
  absl::MutexLock lock(&mutex_);
  is_peers_ = true;
  ++turns_;
}

bool PeerTurn::TakeBack() {
  absl::MutexLock lock(&mutex_);
  return std::exchange(is_peers_, false);
}

void PeerTurn::End() {
  Executor::Timer timer;
  absl::MutexLock lock(&mutex_);
  timer.swap(timer_);
}

void PeerTurn::Watch(std::int64_t turns) {
  timer_ = executor_->After(limit_, [this, owner = owner_, turns] {
    if (const std::shared_ptr<void> alive = owner.lock()) OnTimer(turns);
  });
}

void PeerTurn::OnTimer(std::int64_t turns) {
  {
    absl::MutexLock lock(&mutex_);
    if (timer_ == nullptr) return;
    // He has done something since, or is not waited for.
    if (turns_ != turns || !is_peers_) {
      Watch(turns_);
      return;
    }
    is_peers_ = false;
    timer_.reset();
  }
  on_idle_();
}

}  // namespace containerbuilder::service
