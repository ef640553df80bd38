// WatchBuild: replay from every event, then live, for any number of watchers,
// at any moment.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "integration/builds_fixture.h"
#include "support/calls.h"
#include "support/status_matchers.h"

namespace containerbuilder {
namespace {

using ::containerbuilder::test_support::Api;
using ::containerbuilder::test_support::Bytes;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::WatchCall;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class WatchTest : public BuildsTest {
 protected:
  // What is left of `all` behind an event.
  static std::vector<std::string> Behind(const std::vector<std::string>& all,
                                         std::size_t after_sequence) {
    return {all.begin() + static_cast<std::ptrdiff_t>(after_sequence),
            all.end()};
  }
};

TEST_F(WatchTest, ReplaysFromEveryEventWhatBuildStreamed) {
  Start();
  const auto build = api().Build(Request(
      "ctx",
      "stderr #1 [1/1] RUN make\\n#1 0.1 hello\\n\nstdout a\nbytes stderr "
      "300000 1\nstdout b\nstderr #1 DONE 0.1s\\n\nbytes stdout 1000 2\n"));
  const std::optional<v1::BuildEvent> first = build->Next();
  ASSERT_TRUE(first);
  std::vector<std::string> streamed = {Bytes(*first)};
  for (std::string& event : build->Rest()) streamed.push_back(std::move(event));
  EXPECT_THAT(build->End(), IsOk());
  ASSERT_GT(streamed.size(), 8U);
  for (std::size_t after = 0; after < streamed.size(); ++after) {
    const auto watch = api().Watch(first->name(), after);
    EXPECT_EQ(watch->Rest(), Behind(streamed, after)) << after;
    EXPECT_THAT(watch->End(), IsOk());
  }
  // The last one's end is repeated alone.
  EXPECT_THAT(api().Watch(first->name(), streamed.size())->Rest(),
              ElementsAre(streamed.back()));
  // And the same after a restart.
  Stop();
  Start();
  for (std::size_t after = 0; after < streamed.size(); ++after) {
    EXPECT_EQ(api().Watch(first->name(), after)->Rest(),
              Behind(streamed, after));
  }
}

TEST_F(WatchTest, JoinsLiveAtEveryEvent) {
  Start();
  const std::string name = Create(HeldRequest("g", "lines stderr 200\n"));
  AwaitReady("g");
  // Until there are both events.
  const auto first = api().Watch(name);
  ASSERT_TRUE(first->Next()->has_started());
  ASSERT_TRUE(first->Next()->has_output());
  std::vector<std::unique_ptr<WatchCall>> watches;
  for (int after = 0; after <= 2; ++after) {
    watches.push_back(api().Watch(name, after));
    // It has got what there is, and waits.
    for (int next = after + 1; next <= 2; ++next) {
      EXPECT_EQ(watches.back()->Next()->sequence(), next);
    }
  }
  Open("g");
  const std::vector<std::string> rest = first->Rest();
  EXPECT_FALSE(rest.empty());
  EXPECT_THAT(first->End(), IsOk());
  for (const auto& watch : watches) {
    EXPECT_EQ(watch->Rest(), rest);
    EXPECT_THAT(watch->End(), IsOk());
  }
}

TEST_F(WatchTest, ResumedAfterEveryEventItMissesAndRepeatsNothing) {
  Start();
  const auto build = api().Build(HeldRequest("g", "lines stdout 20000\n"));
  const std::string name = build->Next()->name();
  Open("g");
  // Cut after each event, and joined again.
  std::vector<std::string> events;
  bool finished = false;
  while (!finished) {
    const auto watch =
        api().Watch(name, static_cast<std::int64_t>(events.size()));
    for (int i = 0; i < 3; ++i) {
      const std::optional<v1::BuildEvent> event = watch->Next();
      if (!event) break;
      EXPECT_EQ(event->sequence(),
                static_cast<std::int64_t>(events.size()) + 1);
      finished = event->has_finished();
      events.push_back(Bytes(*event));
    }
  }
  const std::vector<std::string> streamed = build->Rest();
  EXPECT_EQ(Behind(events, 1), streamed);
}

TEST_F(WatchTest, BehindTheLastEvent) {
  Start();
  const std::string name = Create(HeldRequest("g"));
  AwaitReady("g");
  const auto all = api().Watch(name);
  ASSERT_TRUE(all->Next()->has_started());
  ASSERT_TRUE(all->Next()->has_output());
  const auto at_last = api().Watch(name, 2);
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  const auto expect_out_of_range = [&](std::int64_t after) {
    const absl::Status status = api().Watch(name, after)->End();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kOutOfRange)) << after;
    EXPECT_THAT(status, HasReason("SEQUENCE_OUT_OF_RANGE"));
  };
  for (const std::int64_t after :
       {std::int64_t{3}, kMax, std::int64_t{-1}, kMin}) {
    expect_out_of_range(after);
  }
  Open("g");
  EXPECT_THAT(at_last->Rest(), ElementsAre(Bytes(*all->Next())));
  EXPECT_FALSE(all->Next());
  // The end is the third.
  for (const std::int64_t after : {std::int64_t{4}, kMax, std::int64_t{-1}}) {
    expect_out_of_range(after);
  }
  const auto end = api().Watch(name, 3);
  EXPECT_TRUE(end->Next()->has_finished());
  EXPECT_THAT(end->Rest(), IsEmpty());
  EXPECT_THAT(end->End(), IsOk());
}

