#include "rpc/caller_turns.h"

#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace containerbuilder::service {

struct CallerTurns::State : std::enable_shared_from_this<State> {
  using Work = std::function<void()>;
  struct Turns {
    int taken = 0;
    std::deque<Work> waiting;
  };

  State(Executor* its_executor, int at_most)
      : executor(its_executor), most(at_most) {}

  void Post(const std::string& caller, Work work) {
    {
      absl::MutexLock lock(&mutex);
      Turns& turns = callers[caller];
      if (turns.taken == most) {
        turns.waiting.push_back(std::move(work));
        return;
      }
      ++turns.taken;
    }
    Run(caller, std::move(work));
  }

  void Run(const std::string& caller, Work work) {
    executor->Post(
        [self = shared_from_this(), caller, work = std::move(work)]() mutable {
          work();
          // What it keeps goes first.
          work = nullptr;
          self->PassOn(caller);
        });
  }

  // Gives a turn that is over to what waits next.
  void PassOn(const std::string& caller) {
    Work next;
    {
      absl::MutexLock lock(&mutex);
      const auto found = callers.find(caller);
      Turns& turns = found->second;
      if (turns.waiting.empty()) {
        if (--turns.taken == 0) callers.erase(found);
        return;
      }
      next = std::move(turns.waiting.front());
      turns.waiting.pop_front();
    }
    Run(caller, std::move(next));
  }

  Executor* const executor;
  const int most;
  absl::Mutex mutex;
  // Of those who have any.
  absl::flat_hash_map<std::string, Turns> callers ABSL_GUARDED_BY(mutex);
};

CallerTurns::CallerTurns(Executor* executor, int most)
    : state_(std::make_shared<State>(executor, most)) {}

void CallerTurns::Post(const std::string& caller, std::function<void()> work) {
  state_->Post(caller, std::move(work));
}

}  // namespace containerbuilder::service
