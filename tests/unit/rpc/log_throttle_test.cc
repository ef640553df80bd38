#include "rpc/log_throttle.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

using ::testing::Optional;

constexpr absl::Duration kInterval = absl::Seconds(1);
const absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

TEST(LogThrottleTest, OneLineInAnIntervalTellsOfThoseLeftOut) {
  LogThrottle throttle(kInterval);
  EXPECT_THAT(throttle.Admit(kNow), Optional(0));
  EXPECT_EQ(throttle.Admit(kNow), std::nullopt);
  EXPECT_EQ(throttle.Admit(kNow + kInterval / 2), std::nullopt);
  EXPECT_THAT(throttle.Admit(kNow + kInterval), Optional(2));
  // A clock that is set back does not silence it.
  EXPECT_THAT(throttle.Admit(kNow), Optional(0));
}

TEST(CallerLogThrottleTest, NoCallerHidesAnother) {
  CallerLogThrottle throttle(kInterval, 10);
  EXPECT_THAT(throttle.Admit("", kNow), Optional(0));
  EXPECT_EQ(throttle.Admit("", kNow), std::nullopt);
  EXPECT_THAT(throttle.Admit("a", kNow), Optional(0));
  EXPECT_EQ(throttle.Admit("a", kNow), std::nullopt);
  EXPECT_EQ(throttle.Admit("a", kNow), std::nullopt);
  EXPECT_THAT(throttle.Admit("b", kNow), Optional(0));
  EXPECT_THAT(throttle.Admit("a", kNow + kInterval), Optional(2));
  EXPECT_THAT(throttle.Admit("b", kNow + kInterval), Optional(0));
  EXPECT_THAT(throttle.Admit("", kNow + kInterval), Optional(1));
}

TEST(CallerLogThrottleTest, CallersBeyondTheMostAreOne) {
  CallerLogThrottle throttle(kInterval, 2);
  EXPECT_THAT(throttle.Admit("a", kNow), Optional(0));
  EXPECT_THAT(throttle.Admit("b", kNow), Optional(0));
  EXPECT_THAT(throttle.Admit("c", kNow), Optional(0));
  int lines = 0;
  for (int i = 0; i < 1000; ++i) {
    if (throttle.Admit(absl::StrCat("more-", i), kNow)) ++lines;
  }
  EXPECT_EQ(lines, 0);
  // Those who were there keep their own.
  EXPECT_THAT(throttle.Admit("b", kNow + kInterval), Optional(0));
}

TEST(CallerLogThrottleTest, WhatWasLeftOutOfAForgottenCallerIsStillTold) {
  CallerLogThrottle throttle(kInterval, 1);
  EXPECT_THAT(throttle.Admit("a", kNow), Optional(0));
  EXPECT_EQ(throttle.Admit("a", kNow), std::nullopt);
  // In the place of the first.
  EXPECT_THAT(throttle.Admit("b", kNow + kInterval), Optional(0));
  EXPECT_THAT(throttle.Admit("", kNow + kInterval), Optional(1));
  EXPECT_EQ(throttle.Admit("b", kNow + kInterval), std::nullopt);
}

}  // namespace
}  // namespace containerbuilder::service
