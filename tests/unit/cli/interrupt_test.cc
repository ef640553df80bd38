#include "interrupt.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <future>

namespace containerbuilder::cli {
namespace {

// Signals are blocked, and sent to the test's own process.
class InterruptTest : public testing::Test {
 protected:
  InterruptTest() { pthread_sigmask(SIG_BLOCK, nullptr, &before_); }
  ~InterruptTest() override { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// The signal that a watch tells of.
class Told {
 public:
  void operator()(int signal) { signal_.set_value(signal); }
  // 0 where it did not within a minute.
  int Wait() {
    std::future<int> signal = signal_.get_future();
    return signal.wait_for(std::chrono::minutes(1)) == std::future_status::ready
               ? signal.get()
               : 0;
  }

 private:
  std::promise<int> signal_;
};

TEST_F(InterruptTest, OneThatWasLookedForTooEarlyIsTheNextWatchs) {
  InterruptSignals signals;
  {
    Told told;
    const InterruptWatch watch(signals, std::ref(told));
    ASSERT_EQ(watch.signal(), 0);
    ::kill(::getpid(), SIGINT);
    EXPECT_EQ(told.Wait(), SIGINT);
  }
  Told told;
  const InterruptWatch watch(signals, std::ref(told));
  ASSERT_EQ(watch.signal(), SIGINT);
  EXPECT_EQ(told.Wait(), SIGINT);
}

TEST_F(InterruptTest, OneBetweenTwoWatchesIsTheNextWatchs) {
  InterruptSignals signals;
  {
    const InterruptWatch watch(signals, [](int) { FAIL(); });
  }
  ::kill(::getpid(), SIGTERM);
  Told told;
  const InterruptWatch watch(signals, std::ref(told));
  EXPECT_EQ(told.Wait(), SIGTERM);
}

TEST_F(InterruptTest, TheSecondLeavesWhicheverWatchTookTheFirst) {
  EXPECT_EXIT(
      {
        InterruptSignals signals;
        {
          Told told;
          const InterruptWatch watch(signals, std::ref(told));
          ::kill(::getpid(), SIGINT);
          told.Wait();
        }
        Told told;
        const InterruptWatch watch(signals, std::ref(told));
        told.Wait();
        ::kill(::getpid(), SIGTERM);
        Told().Wait();
      },
      testing::ExitedWithCode(128 + SIGTERM), "press Ctrl-C again");
}

}  // namespace
}  // namespace containerbuilder::cli
