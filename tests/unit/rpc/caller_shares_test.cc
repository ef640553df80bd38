#include "rpc/caller_shares.h"

#include <memory>
#include <thread>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "gtest/gtest.h"

namespace containerbuilder::service {
namespace {

constexpr CallerShares::Limits kLimits = {.of_caller = 10, .of_all = 15};

TEST(CallerSharesTest, ACallerHasHisShareAndNoMore) {
  CallerShares shares;
  const auto first = shares.Take("a", 6, kLimits);
  EXPECT_NE(first, nullptr);
  EXPECT_EQ(shares.Take("a", 5, kLimits), nullptr);
  auto second = shares.Take("a", 4, kLimits);
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(shares.Take("a", 1, kLimits), nullptr);
  second.reset();
  EXPECT_NE(shares.Take("a", 4, kLimits), nullptr);
}

TEST(CallerSharesTest, AllTogetherHaveALimitToo) {
  CallerShares shares;
  const auto his = shares.Take("a", 10, kLimits);
  EXPECT_EQ(shares.Take("b", 6, kLimits), nullptr);
  EXPECT_NE(shares.Take("b", 5, kLimits), nullptr);
}

TEST(CallerSharesTest, WithoutALimitItIsCountedAllTheSame) {
  CallerShares shares;
  const auto much = shares.Take("a", 1000, {});
  EXPECT_NE(much, nullptr);
  EXPECT_EQ(shares.Take("a", 1, kLimits), nullptr);
}

TEST(CallerSharesTest, AShareMayOutliveThem) {
  auto shares = std::make_unique<CallerShares>();
  auto share = shares->Take("a", 1, kLimits);
  shares.reset();
  share.reset();
}

TEST(CallerSharesTest, AwaitsTheLast) {
  Executor timers(1);
  CallerShares shares;
  shares.AwaitNone(timers, absl::InfiniteDuration());
  auto first = shares.Take("a", 1, kLimits);
  auto second = shares.Take("b", 2, kLimits);
  absl::Notification over;
  std::thread waiting([&] {
    shares.AwaitNone(timers, absl::InfiniteDuration());
    over.Notify();
  });
  first.reset();
  EXPECT_FALSE(over.HasBeenNotified());
  second.reset();
  waiting.join();
}

TEST(CallerSharesTest, AwaitsThemForAWhile) {
  Executor timers(1);
  CallerShares shares;
  const auto share = shares.Take("a", 1, kLimits);
  shares.AwaitNone(timers, absl::Milliseconds(10));
}

}  // namespace
}  // namespace containerbuilder::service