TEST_F(WatchTest, WithNoFollowItEndsWithWhatThereIs) {
  Start([](auto& options) { options.max_running_builds = 1; });
  const std::string name = Create(HeldRequest("g"));
  AwaitReady("g");
  const auto all = api().Watch(name);
  ASSERT_TRUE(all->Next()->has_started());
  ASSERT_TRUE(all->Next()->has_output());
  for (int after = 0; after <= 2; ++after) {
    const auto watch = api().Watch(name, after, /*no_follow=*/true);
    EXPECT_EQ(watch->Rest().size(), 2U - after);
    EXPECT_THAT(watch->End(), IsOk());
  }
  const std::string queued = Create(Request("ctx", ""));
  const auto watch = api().Watch(queued, 0, /*no_follow=*/true);
  EXPECT_LE(watch->Rest().size(), 1U);
  EXPECT_THAT(watch->End(), IsOk());
  Open("g");
  const std::vector<std::string> rest = all->Rest();
  EXPECT_EQ(api().Watch(name, 2, true)->Rest(), rest);
  EXPECT_EQ(api().Watch(name, 3, true)->Rest(), rest);
  EXPECT_THAT(api().Watch(name, 4, true)->End(),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(WatchTest, HeartbeatsAsAskedFor) {
  Start();
  const std::string name = Create(HeldRequest("g"));
  v1::WatchBuildRequest request;
  request.set_name(name);
  request.mutable_heartbeat_interval()->set_nanos(100'000'000);
  const auto watch = api().Watch(request);
  const auto calm = api().Watch(name);  // once in 15 s
  watch->TellHeartbeats();
  while (watch->heartbeats() < 3) {
    const std::optional<v1::BuildEvent> event = watch->Next();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->name(), name);
    EXPECT_TRUE(event->has_event_time());
    EXPECT_EQ(event->has_heartbeat(), event->sequence() == 0);
  }
  Open("g");
  EXPECT_FALSE(watch->Rest().empty());
  calm->Rest();
  EXPECT_EQ(calm->heartbeats(), 0);
}

TEST_F(WatchTest, RefusesAnIntervalThatIsNone) {
  Start();
  const std::string name = Create(Request("ctx", ""));
  Await(name);
  const auto watch = [&](std::int64_t seconds, std::int32_t nanos) {
    v1::WatchBuildRequest request;
    request.set_name(name);
    request.mutable_heartbeat_interval()->set_seconds(seconds);
    request.mutable_heartbeat_interval()->set_nanos(nanos);
    return api().Watch(request)->End();
  };
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  for (const auto& [seconds, nanos] :
       std::vector<std::pair<std::int64_t, std::int32_t>>{{-1, 0},
                                                          {0, -1},
                                                          {0, 99'999'999},
                                                          {604'800, 1},
                                                          {kMax, 0},
                                                          {-kMax, 0},
                                                          {kMax, 999'999'999},
                                                          {0, 1}}) {
    const absl::Status status = watch(seconds, nanos);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument))
        << seconds << " s " << nanos << " ns";
    EXPECT_THAT(status, HasReason("OPTION_INVALID"));
  }
  EXPECT_THAT(watch(604'800, 0), IsOk());
  EXPECT_THAT(watch(0, 0), IsOk());
}

TEST_F(WatchTest, NamesOfNoBuild) {
  Start();
  const auto all = [&](const std::string& name) {
    return std::vector<absl::Status>{
        api().Watch(name)->End(), api().Get(name).status(),
        api().Cancel(name).status(), api().Delete(name)};
  };
  for (const absl::Status& status : all("")) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  }
  for (const std::string& name :
       {std::string("x"), std::string("builds/"), std::string("builds/.."),
        std::string("builds/../x"), std::string("builds/%00"),
        std::string("builds/a\0b", 10), std::string("/"),
        std::string("builds/01aryz6s41tsv4rrffq69g5fav"),
        "builds/" + std::string(1 << 20, 'a')}) {
    for (const absl::Status& status : all(name)) {
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound));
      EXPECT_THAT(status, HasReason("BUILD_NOT_FOUND"));
    }
  }
}

