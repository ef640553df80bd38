// How builds get in and whom they wait for: order, limits, times, disconnects,
// and the same request sent twice.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "gmock/gmock.h"
#include "integration/builds_fixture.h"
#include "support/calls.h"
#include "support/status_matchers.h"

namespace containerbuilder {
namespace {

using ::containerbuilder::test_support::BuildCall;
using ::containerbuilder::test_support::Bytes;
using ::containerbuilder::test_support::DetailOf;
using ::containerbuilder::test_support::Eventually;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::WatchCall;

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

class AdmissionTest : public BuildsTest {
 protected:
  void StartWithOneSlot() {
    Start([](auto& options) { options.max_running_builds = 1; });
  }
  // Takes the one slot until Open("slot").
  std::string TakeSlot() {
    std::string name = Create(HeldRequest("slot"));
    AwaitReady("slot");
    return name;
  }
};

// --- The queue --------------------------------------------------------------

TEST_F(AdmissionTest, TwoHundredAtOnceStartByPriorityThenArrival) {
  constexpr int kBuilds = 200;
  StartWithOneSlot();
  const std::string first = TakeSlot();
  const v1::BuildRequest quick = Request("ctx", "");
  std::vector<std::string> names(kBuilds);
  std::vector<std::thread> threads;
  std::atomic<int> next = 0;
  for (int t = 0; t < 20; ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < kBuilds; i = next++) {
        v1::BuildRequest request = quick;
        request.mutable_policy()->set_priority(i % 5 - 2);
        names[i] = Create(request);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  // Ids sort by creation, but only the list knows who of one millisecond came
  // first.
  v1::ListBuildsRequest list_request;
  list_request.set_page_size(1000);
  const auto list = api().List(list_request);
  ASSERT_THAT(list, IsOk());
  std::vector<v1::Build> builds(list->builds().rbegin(), list->builds().rend());
  ASSERT_EQ(builds.size(), kBuilds + 1U);
  builds.erase(builds.begin());
  std::stable_sort(builds.begin(), builds.end(),
                   [](const v1::Build& a, const v1::Build& b) {
                     return a.policy().priority() > b.policy().priority();
                   });
  // Whoever is next knows it, and whoever is last; until then urgent ones have
  // moved the others back.
  const auto position = [&](const std::string& name) {
    int last = 0;
    const auto watch = api().Watch(name, 0, /*no_follow=*/true);
    while (const auto event = watch->Next()) {
      if (event->has_queued()) last = event->queued().position();
    }
    return last;
  };
  EXPECT_TRUE(Eventually([&] { return position(builds[0].name()) == 1; }));
  EXPECT_TRUE(
      Eventually([&] { return position(builds.back().name()) == kBuilds; }));

  const absl::Time opened = absl::Now();
  Open("slot");
  std::vector<absl::Time> starts;
  for (const v1::Build& build : builds) {
    const v1::Build ended = Await(build.name());
    EXPECT_EQ(ended.state(), v1::Build::STATE_SUCCEEDED);
    starts.push_back(ToTime(ended.start_time()));
    // From then on no position goes up.
    int before = kBuilds + 1;
    const auto watch = api().Watch(build.name());
    while (const auto event = watch->Next()) {
      if (!event->has_queued() || ToTime(event->event_time()) < opened) {
        continue;
      }
      EXPECT_GE(event->queued().position(), 1);
      EXPECT_LT(event->queued().position(), before);
      before = event->queued().position();
    }
  }
  EXPECT_TRUE(std::is_sorted(starts.begin(), starts.end()));
}

TEST_F(AdmissionTest, PositionsGoDownAsOthersStart) {
  StartWithOneSlot();
  std::vector<std::string> names;
  std::vector<std::unique_ptr<WatchCall>> watches;
  for (int i = 0; i < 4; ++i) {
    names.push_back(Create(HeldRequest(absl::StrCat("g", i))));
    watches.push_back(api().Watch(names.back()));
  }
  AwaitReady("g0");
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(watches[i]->Next()->queued().position(), i);
  }
  for (int started = 1; started < 4; ++started) {
    Open(absl::StrCat("g", started - 1));
    EXPECT_TRUE(watches[started]->Next()->has_started());
    for (int i = started + 1; i < 4; ++i) {
      EXPECT_EQ(watches[i]->Next()->queued().position(), i - started);
    }
  }
  Open("g3");
  for (const std::string& name : names) {
    EXPECT_EQ(Await(name).state(), v1::Build::STATE_SUCCEEDED);
  }
}

TEST_F(AdmissionTest, ABuildThatWaitsIsToldItsPosition) {
  StartWithOneSlot();
  TakeSlot();
  const auto second = api().Build(Request("ctx", ""));
  EXPECT_EQ(second->Next()->queued().position(), 1);
  const auto third = api().Build(Request("ctx", ""));
  EXPECT_EQ(third->Next()->queued().position(), 2);
  // What goes first moves the others.
  v1::BuildRequest urgent = Request("ctx", "");
  urgent.mutable_policy()->set_priority(1);
  const auto first = api().Build(urgent);
  EXPECT_EQ(first->Next()->queued().position(), 1);
  EXPECT_EQ(second->Next()->queued().position(), 2);
  EXPECT_EQ(third->Next()->queued().position(), 3);
  Open("slot");
  for (const auto& call : {first.get(), second.get(), third.get()}) {
    EXPECT_FALSE(call->Rest().empty());
    EXPECT_THAT(call->End(), IsOk());
  }
}

TEST_F(AdmissionTest, RunsAsManyAsAllowedAtOnce) {
  Start([](auto& options) { options.max_running_builds = 3; });
  // Made once: the script must not be written while a build reads it.
  const v1::BuildRequest request =
      Request("ctx", absl::StrCat("wait-file ", Gate("g"), "\n"));
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) names.push_back(Create(request));
  for (int i = 0; i < 3; ++i) AwaitState(names[i], v1::Build::STATE_RUNNING);
  EXPECT_EQ(Get(names[3]).state(), v1::Build::STATE_QUEUED);
  Open("g");
  for (const std::string& name : names) {
    EXPECT_EQ(Await(name).state(), v1::Build::STATE_SUCCEEDED);
  }
}

TEST_F(AdmissionTest, AFullQueueIsToldWithWhenToRetry) {
  Start([](auto& options) {
    options.max_running_builds = 1;
    options.max_queued_builds = 2;
  });
  const std::string running = TakeSlot();
  v1::BuildRequest request = Request("ctx", "");
  request.set_request_id("id");
  const std::string queued = Create(request);
  Create(Request("ctx", ""));
  const auto expect_full = [](const absl::Status& status) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_THAT(status, HasReason("QUEUE_FULL"));
    const auto retry = DetailOf<errors::v1::RetryInfo>(status);
    ASSERT_TRUE(retry);
    EXPECT_GT(retry->retry_delay().seconds(), 0);
    const auto quota = DetailOf<errors::v1::QuotaFailure>(status);
    ASSERT_TRUE(quota);
    ASSERT_EQ(quota->violations_size(), 1);
    EXPECT_FALSE(quota->violations(0).subject().empty());
    EXPECT_FALSE(quota->violations(0).description().empty());
  };
  expect_full(api().Create(Request("ctx", "")).status());
  expect_full(api().Build(Request("ctx", ""))->End());
  // To join one that waits already takes no place.
  EXPECT_EQ(Create(request), queued);
  // A place that gets free is given again.
  EXPECT_THAT(api().Cancel(queued), IsOk());
  Create(Request("ctx", ""));
  expect_full(api().Create(Request("ctx", "")).status());
  Open("slot");
  Await(running);
}

