#include "base/executor.h"

#include <atomic>
#include <memory>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

TEST(ExecutorTest, RunsWhatIsPostedOnSeveralThreads) {
  Executor executor(2);
  // Each of the two can only end while the other runs.
  absl::Notification first;
  absl::Notification second;
  absl::BlockingCounter done(2);
  executor.Post([&] {
    first.Notify();
    second.WaitForNotification();
    done.DecrementCount();
  });
  executor.Post([&] {
    second.Notify();
    first.WaitForNotification();
    done.DecrementCount();
  });
  done.Wait();
}

TEST(ExecutorTest, TimerRunsAfterItsDelay) {
  Executor executor(1);
  absl::Notification rang;
  const absl::Time begin = absl::Now();
  const Executor::Timer timer =
      executor.After(absl::Milliseconds(20), [&rang] { rang.Notify(); });
  ASSERT_TRUE(rang.WaitForNotificationWithTimeout(absl::Seconds(30)));
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(19));
}

TEST(ExecutorTest, TimerThatIsDroppedNeverRuns) {
  auto held = std::make_shared<int>(1);
  std::atomic<bool> rang = false;
  {
    Executor executor(1);
    Executor::Timer dropped =
        executor.After(absl::Milliseconds(500), [held, &rang] { rang = true; });
    dropped.reset();
    absl::Notification later;
    const Executor::Timer timer =
        executor.After(absl::Milliseconds(600), [&later] { later.Notify(); });
    ASSERT_TRUE(later.WaitForNotificationWithTimeout(absl::Seconds(30)));
    // What the dropped one held is let go at once, not at its time.
    EXPECT_EQ(held.use_count(), 1);
  }
  EXPECT_FALSE(rang);
}

TEST(ExecutorTest, EndsWithTimersPending) {
  Executor executor(2);
  static_cast<void>(executor.After(absl::Hours(1), [] { FAIL(); }));
  const Executor::Timer kept = executor.After(absl::Hours(1), [] { FAIL(); });
}

}  // namespace
}  // namespace containerbuilder::service
