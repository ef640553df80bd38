// Builds as resources: created, got, listed, cancelled and deleted, and each
// caller's own.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "integration/builds_fixture.h"
#include "support/calls.h"
#include "support/status_matchers.h"

namespace containerbuilder {
namespace {

using ::containerbuilder::test_support::Bytes;
using ::containerbuilder::test_support::DetailOf;
using ::containerbuilder::test_support::Eventually;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsGone;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::ReadPids;
using ::containerbuilder::test_support::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ResourceTest : public BuildsTest {
 protected:
  static std::vector<std::string> Names(const v1::ListBuildsResponse& list) {
    std::vector<std::string> names;
    for (const v1::Build& build : list.builds()) names.push_back(build.name());
    return names;
  }

  // Of all pages.
  std::vector<std::string> ListAll(v1::ListBuildsRequest request) {
    std::vector<std::string> names;
    do {
      const auto page = api().List(request);
      EXPECT_THAT(page, IsOk());
      if (!page.ok()) return names;
      if (request.page_size() > 0) {
        EXPECT_LE(page->builds_size(), request.page_size());
      }
      for (std::string& name : Names(*page)) names.push_back(std::move(name));
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    return names;
  }
};

TEST_F(ResourceTest, CreateAnswersAtOnceAndGetTellsTheRest) {
  Start();
  v1::BuildRequest request = HeldRequest("g");
  (*request.mutable_annotations())["team"] = "a";
  request.mutable_policy()->mutable_timeout()->set_seconds(600);
  const absl::StatusOr<v1::Build> created = api().Create(request);
  ASSERT_THAT(created, IsOk());
  EXPECT_THAT(created->name(), testing::MatchesRegex("builds/[0-9a-z]+"));
  EXPECT_TRUE(created->has_create_time());
  EXPECT_EQ(created->requester(), "local");
  EXPECT_EQ(created->annotations().at("team"), "a");
  EXPECT_EQ(created->policy().timeout().seconds(), 600);
  EXPECT_EQ(created->policy().disconnect_policy(),
            v1::DISCONNECT_POLICY_DETACH);
  EXPECT_EQ(Bytes(created->spec()), Bytes(request.spec()));
  AwaitReady("g");
  AwaitState(created->name(), v1::Build::STATE_RUNNING);
  const v1::Build running = Get(created->name());
  EXPECT_TRUE(running.has_start_time());
  EXPECT_FALSE(running.has_finish_time());
  Open("g");
  const v1::Build ended = Await(created->name());
  EXPECT_EQ(ended.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(Bytes(Get(created->name())), Bytes(ended));
}

TEST_F(ResourceTest, CreateRefusesWhatBuildRefuses) {
  Start();
  v1::BuildRequest request = Request("ctx", "");
  request.mutable_spec()->mutable_options()->set_context_path("/no/such");
  EXPECT_THAT(api().Create(request), HasReason("CONTEXT_NOT_FOUND"));
  request = Request("ctx", "");
  request.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_CANCEL);
  const absl::Status refused = api().Create(request).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(refused, HasReason("OPTION_INVALID"));
  request = Request("ctx", "");
  request.set_request_id("with space");
  EXPECT_THAT(api().Create(request), HasReason("OPTION_INVALID"));
  request.set_request_id(std::string(129, 'a'));
  EXPECT_THAT(api().Create(request), HasReason("OPTION_INVALID"));
  EXPECT_EQ(api().List()->builds_size(), 0);
}

TEST_F(ResourceTest, ListsNewestFirstInPagesThatInsertsDoNotMove) {
  Start();
  std::vector<std::string> names;
  const v1::BuildRequest quick = Request("ctx", "");
  for (int i = 0; i < 8; ++i) names.insert(names.begin(), Create(quick));
  EXPECT_EQ(Names(*api().List()), names);
  v1::ListBuildsRequest request;
  request.set_page_size(3);
  std::vector<std::string> paged;
  for (int page = 0; page < 3; ++page) {
    const auto answer = api().List(request);
    ASSERT_THAT(answer, IsOk());
    for (const std::string& name : Names(*answer)) paged.push_back(name);
    request.set_page_token(answer->next_page_token());
    EXPECT_EQ(request.page_token().empty(), page == 2);
    // In between some come, and one goes.
    Create(quick);
    if (page == 0) {
      Await(names[4]);
      EXPECT_THAT(api().Delete(names[4]), IsOk());
    }
  }
  names.erase(names.begin() + 4);
  EXPECT_EQ(paged, names);
}

TEST_F(ResourceTest, ListsByStateAnnotationAndTime) {
  Start([](auto& options) { options.max_running_builds = 1; });
  const auto create = [&](v1::BuildRequest request, const std::string& team,
                          const std::string& tier) {
    (*request.mutable_annotations())["team"] = team;
    (*request.mutable_annotations())["tier"] = tier;
    return Create(request);
  };
  const std::string good = create(Request("good", ""), "a", "1");
  Await(good);
  const std::string bad = create(Request("bad", "exit 1\n"), "a", "2");
  Await(bad);
  const std::string held = create(HeldRequest("g"), "b", "1");
  AwaitState(held, v1::Build::STATE_RUNNING);
  const std::string queued = create(Request("queued", ""), "b", "2");

  const auto by_states = [&](const std::vector<v1::Build::State>& states) {
    v1::ListBuildsRequest request;
    for (const v1::Build::State state : states) request.add_states(state);
    return ListAll(request);
  };
  // A record may come a little after the event that tells of it.
  EXPECT_TRUE(Eventually([&] {
    return by_states({v1::Build::STATE_FAILED}).size() == 1 &&
           by_states({v1::Build::STATE_SUCCEEDED}).size() == 1 &&
           by_states({v1::Build::STATE_RUNNING}).size() == 1;
  }));
  EXPECT_THAT(by_states({v1::Build::STATE_FAILED}), ElementsAre(bad));
  EXPECT_THAT(by_states({v1::Build::STATE_QUEUED, v1::Build::STATE_RUNNING}),
              ElementsAre(queued, held));
  EXPECT_THAT(by_states({v1::Build::STATE_TIMED_OUT}), IsEmpty());

  v1::ListBuildsRequest request;
  (*request.mutable_annotations())["team"] = "a";
  EXPECT_THAT(ListAll(request), ElementsAre(bad, good));
  (*request.mutable_annotations())["tier"] = "2";
  EXPECT_THAT(ListAll(request), ElementsAre(bad));
  (*request.mutable_annotations())["tier"] = "";
  EXPECT_THAT(ListAll(request), IsEmpty());

  request = {};
  *request.mutable_create_time_from() = Get(bad).create_time();
  *request.mutable_create_time_before() = Get(queued).create_time();
  EXPECT_THAT(ListAll(request), ElementsAre(held, bad));
  request.set_page_size(1);
  EXPECT_THAT(ListAll(request), ElementsAre(held, bad));
  Open("g");
  Await(queued);
}

TEST_F(ResourceTest, ListRefusesWhatIsNoRequest) {
  Start();
  for (int i = 0; i < 3; ++i) Create(Request("ctx", ""));
  const auto expect_refused = [&](const v1::ListBuildsRequest& request) {
    const absl::Status status = api().List(request).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument))
        << request.ShortDebugString();
    EXPECT_THAT(status, HasReason("OPTION_INVALID"));
  };
  v1::ListBuildsRequest request;
  request.set_page_size(-1);
  expect_refused(request);
  request = {};
  request.add_states(v1::Build::STATE_UNSPECIFIED);
  expect_refused(request);
  request = {};
  for (int i = 0; i < 101; ++i) {
    (*request.mutable_annotations())[absl::StrCat(i)] = "x";
  }
  expect_refused(request);
  request = {};
  request.add_states(static_cast<v1::Build::State>(99));
  expect_refused(request);
  request = {};
  request.mutable_create_time_from()->set_nanos(-1);
  expect_refused(request);
  request = {};
  request.mutable_create_time_before()->set_seconds(std::int64_t{1} << 62);
  expect_refused(request);

