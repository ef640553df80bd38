#include "rpc/caller_shares.h"

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace containerbuilder::service {
namespace {

bool IsOver(std::int64_t amount, std::int64_t limit) {
  return limit > 0 && amount > limit;
}

}  // namespace

struct CallerShares::State {
  absl::Mutex mutex;
  // Of those who have any.
  absl::flat_hash_map<std::string, std::int64_t> taken ABSL_GUARDED_BY(mutex);
  std::int64_t total ABSL_GUARDED_BY(mutex) = 0;
  bool late ABSL_GUARDED_BY(mutex) = false;

  bool NoneOrLate() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return total == 0 || late;
  }

  void GiveBack(const std::string& caller, std::int64_t amount) {
    absl::MutexLock lock(&mutex);
    total -= amount;
    const auto found = taken.find(caller);
    found->second -= amount;
    if (found->second == 0) taken.erase(found);
  }
};

CallerShares::CallerShares() : state_(std::make_shared<State>()) {}

std::shared_ptr<void> CallerShares::Take(const std::string& caller,
                                         std::int64_t amount,
                                         const Limits& limits) {
  {
    absl::MutexLock lock(&state_->mutex);
    const auto found = state_->taken.find(caller);
    const std::int64_t had = found == state_->taken.end() ? 0 : found->second;
    if (IsOver(had + amount, limits.of_caller) ||
        IsOver(state_->total + amount, limits.of_all)) {
      return nullptr;
    }
    state_->taken[caller] = had + amount;
    state_->total += amount;
  }
  return {state_.get(), [state = state_, caller, amount](void*) {
            state->GiveBack(caller, amount);
          }};
}

void CallerShares::AwaitNone(Executor& timers, absl::Duration longest) {
  // Not by a timeout of the mutex, which goes by the wall clock.
  const Executor::Timer timer = timers.After(longest, [state = state_] {
    absl::MutexLock lock(&state->mutex);
    state->late = true;
  });
  absl::MutexLock lock(&state_->mutex);
  state_->mutex.Await(absl::Condition(state_.get(), &State::NoneOrLate));
}

}  // namespace containerbuilder::service