// What a build keeps of its request is its caller's as long as it waits.
TEST_F(AdmissionTest, LargeBuildsThatWaitAreAShareOfMemory) {
  StartWithOneSlot();
  TakeSlot();
  v1::BuildRequest large = Request("ctx", "");
  large.mutable_spec()->set_dockerfile("FROM scratch\n#" +
                                       std::string(1'000'000, '-'));
  for (int i = 0; i < 15; ++i) {
    large.mutable_spec()
        ->mutable_options()
        ->mutable_label()
        ->mutable_values()
        ->add_values(absl::StrCat("label", i, "=", std::string(100'000, 'x')));
  }
  v1::BuildRequest first = large;
  first.set_request_id("id");
  const auto waiting = anonymous().Create(first);
  ASSERT_THAT(waiting, IsOk());
  int made = 1;
  absl::Status refused;
  while (refused.ok() && made < 100) {
    refused = anonymous().Create(large).status();
    if (refused.ok()) ++made;
  }
  EXPECT_THAT(refused, HasReason("RATE_LIMITED"));
  EXPECT_GT(made, 5);
  EXPECT_LT(made, 40);
  // By either call, and nothing was made of them.
  EXPECT_THAT(anonymous().Build(large)->End(), HasReason("RATE_LIMITED"));
  const std::filesystem::directory_iterator builds(
      folder_.Path("state/builds"));
  EXPECT_EQ(std::distance(builds, {}), made + 1);
  // Small ones, and what is there, are no matter of it.
  EXPECT_THAT(anonymous().Create(Request("small", "")), IsOk());
  const auto joined = anonymous().Create(first);
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(joined->name(), waiting->name());
  EXPECT_THAT(anonymous().Cancel(waiting->name()), IsOk());
  EXPECT_TRUE(Eventually([&] { return anonymous().Create(large).ok(); }));
  EXPECT_THAT(anonymous().Create(large), HasReason("RATE_LIMITED"));
}

TEST_F(AdmissionTest, QueueTtlExpiresABuildThatWaits) {
  StartWithOneSlot();
  TakeSlot();
  v1::BuildRequest request =
      Request("ctx", absl::StrCat("touch ", Ready("e"), "\n"));
  request.mutable_policy()->mutable_queue_ttl()->set_nanos(50'000'000);
  const auto call = api().Build(request);
  std::optional<v1::BuildEvent> last;
  while (auto event = call->Next()) last = std::move(event);
  EXPECT_THAT(call->End(), IsOk());
  ASSERT_TRUE(last && last->has_finished());
  const v1::Build& build = last->finished().build();
  EXPECT_EQ(build.state(), v1::Build::STATE_EXPIRED);
  EXPECT_EQ(build.failure().reason(), "EXPIRED");
  EXPECT_TRUE(build.failure().retryable());
  EXPECT_FALSE(build.has_start_time());
  Open("slot");
  Await(Create(Request("next", "")));
  EXPECT_FALSE(std::filesystem::exists(Ready("e")));
}

TEST_F(AdmissionTest, TimeoutEndsABuildThatRuns) {
  Start();
  v1::BuildRequest request = Request("ctx", "stdout x\nsleep 600\n");
  request.mutable_policy()->mutable_timeout()->set_nanos(200'000'000);
  const v1::Build build = Await(Create(request));
  EXPECT_EQ(build.state(), v1::Build::STATE_TIMED_OUT);
  EXPECT_EQ(build.failure().reason(), "TIMED_OUT");
  // 1 ns is a time, too.
  request.mutable_policy()->mutable_timeout()->set_nanos(1);
  EXPECT_EQ(Await(Create(request)).state(), v1::Build::STATE_TIMED_OUT);
}

TEST_F(AdmissionTest, RefusesTimesThatAreNone) {
  Start();
  for (const auto field :
       {&v1::BuildPolicy::mutable_timeout, &v1::BuildPolicy::mutable_queue_ttl,
        &v1::BuildPolicy::mutable_grace_period,
        &v1::BuildPolicy::mutable_linger}) {
    for (const auto& [seconds, nanos] :
         std::vector<std::pair<std::int64_t, std::int32_t>>{
             {-1, 0}, {0, -1}, {604'800, 1}, {1'000'000'000, 0}}) {
      v1::BuildRequest request = Request("ctx", "");
      (request.mutable_policy()->*field)()->set_seconds(seconds);
      (request.mutable_policy()->*field)()->set_nanos(nanos);
      EXPECT_THAT(api().Create(request), HasReason("OPTION_INVALID"));
    }
  }
  EXPECT_EQ(api().List()->builds_size(), 0);
}

TEST_F(AdmissionTest, OnlyAdminsGoBeforeOthers) {
  Start();
  v1::BuildRequest request = Request("ctx", "");
  request.mutable_policy()->set_priority(1);
  EXPECT_THAT(api().Create(request), IsOk());
  const absl::Status refused = anonymous().Create(request).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(refused, HasReason("OPTION_NOT_ALLOWED"));
  for (const int priority : {0, -1}) {
    request.mutable_policy()->set_priority(priority);
    EXPECT_THAT(anonymous().Create(request), IsOk());
  }
}

// --- Disconnects ------------------------------------------------------------

class DisconnectTest : public AdmissionTest {
 protected:
  v1::BuildRequest HeldWith(v1::DisconnectPolicy policy,
                            absl::Duration linger = absl::ZeroDuration()) {
    v1::BuildRequest request = HeldRequest("g");
    request.set_request_id("id");
    request.mutable_policy()->set_disconnect_policy(policy);
    request.mutable_policy()->mutable_linger()->set_nanos(
        static_cast<std::int32_t>(absl::ToInt64Nanoseconds(linger)));
    return request;
  }

  void ExpectGone(const std::string& name) {
    const v1::Build build = Await(name);
    EXPECT_EQ(build.state(), v1::Build::STATE_CANCELLED);
    EXPECT_EQ(build.failure().reason(), "CLIENT_GONE");
  }
};

TEST_F(DisconnectTest, CancelEndsItWithItsLastBuildCall) {
  Start();
  const v1::BuildRequest request = HeldWith(v1::DISCONNECT_POLICY_UNSPECIFIED);
  auto first = api().Build(request);
  const std::string name = first->Next()->name();
  AwaitReady("g");
  EXPECT_EQ(Get(name).policy().disconnect_policy(),
            v1::DISCONNECT_POLICY_CANCEL);
  auto second = api().Build(request);
  EXPECT_EQ(second->Next()->name(), name);
  const auto watch = api().Watch(name);
  ASSERT_TRUE(watch->Next());
  first.reset();
  // It goes on: a call that came after the first's end is answered, and the
  // build's state is what it was.
  Await(Create(Request("other", "")));
  EXPECT_EQ(Get(name).state(), v1::Build::STATE_RUNNING);
  // The watch does not keep it.
  second.reset();
  ExpectGone(name);
  const std::vector<std::string> rest = watch->Rest();
  ASSERT_FALSE(rest.empty());
  EXPECT_THAT(watch->End(), IsOk());
}

TEST_F(DisconnectTest, AWatchsGoingEndsNoBuild) {
  Start();
  const auto call = api().Build(HeldWith(v1::DISCONNECT_POLICY_CANCEL));
  const std::string name = call->Next()->name();
  for (int i = 0; i < 5; ++i) {
    const auto watch = api().Watch(name);
    ASSERT_TRUE(watch->Next());
  }
  Open("g");
  call->Rest();
  EXPECT_EQ(Get(name).state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(DisconnectTest, CancelEndsABuildThatWaits) {
  StartWithOneSlot();
  const std::string held = TakeSlot();
  std::string name;
  {
    const auto call = api().Build(Request("ctx", ""));
    name = call->Next()->name();
  }
  ExpectGone(name);
  EXPECT_FALSE(Get(name).has_start_time());
  Open("slot");
  Await(held);
}

TEST_F(DisconnectTest, TheCallsDeadlineIsADisconnect) {
  Start();
  const auto call =
      api().Build(HeldWith(v1::DISCONNECT_POLICY_CANCEL), absl::Seconds(10));
  const auto started = call->Next();
  ASSERT_TRUE(started);
  const std::string name = started->name();
  EXPECT_THAT(call->End(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  ExpectGone(name);
}

TEST_F(DisconnectTest, DetachLeavesItToItself) {
  Start();
  std::string name;
  {
    const auto call = api().Build(HeldWith(v1::DISCONNECT_POLICY_DETACH));
    name = call->Next()->name();
  }
  Await(Create(Request("other", "")));
  EXPECT_EQ(Get(name).state(), v1::Build::STATE_RUNNING);
  Open("g");
  EXPECT_EQ(Await(name).state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(DisconnectTest, LingerCountsFromTheLastLeave) {
  constexpr absl::Duration kLinger = absl::Milliseconds(500);
  Start();
  auto call = api().Build(HeldWith(v1::DISCONNECT_POLICY_LINGER, kLinger));
  const std::string name = call->Next()->name();
  AwaitReady("g");
  // A watch keeps it beyond the time, and counts only until it leaves.
  auto watch = api().Watch(name);
  ASSERT_TRUE(watch->Next());
  call.reset();
  absl::SleepFor(kLinger * 2);  // the time is what is tested
  const v1::Build kept = Get(name);
  EXPECT_EQ(kept.state(), v1::Build::STATE_RUNNING);
  const absl::Time left = absl::Now();
  watch.reset();
  EXPECT_TRUE(Eventually(
      [&] { return Get(name).state() == v1::Build::STATE_CANCELLED; }));
  EXPECT_GE(absl::Now() - left, kLinger);
  EXPECT_EQ(Get(name).failure().reason(), "CLIENT_GONE");
}

TEST_F(DisconnectTest, LingerOfACreatedBuildCountsFromItsCreation) {
  constexpr absl::Duration kLinger = absl::Seconds(3);
  StartWithOneSlot();
  TakeSlot();
  const absl::Time begin = absl::Now();
  // It waits, and nobody is attached.
  v1::BuildRequest request = Request("ctx", "");
  request.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_LINGER);
  request.mutable_policy()->mutable_linger()->set_seconds(3);
  const std::string name = Create(request);
  EXPECT_TRUE(Eventually(
      [&] { return Get(name).state() == v1::Build::STATE_CANCELLED; }));
  EXPECT_GE(absl::Now() - begin, kLinger);
  EXPECT_EQ(Get(name).failure().reason(), "CLIENT_GONE");
  // Watched, one is kept.
  const std::string watched = Create(request);
  const auto watch = api().Watch(watched);
  absl::SleepFor(kLinger * 2);  // the time is what is tested
  EXPECT_EQ(Get(watched).state(), v1::Build::STATE_QUEUED);
  Open("slot");
  EXPECT_FALSE(watch->Rest().empty());
  EXPECT_EQ(Get(watched).state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(DisconnectTest, LingerCountsFromARestart) {
  StartWithOneSlot();
  TakeSlot();
  v1::BuildRequest request = Request("ctx", "");
  request.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_LINGER);
  request.mutable_policy()->mutable_linger()->set_seconds(60);
  const std::string name = Create(request);
  Stop();
  Start();
  EXPECT_EQ(Await(name).state(), v1::Build::STATE_SUCCEEDED);
}

// --- The same request twice -------------------------------------------------

class IdempotencyTest : public AdmissionTest {
 protected:
  v1::BuildRequest WithId(v1::BuildRequest request) {
    request.set_request_id("018f7c3e-0000-7000-8000-000000000001");
    (*request.mutable_annotations())["a"] = "1";
    (*request.mutable_annotations())["b"] = "2";
    request.mutable_policy()->set_disconnect_policy(
        v1::DISCONNECT_POLICY_DETACH);
    return request;
  }
  // Each changed in one thing that counts.
  std::vector<v1::BuildRequest> Others(const v1::BuildRequest& request) {
    std::vector<v1::BuildRequest> others(5, request);
    others[0].mutable_spec()->mutable_options()->set_context_path(
        folder_.path());
    (*others[1].mutable_annotations())["a"] = "2";
    others[2].mutable_policy()->mutable_timeout()->set_seconds(5);
    others[3].mutable_policy()->set_priority(-1);
    others[4].mutable_spec()->mutable_options()->mutable_label()->set_text("x");
    return others;
  }
};

TEST_F(IdempotencyTest, JoinsTheSameBuildAsLongAsItIsKept) {
  Start();
  const v1::BuildRequest request = WithId(HeldRequest("g"));
  const std::string name = Create(request);
  AwaitReady("g");
  EXPECT_EQ(Create(request), name);
  const auto joined = api().Build(request);
  // From the first event.
  const std::optional<v1::BuildEvent> first = joined->Next();
  EXPECT_EQ(first->sequence(), 1);
  EXPECT_EQ(first->name(), name);
  const auto expect_reused = [&] {
    for (const v1::BuildRequest& other : Others(request)) {
      const absl::Status created = api().Create(other).status();
      EXPECT_THAT(created, StatusIs(absl::StatusCode::kAlreadyExists));
      EXPECT_THAT(created, HasReason("REQUEST_ID_REUSED"));
      EXPECT_THAT(api().Build(other)->End(), HasReason("REQUEST_ID_REUSED"));
    }
  };
  expect_reused();
  Open("g");
  std::vector<std::string> events = {Bytes(*first)};
  for (std::string& event : joined->Rest()) events.push_back(std::move(event));

  // Ended, it is told again from the first event; its context may be gone.
  std::filesystem::remove_all(folder_.Path("held-g"));
  EXPECT_EQ(api().Build(request)->Rest(), events);
  EXPECT_EQ(Bytes(*api().Create(request)), Bytes(Get(name)));
  expect_reused();

  Stop();
  Start();
  EXPECT_EQ(api().Build(request)->Rest(), events);
  EXPECT_EQ(Create(request), name);
  expect_reused();

  // Forgotten, the id is free.
  EXPECT_THAT(api().Delete(name), IsOk());
  std::filesystem::create_directory(folder_.Path("held-g"));
  const std::string again = Create(request);
  EXPECT_NE(again, name);
  Await(again);
}

TEST_F(IdempotencyTest, TenAtOnceAreOneBuild) {
  Start();
  for (int round = 0; round < (kSanitized ? 3 : 15); ++round) {
    v1::BuildRequest request = WithId(Request(
        "ctx", absl::StrCat("touch ", folder_.Path("ran-"), round, "\n")));
    request.set_request_id(absl::StrCat("round-", round));
    absl::Mutex mutex;
    std::set<std::string> names;
    std::vector<std::thread> threads;
    for (int i = 0; i < 10; ++i) {
      threads.emplace_back([&, i] {
        std::string name;
        if (i % 2 == 0) {
          name = Create(request);
        } else {
          const auto call = api().Build(request);
          int finished = 0;
          while (const auto event = call->Next()) {
            name = event->name();
            finished += event->has_finished() ? 1 : 0;
          }
          EXPECT_THAT(call->End(), IsOk());
          EXPECT_EQ(finished, 1);
        }
        absl::MutexLock lock(&mutex);
        names.insert(name);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(names.size(), 1U);
    EXPECT_EQ(api().List()->builds_size(), round + 1);
  }
}

TEST_F(IdempotencyTest, AnIdIsItsCallersOwn) {
  Start();
  const v1::BuildRequest request = WithId(Request("ctx", ""));
  const std::string mine = Create(request);
  const absl::StatusOr<v1::Build> theirs = anonymous().Create(request);
  ASSERT_THAT(theirs, IsOk());
  EXPECT_NE(theirs->name(), mine);
  EXPECT_EQ(anonymous().Create(request)->name(), theirs->name());
}

TEST_F(IdempotencyTest, WithoutAnIdEachIsABuildOfItsOwn) {
  Start();
  const v1::BuildRequest request = Request("ctx", "");
  EXPECT_NE(Create(request), Create(request));
}

}  // namespace
}  // namespace containerbuilder