TEST_F(WatchTest, AHundredWatchersGetTheSameBytes) {
  constexpr int kWatchers = 100;
  Start();
  const std::string name = Create(HeldRequest("g", "flood 500000 5\n"));
  AwaitReady("g");
  std::vector<std::vector<std::string>> events(kWatchers);
  std::vector<std::thread> threads;
  std::atomic<int> attached = 0;
  for (int i = 0; i < kWatchers; ++i) {
    threads.emplace_back([&, i] {
      const auto watch = api().Watch(name);
      events[i].push_back(Bytes(*watch->Next()));
      ++attached;
      for (std::string& event : watch->Rest()) {
        events[i].push_back(std::move(event));
      }
      EXPECT_THAT(watch->End(), IsOk());
    });
  }
  EXPECT_TRUE(test_support::Eventually([&] { return attached == kWatchers; }));
  Open("g");
  for (std::thread& thread : threads) thread.join();
  const auto expected = api().Watch(name)->Rest();
  std::size_t bytes = 0;
  for (const std::string& event : expected) bytes += event.size();
  EXPECT_GT(bytes, 1'000'000U);
  for (int i = 0; i < kWatchers; ++i) EXPECT_TRUE(events[i] == expected) << i;
}

// --- Races ------------------------------------------------------------------

// Attached at the instant of a build's end, be it its own, a cancel or a
// delete: `finished` comes exactly once, or there is no such build.
class WatchRaceTest : public WatchTest {
 protected:
  // One watch, from `after`; false where there is no such build.
  bool WatchOnce(const std::string& name) {
    const auto watch = api().Watch(name);
    std::int64_t last = 0;
    int finished = 0;
    while (const std::optional<v1::BuildEvent> event = watch->Next()) {
      EXPECT_EQ(event->sequence(), last + 1);
      last = event->sequence();
      if (event->has_finished()) {
        ++finished;
        EXPECT_EQ(event->finished().build().last_sequence(), last);
      } else {
        EXPECT_EQ(finished, 0);
      }
    }
    const absl::Status end = watch->End();
    if (absl::IsNotFound(end)) {
      EXPECT_THAT(end, HasReason("BUILD_NOT_FOUND"));
      EXPECT_EQ(last, 0);
      return false;
    }
    EXPECT_THAT(end, IsOk());
    EXPECT_EQ(finished, 1);
    return true;
  }
};

TEST_F(WatchRaceTest, AtItsEndItsCancelAndItsDelete) {
  constexpr int kBuilds = kSanitized ? 40 : 250;
  constexpr int kWatchers = 4;
  Start([](auto& options) { options.max_running_builds = 3; });
  std::atomic<int> build = 0;
  std::atomic<int> not_found = 0;
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 3; ++worker) {
    workers.emplace_back([&, worker] {
      const v1::BuildRequest quick =
          Request(absl::StrCat("quick", worker), "stdout x\n");
      const v1::BuildRequest slow =
          Request(absl::StrCat("slow", worker), "stdout x\nsleep 600\n");
      for (int i = build++; i < kBuilds; i = build++) {
        const bool cancelled = i % 2 == 0;
        const std::string name = Create(cancelled ? slow : quick);
        std::vector<std::thread> watchers;
        for (int w = 0; w < kWatchers; ++w) {
          watchers.emplace_back([&] { EXPECT_TRUE(WatchOnce(name)); });
        }
        if (cancelled) {
          EXPECT_THAT(api().Cancel(name), IsOk());
        }
        for (std::thread& watcher : watchers) watcher.join();
        watchers.clear();
        for (int w = 0; w < kWatchers; ++w) {
          watchers.emplace_back([&] {
            if (!WatchOnce(name)) ++not_found;
          });
        }
        // Its end is known, so it can be deleted.
        EXPECT_THAT(api().Delete(name), IsOk());
        for (std::thread& watcher : watchers) watcher.join();
        EXPECT_FALSE(WatchOnce(name));
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(api().List()->builds_size(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.Path("state/builds")));
  EXPECT_TRUE(std::filesystem::is_empty(folder_.Path("state/trash")));
}

// What is told of a build never goes back, and is there as soon as its event.
TEST_F(WatchTest, GetBuildAgreesWithTheEvents) {
  Start();
  for (int i = 0; i < 30; ++i) {
    const std::string name = Create(Request("ctx", "stdout x\n"));
    const auto watch = api().Watch(name);
    while (const std::optional<v1::BuildEvent> event = watch->Next()) {
      const v1::Build build = Get(name);
      EXPECT_GE(build.last_sequence(), event->sequence());
      if (event->has_started()) {
        EXPECT_TRUE(build.has_start_time());
      }
      if (event->has_finished()) {
        EXPECT_EQ(Bytes(build), Bytes(event->finished().build()));
      }
    }
  }
}

}  // namespace
}  // namespace containerbuilder
