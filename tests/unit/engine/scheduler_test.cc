#include "build/scheduler.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> TakeAll(Scheduler& scheduler) {
  std::vector<std::string> names;
  while (const std::optional<std::string> name = scheduler.Next()) {
    names.push_back(*name);
    scheduler.Remove(*name);
  }
  return names;
}

TEST(SchedulerTest, GoesByPriorityThenArrival) {
  Scheduler scheduler(1, 10);
  scheduler.Add("third", 0, 3);
  scheduler.Add("urgent", 5, 4);
  scheduler.Add("idle", -1, 1);
  scheduler.Add("second", 0, 2);
  scheduler.Add("first", 5, 2);
  EXPECT_THAT(scheduler.Queue(),
              ElementsAre("first", "urgent", "second", "third", "idle"));
  EXPECT_THAT(TakeAll(scheduler),
              ElementsAre("first", "urgent", "second", "third", "idle"));
}

TEST(SchedulerTest, TheOrderOfAddingDoesNotMatter) {
  // As after a restart: arrivals are what counts.
  Scheduler scheduler(1, 10);
  for (const int arrival : {7, 3, 9, 1}) {
    scheduler.Add(absl::StrCat(arrival), 0, arrival);
  }
  EXPECT_THAT(TakeAll(scheduler), ElementsAre("1", "3", "7", "9"));
}

TEST(SchedulerTest, TakesTheExtremePriorities) {
  Scheduler scheduler(1, 10);
  scheduler.Add("last", std::numeric_limits<std::int32_t>::min(), 1);
  scheduler.Add("middle", 0, 2);
  scheduler.Add("first", std::numeric_limits<std::int32_t>::max(), 3);
  EXPECT_THAT(TakeAll(scheduler), ElementsAre("first", "middle", "last"));
}

TEST(SchedulerTest, GivesNoMoreSlotsThanThereAre) {
  Scheduler scheduler(2, 10);
  for (int i = 1; i <= 4; ++i) scheduler.Add(absl::StrCat(i), 0, i);
  EXPECT_EQ(scheduler.Next(), "1");
  EXPECT_EQ(scheduler.Next(), "2");
  EXPECT_EQ(scheduler.Next(), std::nullopt);
  EXPECT_EQ(scheduler.running(), 2);
  EXPECT_EQ(scheduler.queued(), 2);
  scheduler.Remove("1");
  EXPECT_EQ(scheduler.Next(), "3");
  EXPECT_EQ(scheduler.Next(), std::nullopt);
}

TEST(SchedulerTest, RemovesWhoWaitsAndForgetsWhoIsUnknown) {
  Scheduler scheduler(1, 10);
  scheduler.Add("a", 0, 1);
  scheduler.Add("b", 0, 2);
  scheduler.Remove("a");
  scheduler.Remove("a");
  scheduler.Remove("nobody");
  EXPECT_THAT(scheduler.Queue(), ElementsAre("b"));
  EXPECT_EQ(scheduler.Next(), "b");
  scheduler.Remove("b");
  EXPECT_EQ(scheduler.running(), 0);
  EXPECT_THAT(scheduler.Queue(), IsEmpty());
  EXPECT_EQ(scheduler.Next(), std::nullopt);
}

TEST(SchedulerTest, IsFullWhereNeitherASlotNorAPlaceIsFree) {
  Scheduler scheduler(1, 1);
  EXPECT_FALSE(scheduler.full());
  scheduler.Add("a", 0, 1);
  EXPECT_FALSE(scheduler.full());  // a slot is free
  ASSERT_EQ(scheduler.Next(), "a");
  EXPECT_FALSE(scheduler.full());
  scheduler.Add("b", 0, 2);
  EXPECT_TRUE(scheduler.full());
  scheduler.Remove("b");
  EXPECT_FALSE(scheduler.full());
}

TEST(SchedulerTest, CountsThePlacesThatAreFree) {
  Scheduler scheduler(2, 3);
  EXPECT_EQ(scheduler.free(), 5);
  for (int i = 1; i <= 4; ++i) scheduler.Add(absl::StrCat(i), 0, i);
  EXPECT_EQ(scheduler.free(), 1);
  ASSERT_EQ(scheduler.Next(), "1");
  ASSERT_EQ(scheduler.Next(), "2");
  EXPECT_EQ(scheduler.free(), 1);
  // More run than may, and fewer wait.
  scheduler.SetBounds(1, 4);
  EXPECT_EQ(scheduler.free(), 2);
  scheduler.SetBounds(1, 1);
  EXPECT_EQ(scheduler.free(), 0);
}

TEST(SchedulerTest, WithNoQueueASlotIsAllThereIs) {
  Scheduler scheduler(1, 0);
  EXPECT_FALSE(scheduler.full());
  scheduler.Add("a", 0, 1);
  ASSERT_EQ(scheduler.Next(), "a");
  EXPECT_TRUE(scheduler.full());
}

TEST(SchedulerTest, TakesMoreThanFitWhereTheyWereAdmittedBefore) {
  Scheduler scheduler(1, 2);
  for (int i = 1; i <= 6; ++i) scheduler.Add(absl::StrCat(i), 0, i);
  EXPECT_EQ(scheduler.queued(), 6);
  ASSERT_EQ(scheduler.Next(), "1");
  EXPECT_TRUE(scheduler.full());
  scheduler.Remove("1");
  EXPECT_THAT(TakeAll(scheduler), ElementsAre("2", "3", "4", "5", "6"));
}

}  // namespace
}  // namespace containerbuilder::service
