#include "rpc/rate_limiter.h"

#include <string>

#include "base/limits.h"
#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

constexpr int kRate = 2;
constexpr int kBurst = static_cast<int>(kRate * limits::kCallBurst);

class RateLimiterTest : public testing::Test {
 protected:
  bool Take(const std::string& caller = "ci") {
    return limiter_.Take(caller, now_) == absl::ZeroDuration();
  }

  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  RateLimiter limiter_{kRate};
};

TEST_F(RateLimiterTest, LetsABurstThroughAndThenTheRate) {
  for (int i = 0; i < kBurst; ++i) EXPECT_TRUE(Take()) << i;
  EXPECT_EQ(limiter_.Take("ci", now_), absl::Milliseconds(500));
  now_ += absl::Milliseconds(499);
  EXPECT_FALSE(Take());
  now_ += absl::Milliseconds(1);
  EXPECT_TRUE(Take());
  EXPECT_FALSE(Take());
  now_ += absl::Hours(1);
  for (int i = 0; i < kBurst; ++i) EXPECT_TRUE(Take()) << i;
  EXPECT_FALSE(Take());
}

TEST_F(RateLimiterTest, CallersAreNothingToEachOther) {
  while (Take()) {
  }
  EXPECT_TRUE(Take("other"));
}

TEST_F(RateLimiterTest, AClockThatIsSetBackTakesNothingAway) {
  EXPECT_TRUE(Take());
  now_ -= absl::Hours(1);
  for (int i = 1; i < kBurst; ++i) EXPECT_TRUE(Take()) << i;
  EXPECT_FALSE(Take());
  now_ += absl::Seconds(1);
  EXPECT_TRUE(Take());
}

TEST_F(RateLimiterTest, TheRateChanges) {
  while (Take()) {
  }
  limiter_.SetRate(0);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(Take());
  limiter_.SetRate(1);
  EXPECT_FALSE(Take());
  EXPECT_EQ(limiter_.Take("ci", now_), absl::Seconds(1));
}

TEST_F(RateLimiterTest, ForgetsThoseWhoRestAndNoOthers) {
  while (Take()) {
  }
  // More names than it keeps.
  for (int i = 0; i < 5000; ++i) {
    now_ += absl::Microseconds(10);
    EXPECT_TRUE(Take(std::to_string(i)));
  }
  EXPECT_FALSE(Take());
}

}  // namespace
}  // namespace containerbuilder::service
