#include "rpc/caller_turns.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/executor.h"
#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

using ::testing::ElementsAre;

// What was begun, in its order; some of it ends when the test says so.
class Log {
 public:
  void Add(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    begun_.push_back(name);
  }
  std::vector<std::string> begun() {
    absl::MutexLock lock(&mutex_);
    return begun_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> begun_ ABSL_GUARDED_BY(mutex_);
};

TEST(CallerTurnsTest, ACallerHasHisTurnsAndTheRestWaitsBehindOthers) {
  Executor executor(3);
  CallerTurns turns(&executor, 2);
  absl::Notification end;
  absl::BlockingCounter held(2);
  for (int i = 0; i < 2; ++i) {
    turns.Post("a", [&] {
      held.DecrementCount();
      end.WaitForNotification();
    });
  }
  held.Wait();
  Log log;
  absl::BlockingCounter all(4);
  const auto post = [&](const std::string& caller, const std::string& name) {
    turns.Post(caller, [&, name] {
      log.Add(name);
      all.DecrementCount();
    });
  };
  post("a", "a1");
  post("a", "a2");
  post("b", "b1");
  // A thread is left, for others.
  absl::Notification other;
  turns.Post("c", [&] { other.Notify(); });
  other.WaitForNotification();
  EXPECT_THAT(log.begun(), ElementsAre("b1"));
  end.Notify();
  post("b", "b2");
  all.Wait();
}

TEST(CallerTurnsTest, ACallersOwnKeepTheirOrder) {
  Executor executor(2);
  CallerTurns turns(&executor, 1);
  Log log;
  absl::BlockingCounter all(3);
  for (const char* name : {"1", "2", "3"}) {
    turns.Post("a", [&, name] {
      log.Add(name);
      all.DecrementCount();
    });
  }
  all.Wait();
  EXPECT_THAT(log.begun(), ElementsAre("1", "2", "3"));
}

TEST(CallerTurnsTest, WorkMayOutliveThem) {
  Executor executor(1);
  auto turns = std::make_unique<CallerTurns>(&executor, 1);
  absl::Notification gone, last;
  turns->Post("a", [&] { gone.WaitForNotification(); });
  turns->Post("a", [&] { last.Notify(); });
  turns.reset();
  gone.Notify();
  last.WaitForNotification();
}

}  // namespace
}  // namespace containerbuilder::service