  request = {};
  request.set_page_size(1);
  const std::string token = api().List(request)->next_page_token();
  ASSERT_FALSE(token.empty());
  std::vector<std::string> forged = {"x", "1", token + "A",
                                     token.substr(0, token.size() - 1),
                                     std::string(100'000, 'A')};
  for (std::size_t i = 0; i < token.size(); ++i) {
    forged.push_back(token);
    forged.back()[i] = token[i] == 'A' ? 'B' : 'A';
  }
  for (const std::string& text : forged) {
    request.set_page_token(text);
    expect_refused(request);
  }
  // Of other filters.
  request.set_page_token(token);
  (*request.mutable_annotations())["a"] = "b";
  expect_refused(request);
  // Another page size is no other filter.
  request = {};
  request.set_page_token(token);
  request.set_page_size(1'000'000);
  EXPECT_EQ(api().List(request)->builds_size(), 2);
}

// --- Cancel -----------------------------------------------------------------

TEST_F(ResourceTest, CancelAnswersWhenNothingRunsAnyMore) {
  Start();
  const std::string pids = folder_.Path("pids");
  const std::string name =
      Create(Request("ctx", absl::StrCat("pid ", pids,
                                         "\nfork-hold 600\nsetsid-hold 600\n"
                                         "touch ",
                                         Ready("x"), "\nsleep 600\n")));
  AwaitReady("x");
  const absl::StatusOr<v1::Build> cancelled = api().Cancel(name);
  ASSERT_THAT(cancelled, IsOk());
  EXPECT_EQ(cancelled->state(), v1::Build::STATE_CANCELLED);
  EXPECT_EQ(cancelled->failure().reason(), "CANCELLED_BY_CALLER");
  EXPECT_TRUE(cancelled->has_finish_time());
  for (const pid_t pid : ReadPids(pids)) {
    // What others must reap is no more than a zombie.
    EXPECT_TRUE(Eventually([pid] { return IsGone(pid); }));
  }
  EXPECT_EQ(Bytes(*cancelled), Bytes(Get(name)));
  EXPECT_EQ(Bytes(*api().Cancel(name)), Bytes(*cancelled));
}

TEST_F(ResourceTest, CancelOfAnEndedBuildAnswersItAsItIs) {
  Start();
  const v1::Build ended = Await(Create(Request("ctx", "exit 3\n")));
  const absl::StatusOr<v1::Build> cancelled = api().Cancel(ended.name());
  ASSERT_THAT(cancelled, IsOk());
  EXPECT_EQ(Bytes(*cancelled), Bytes(ended));
}

TEST_F(ResourceTest, ACancelledQueuedBuildNeverStarts) {
  Start([](auto& options) { options.max_running_builds = 1; });
  const std::string held = Create(HeldRequest("g"));
  const std::string queued =
      Create(Request("ctx", absl::StrCat("touch ", Ready("q"), "\n")));
  const absl::StatusOr<v1::Build> cancelled = api().Cancel(queued);
  ASSERT_THAT(cancelled, IsOk());
  EXPECT_EQ(cancelled->state(), v1::Build::STATE_CANCELLED);
  EXPECT_FALSE(cancelled->has_start_time());
  Open("g");
  Await(held);
  Await(Create(Request("next", "")));
  EXPECT_FALSE(std::filesystem::exists(Ready("q")));
}

TEST_F(ResourceTest, AHundredCancelsAtOnceAnswerTheSame) {
  Start();
  const std::string name = Create(HeldRequest("never"));
  AwaitReady("never");
  std::vector<std::thread> threads;
  std::vector<std::string> answers(100);
  for (std::string& answer : answers) {
    threads.emplace_back([&] {
      const absl::StatusOr<v1::Build> cancelled = api().Cancel(name);
      EXPECT_THAT(cancelled, IsOk());
      if (cancelled.ok()) answer = Bytes(*cancelled);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(answers, testing::Each(Bytes(Get(name))));
  EXPECT_EQ(Get(name).state(), v1::Build::STATE_CANCELLED);
}

TEST_F(ResourceTest, CancelKillsWhatIgnoresSigtermAfterTheGrace) {
  Start();
  v1::BuildRequest request = Request(
      "ctx", absl::StrCat("ignore-term\ntouch ", Ready("x"), "\nsleep 600\n"));
  request.mutable_policy()->mutable_grace_period()->set_nanos(200'000'000);
  const std::string name = Create(request);
  AwaitReady("x");
  const absl::Time begin = absl::Now();
  const absl::StatusOr<v1::Build> cancelled = api().Cancel(name);
  ASSERT_THAT(cancelled, IsOk());
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(200));
  EXPECT_EQ(cancelled->state(), v1::Build::STATE_CANCELLED);
  EXPECT_EQ(cancelled->term_signal(), 9);
}

TEST_F(ResourceTest, ACancelsDeadlineMayPassAndTheBuildEndsAllTheSame) {
  Start();
  v1::BuildRequest request = Request(
      "ctx", absl::StrCat("ignore-term\ntouch ", Ready("x"), "\nsleep 600\n"));
  request.mutable_policy()->mutable_grace_period()->set_seconds(10);
  const std::string name = Create(request);
  AwaitReady("x");
  AwaitState(name, v1::Build::STATE_RUNNING);
  EXPECT_THAT(api().Cancel(name, absl::Seconds(2)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(Get(name).state(), v1::Build::STATE_CANCELLING);
  EXPECT_EQ(Await(name).state(), v1::Build::STATE_CANCELLED);
}

// Before it is spawned, while it is, and as it ends by itself.
TEST_F(ResourceTest, CancelAtAnyMoment) {
  constexpr int kBuilds = kSanitized ? 30 : 150;
  Start();
  const v1::BuildRequest request = Request("ctx", "stdout x\n");
  for (int i = 0; i < kBuilds; ++i) {
    const auto watch = api().Build(request);
    std::string name;
    // After as many of its events.
    for (int event = 0; event <= i % 3; ++event) {
      if (const auto next = watch->Next()) name = next->name();
    }
    const absl::StatusOr<v1::Build> cancelled = api().Cancel(name);
    ASSERT_THAT(cancelled, IsOk());
    if (cancelled->state() != v1::Build::STATE_SUCCEEDED) {
      EXPECT_EQ(cancelled->state(), v1::Build::STATE_CANCELLED);
      EXPECT_EQ(cancelled->failure().reason(), "CANCELLED_BY_CALLER");
    }
    EXPECT_EQ(Bytes(Get(name)), Bytes(*cancelled));
  }
}

// --- Delete -----------------------------------------------------------------

TEST_F(ResourceTest, DeleteTakesAnEndedBuildAwayWithItsFolder) {
  Start([](auto& options) { options.max_running_builds = 1; });
  const std::string name = Create(HeldRequest("g"));
  const std::string queued = Create(Request("ctx", ""));
  AwaitReady("g");
  for (const std::string& not_ended : {name, queued}) {
    const absl::Status refused = api().Delete(not_ended);
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(refused, HasReason("BUILD_NOT_ENDED"));
  }
  Open("g");
  Await(name);
  Await(queued);
  ASSERT_TRUE(std::filesystem::exists(folder_.Path("state/" + name)));
  EXPECT_THAT(api().Delete(name), IsOk());
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("state/" + name)));
  EXPECT_THAT(api().Delete(name), HasReason("BUILD_NOT_FOUND"));
  EXPECT_THAT(api().Get(name), HasReason("BUILD_NOT_FOUND"));
  EXPECT_THAT(api().Watch(name)->End(), HasReason("BUILD_NOT_FOUND"));
  EXPECT_THAT(Names(*api().List()), ElementsAre(queued));
}

TEST_F(ResourceTest, AWatcherOfADeletedBuildReadsToTheEnd) {
  Start();
  // More than is on its way to a client that does not read.
  const std::string name = Create(Request("ctx", "bytes stdout 30000000 1\n"));
  Await(name);
  const auto watch = api().Watch(name);
  ASSERT_TRUE(watch->Next());
  EXPECT_THAT(api().Delete(name), IsOk());
  std::int64_t bytes = 0;
  bool finished = false;
  while (const auto event = watch->Next()) {
    bytes += static_cast<std::int64_t>(event->output().data().size());
    finished = event->has_finished();
  }
  EXPECT_THAT(watch->End(), IsOk());
  EXPECT_EQ(bytes, 30'000'000);
  EXPECT_TRUE(finished);
}

TEST_F(ResourceTest, OfTenDeletesAtOnceNoneFailsOtherwise) {
  Start();
  for (int i = 0; i < 10; ++i) {
    const std::string name = Create(Request("ctx", ""));
    Await(name);
    std::vector<std::thread> threads;
    for (int t = 0; t < 10; ++t) {
      threads.emplace_back([&] {
        const absl::Status deleted = api().Delete(name);
        if (deleted.ok()) return;
        EXPECT_THAT(deleted, HasReason("BUILD_NOT_FOUND"));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_THAT(api().Get(name), HasReason("BUILD_NOT_FOUND"));
  }
}

// --- Callers ----------------------------------------------------------------

TEST_F(ResourceTest, CallersSeeTheirOwnBuildsOnly) {
  Start();
  const std::string mine = Create(HeldRequest("g"));
  const absl::StatusOr<v1::Build> theirs =
      anonymous().Create(Request("theirs", ""));
  ASSERT_THAT(theirs, IsOk());
  EXPECT_EQ(theirs->requester(), "anonymous");
  ASSERT_THAT(anonymous().Await(theirs->name()), IsOk());

  const std::string missing = "builds/01aryz6s41tsv4rrffq69g5fav";
  const auto all = [&](const std::string& name) {
    return std::vector<absl::Status>{
        anonymous().Get(name).status(), anonymous().Watch(name)->End(),
        anonymous().Cancel(name).status(), anonymous().Delete(name)};
  };
  const std::vector<absl::Status> foreign = all(mine);
  const std::vector<absl::Status> nothing = all(missing);
  for (std::size_t i = 0; i < foreign.size(); ++i) {
    EXPECT_THAT(foreign[i], HasReason("BUILD_NOT_FOUND"));
    EXPECT_EQ(foreign[i].code(), nothing[i].code());
    EXPECT_EQ(absl::StrReplaceAll(foreign[i].message(), {{mine, missing}}),
              nothing[i].message());
  }
  EXPECT_THAT(Names(*anonymous().List()), ElementsAre(theirs->name()));
  // The admin sees all.
  EXPECT_THAT(Names(*api().List()), ElementsAre(theirs->name(), mine));
  EXPECT_THAT(api().Get(theirs->name()), IsOk());
  // A token is its caller's.
  v1::ListBuildsRequest request;
  request.set_page_size(1);
  request.set_page_token(api().List(request)->next_page_token());
  ASSERT_FALSE(request.page_token().empty());
  EXPECT_THAT(anonymous().List(request), HasReason("OPTION_INVALID"));
  EXPECT_EQ(Get(mine).state() == v1::Build::STATE_CANCELLED, false);
  Open("g");
  EXPECT_EQ(Await(mine).state(), v1::Build::STATE_SUCCEEDED);
}

}  // namespace
}  // namespace containerbuilder
