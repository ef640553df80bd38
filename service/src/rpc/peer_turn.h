#ifndef CONTAINERBUILDER_RPC_PEER_TURN_H_
#define CONTAINERBUILDER_RPC_PEER_TURN_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/executor.h"

namespace containerbuilder::service {

// Whose turn it is in a call that goes to and fro: the service's, at first, or
// the peer's, who is waited for no longer than a limit. Thread-safe.
class PeerTurn {
 public:
  // `on_idle` runs on `executor`, which must outlive this, once the peer has
  // had his turn for `limit`, or up to twice as long. It is the service's turn
  // then, and for good.
  PeerTurn(Executor* executor, absl::Duration limit,
           std::function<void()> on_idle);
  PeerTurn(const PeerTurn&) = delete;
  PeerTurn& operator=(const PeerTurn&) = delete;

  // Begins to look at the time. This is a part of `owner`, or goes with it.
  void Start(std::weak_ptr<void> owner);

  // It is the peer's turn; the time begins anew.
  void Give();
  // The peer has done what he had to; false where it was too late, and
  // `on_idle` has the turn.
  [[nodiscard]] bool TakeBack();
  // Nobody is waited for any more.
  void End();

 private:
  void Watch(std::int64_t turns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnTimer(std::int64_t turns);

  Executor* const executor_;
  const absl::Duration limit_;
  const std::function<void()> on_idle_;

  absl::Mutex mutex_;
  std::weak_ptr<void> owner_ ABSL_GUARDED_BY(mutex_);
  bool is_peers_ ABSL_GUARDED_BY(mutex_) = false;
  std::int64_t turns_ ABSL_GUARDED_BY(mutex_) = 0;  // of the peer, so far
  Executor::Timer timer_ ABSL_GUARDED_BY(mutex_);   // null before and after
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_PEER_TURN_H_
