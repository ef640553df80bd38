// The engine as a program sees it that embeds it: no gRPC, over fake_nerdctl.

#include <cstdint>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "containerbuilder/service/engine.h"
#include "gmock/gmock.h"
#include "support/processes.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Event = absl::StatusOr<std::optional<v1::BuildEvent>>;

absl::Time Soon() { return absl::Now() + absl::Minutes(1); }

class BuildEngineTest : public testing::Test {
 protected:
  BuildEngineTest() { options_.state_dir = folder_.Path("state"); }

  BuildEngine& engine() {
    if (engine_ == nullptr) {
      absl::StatusOr<std::unique_ptr<BuildEngine>> engine =
          BuildEngine::Create(options_);
      EXPECT_THAT(engine, IsOk());
      engine_ = *std::move(engine);
    }
    return *engine_;
  }

  // A build in which fake_nerdctl does what `script` says.
  template <typename Request = v1::BuildRequest>
  Request MakeRequest(const std::string& name, const std::string& script) {
    folder_.WriteFile(name + "/fake.txt", script);
    Request request;
    request.mutable_spec()->mutable_options()->set_context_path(
        folder_.Path(name));
    return request;
  }

  // One that runs until `done` exists; it has printed "running\n" before.
  template <typename Request = v1::BuildRequest>
  Request LongRequest(const std::string& name = "long") {
    return MakeRequest<Request>(
        name, absl::StrCat("stdout running\\n\nwait-file ", done_, "\n"));
  }

  const TempDir folder_;
  const std::string done_ = folder_.Path("done");
  EngineOptions options_ = [] {
    EngineOptions options;
    options.nerdctl = FAKE_NERDCTL;
    options.drain_timeout = absl::ZeroDuration();
    return options;
  }();
  std::unique_ptr<BuildEngine> engine_;
};

// All events up to the end.
struct Seen {
  std::vector<std::int64_t> sequences;
  std::string stdout_data;
  std::string stderr_data;
  std::optional<v1::Build> finished;
  absl::Status end;
};

Seen ReadAll(BuildWatcher& watcher) {
  Seen seen;
  for (;;) {
    Event event = watcher.Next(Soon());
    if (!event.ok() || !event->has_value()) {
      seen.end = event.status();
      return seen;
    }
    EXPECT_EQ((*event)->name(), watcher.name());
    seen.sequences.push_back((*event)->sequence());
    const v1::BuildOutput& output = (*event)->output();
    (output.stream() == v1::BuildOutput::STREAM_STDOUT ? seen.stdout_data
                                                       : seen.stderr_data) +=
        output.data();
    if ((*event)->has_finished()) seen.finished = (*event)->finished().build();
  }
}

void ReadUntilOutput(BuildWatcher& watcher) {
  for (;;) {
    const Event event = watcher.Next(Soon());
    ASSERT_THAT(event, IsOk());
    ASSERT_TRUE(event->has_value());
    if ((*event)->has_output()) return;
  }
}

TEST_F(BuildEngineTest, BuildsAndTellsEverythingInOrder) {
  absl::StatusOr<BuildWatcher> watcher = engine().Build(
      MakeRequest("ctx", "stdout out\\n\nstderr \\xff\\x00\\n\nexit 3\n"));
  ASSERT_THAT(watcher, IsOk());
  const Seen seen = ReadAll(*watcher);
  EXPECT_THAT(seen.end, IsOk());
  for (std::size_t i = 0; i < seen.sequences.size(); ++i) {
    EXPECT_EQ(seen.sequences[i], static_cast<std::int64_t>(i) + 1);
  }
  EXPECT_EQ(seen.stdout_data, "out\n");
  EXPECT_EQ(seen.stderr_data, std::string("\xff\0\n", 3));
  ASSERT_TRUE(seen.finished);
  EXPECT_EQ(seen.finished->state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(seen.finished->exit_code(), 3);
  EXPECT_EQ(seen.finished->requester(), "local");
  // The end stays the end.
  const Event after = watcher->Next(Soon());
  ASSERT_THAT(after, IsOk());
  EXPECT_FALSE(after->has_value());
}

TEST_F(BuildEngineTest, RefusesAsTheServiceDoes) {
  v1::BuildRequest request = MakeRequest("ctx", "");
  request.mutable_spec()->mutable_options()->set_context_path("elsewhere");
  EXPECT_THAT(engine().Build(request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(engine().WatchBuild("builds/none"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(BuildEngineTest, WritesArguments) {
  v1::BuildOptions options;
  options.set_context_path("/ctx");
  options.mutable_label()->mutable_values()->add_values("a=b");
  const absl::StatusOr<v1::ConstructArgsResponse> response =
      engine().ConstructArgs(options);
  ASSERT_THAT(response, IsOk());
  EXPECT_THAT(response->args(), ElementsAre("--label", "a=b", "/ctx"));
}

TEST_F(BuildEngineTest, TellsItsHealth) {
  EXPECT_FALSE(engine().Health().checks().empty());
}

TEST_F(BuildEngineTest, CreatedBuildIsWatchedFromAnyEvent) {
  const absl::StatusOr<v1::Build> build = engine().CreateBuild(
      MakeRequest<v1::CreateBuildRequest>("ctx", "stdout out\\n\n"));
  ASSERT_THAT(build, IsOk());
  absl::StatusOr<BuildWatcher> watcher = engine().WatchBuild(build->name());
  ASSERT_THAT(watcher, IsOk());
  const Seen whole = ReadAll(*watcher);
  ASSERT_TRUE(whole.finished);
  EXPECT_EQ(whole.finished->state(), v1::Build::STATE_SUCCEEDED);

  absl::StatusOr<BuildWatcher> rest = engine().WatchBuild(build->name(), 1);
  ASSERT_THAT(rest, IsOk());
  const Seen tail = ReadAll(*rest);
  ASSERT_FALSE(tail.sequences.empty());
  EXPECT_EQ(tail.sequences.front(), 2);
  EXPECT_EQ(tail.sequences.back(), whole.sequences.back());
  EXPECT_THAT(engine().WatchBuild(build->name(), 1000),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(BuildEngineTest, NextKeepsItsDeadlineAndGoesOn) {
  absl::StatusOr<BuildWatcher> watcher = engine().Build(LongRequest());
  ASSERT_THAT(watcher, IsOk());
  ReadUntilOutput(*watcher);
  // More than once: each wait finds the journal's call of the one before.
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(watcher->Next(absl::Now() + absl::Milliseconds(1)),
                StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
  EXPECT_THAT(watcher->Next(absl::InfinitePast()),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  folder_.WriteFile("done", "");
  const Seen rest = ReadAll(*watcher);
  EXPECT_THAT(rest.end, IsOk());
  ASSERT_TRUE(rest.finished);
  EXPECT_EQ(rest.finished->state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(BuildEngineTest, CancelWakesTheReaderAndItsBuildIsCancelled) {
  absl::StatusOr<BuildWatcher> watcher = engine().Build(LongRequest());
  ASSERT_THAT(watcher, IsOk());
  ReadUntilOutput(*watcher);
  Event event;
  {
    const std::jthread reader([&] { event = watcher->Next(); });
    watcher->Cancel();
  }
  EXPECT_THAT(event, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(watcher->Next(), StatusIs(absl::StatusCode::kCancelled));

  absl::StatusOr<BuildWatcher> other = engine().WatchBuild(watcher->name());
  ASSERT_THAT(other, IsOk());
  const Seen seen = ReadAll(*other);
  ASSERT_TRUE(seen.finished);
  EXPECT_EQ(seen.finished->state(), v1::Build::STATE_CANCELLED);
  EXPECT_EQ(seen.finished->failure().reason(), "CLIENT_GONE");
}

TEST_F(BuildEngineTest, DestroyedWatcherOfCreatedBuildLeavesItAlone) {
  const absl::StatusOr<v1::Build> build =
      engine().CreateBuild(LongRequest<v1::CreateBuildRequest>());
  ASSERT_THAT(build, IsOk());
  {
    absl::StatusOr<BuildWatcher> watcher = engine().WatchBuild(build->name());
    ASSERT_THAT(watcher, IsOk());
    ReadUntilOutput(*watcher);
    BuildWatcher moved = *std::move(watcher);
    EXPECT_EQ(moved.name(), build->name());
  }
  const absl::StatusOr<v1::Build> now = engine().GetBuild(build->name());
  ASSERT_THAT(now, IsOk());
  EXPECT_EQ(now->state(), v1::Build::STATE_RUNNING);
}

TEST_F(BuildEngineTest, ManyWatchersNeedNoThreadsOfTheEngine) {
  const absl::StatusOr<v1::Build> build =
      engine().CreateBuild(LongRequest<v1::CreateBuildRequest>());
  ASSERT_THAT(build, IsOk());
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                         std::filesystem::directory_iterator());
  };
  std::vector<BuildWatcher> watchers;
  const auto before = threads();
  for (int i = 0; i < 200; ++i) {
    absl::StatusOr<BuildWatcher> watcher = engine().WatchBuild(build->name());
    ASSERT_THAT(watcher, IsOk());
    watchers.push_back(*std::move(watcher));
    ReadUntilOutput(watchers.back());
    EXPECT_THAT(watchers.back().Next(absl::InfinitePast()),
                StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
  EXPECT_LE(threads(), before);
  folder_.WriteFile("done", "");
  for (BuildWatcher& watcher : watchers) {
    EXPECT_TRUE(ReadAll(watcher).finished);
  }
}

TEST_F(BuildEngineTest, CancelBuildWaitsForTheEndOrItsDeadline) {
  auto request = MakeRequest<v1::CreateBuildRequest>(
      "stubborn", "ignore-term\nstdout running\\n\nsleep 600\n");
  request.mutable_policy()->mutable_grace_period()->set_seconds(600);
  const absl::StatusOr<v1::Build> build = engine().CreateBuild(request);
  ASSERT_THAT(build, IsOk());
  {
    absl::StatusOr<BuildWatcher> watcher = engine().WatchBuild(build->name());
    ASSERT_THAT(watcher, IsOk());
    ReadUntilOutput(*watcher);
  }
  EXPECT_THAT(engine().CancelBuild(build->name(), absl::InfinitePast()),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(engine().DeleteBuild(build->name()),
              StatusIs(absl::StatusCode::kFailedPrecondition));

  // The answer of that cancel comes late, to nobody.
  engine().HastenShutdown();
  engine().Shutdown();
  const absl::StatusOr<v1::Build> cancelled =
      engine().CancelBuild(build->name(), Soon());
  ASSERT_THAT(cancelled, IsOk());
  EXPECT_EQ(cancelled->state(), v1::Build::STATE_CANCELLED);
  EXPECT_EQ(cancelled->failure().reason(), "CANCELLED_BY_CALLER");
}

TEST_F(BuildEngineTest, ListsAndDeletes) {
  std::string name;
  {
    absl::StatusOr<BuildWatcher> watcher =
        engine().Build(MakeRequest("ctx", ""));
    ASSERT_THAT(watcher, IsOk());
    ReadAll(*watcher);
    name = watcher->name();
  }
  absl::StatusOr<v1::Build> ended = engine().CancelBuild(name);
  ASSERT_THAT(ended, IsOk());
  EXPECT_EQ(ended->state(), v1::Build::STATE_SUCCEEDED);

  absl::StatusOr<v1::ListBuildsResponse> list = engine().ListBuilds({});
  ASSERT_THAT(list, IsOk());
  ASSERT_EQ(list->builds_size(), 1);
  EXPECT_EQ(list->builds(0).name(), name);
  EXPECT_THAT(engine().DeleteBuild(name), IsOk());
  list = engine().ListBuilds({});
  ASSERT_THAT(list, IsOk());
  EXPECT_THAT(list->builds(), IsEmpty());
}

TEST_F(BuildEngineTest, OtherCallersHaveTheirOwnBuildsAndFewerRights) {
  options_.policy.read_roots = {folder_.MakeDir("shared")};
  const Caller ada = {"ada"};
  const Caller bob = {"bob"};
  EXPECT_THAT(engine().Build(MakeRequest("private", ""), ada),
              StatusIs(absl::StatusCode::kPermissionDenied));
  absl::StatusOr<BuildWatcher> watcher =
      engine().Build(MakeRequest("shared/ctx", ""), ada);
  ASSERT_THAT(watcher, IsOk());
  const Seen seen = ReadAll(*watcher);
  ASSERT_TRUE(seen.finished);
  EXPECT_EQ(seen.finished->requester(), "ada");

  const std::string& name = watcher->name();
  EXPECT_THAT(engine().GetBuild(name, ada), IsOk());
  EXPECT_THAT(engine().GetBuild(name), IsOk());
  EXPECT_THAT(engine().GetBuild(name, bob),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(engine().WatchBuild(name, 0, bob),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(engine().CancelBuild(name, Soon(), bob),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(engine().DeleteBuild(name, bob),
              StatusIs(absl::StatusCode::kNotFound));
  const absl::StatusOr<v1::ListBuildsResponse> list =
      engine().ListBuilds({}, bob);
  ASSERT_THAT(list, IsOk());
  EXPECT_THAT(list->builds(), IsEmpty());
}

TEST_F(BuildEngineTest, ShutdownEndsWatchersAndTheNextEngineGoesOn) {
  options_.max_running_builds = 1;
  absl::StatusOr<BuildWatcher> running = engine().Build(LongRequest());
  ASSERT_THAT(running, IsOk());
  ReadUntilOutput(*running);
  const absl::StatusOr<v1::Build> queued =
      engine().CreateBuild(MakeRequest<v1::CreateBuildRequest>("next", ""));
  ASSERT_THAT(queued, IsOk());
  absl::StatusOr<BuildWatcher> waiting = engine().WatchBuild(queued->name());
  ASSERT_THAT(waiting, IsOk());
  {
    const std::jthread reader([&] {
      const Seen seen = ReadAll(*running);
      ASSERT_TRUE(seen.finished);
      EXPECT_EQ(seen.finished->state(), v1::Build::STATE_INTERRUPTED);
    });
    const std::jthread waiter([&] {
      EXPECT_THAT(ReadAll(*waiting).end,
                  StatusIs(absl::StatusCode::kUnavailable));
    });
    engine().Shutdown();
  }
  EXPECT_THAT(engine().Build(MakeRequest("late", "")),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(engine().GetBuild(queued->name()), IsOk());

  running = absl::CancelledError();
  waiting = absl::CancelledError();
  engine_.reset();
  absl::StatusOr<BuildWatcher> again = engine().WatchBuild(queued->name());
  ASSERT_THAT(again, IsOk());
  const Seen seen = ReadAll(*again);
  ASSERT_TRUE(seen.finished);
  EXPECT_EQ(seen.finished->state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(BuildEngineTest, NamesTheOptionThatIsWrong) {
  options_.max_queued_builds = -1;
  EXPECT_THAT(BuildEngine::Create(options_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("max_queued_builds")));
  options_ = {};
  EXPECT_THAT(
      BuildEngine::Create(options_),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("state_dir")));
}

TEST_F(BuildEngineTest, TwoDoNotShareAStateFolder) {
  engine();
  EXPECT_THAT(BuildEngine::Create(options_),
              StatusIs(absl::StatusCode::kAlreadyExists));
  // Side by side they work.
  EngineOptions options = options_;
  options.state_dir = folder_.Path("other");
  EXPECT_THAT(BuildEngine::Create(options), IsOk());
}

// What an embedding program may count on.
TEST_F(BuildEngineTest, LeavesTheProcessAsItIs) {
  const auto settings = [] {
    std::vector<std::string> lines;
    std::istringstream status(test_support::ReadFile("/proc/self/status"));
    for (std::string line; std::getline(status, line);) {
      for (const char* key : {"Umask:", "SigBlk:", "SigIgn:", "SigCgt:"}) {
        if (line.starts_with(key)) lines.push_back(line);
      }
    }
    lines.push_back(std::filesystem::current_path());
    return lines;
  };
  // glibc catches a signal of its own from the first thread on.
  std::thread([] {}).join();
  const std::vector<std::string> before = settings();
  ASSERT_EQ(before.size(), 5U);
  {
    absl::StatusOr<BuildWatcher> watcher =
        engine().Build(MakeRequest("ctx", ""));
    ASSERT_THAT(watcher, IsOk());
    ReadAll(*watcher);
    EXPECT_EQ(settings(), before);
  }
  engine_.reset();
  EXPECT_EQ(settings(), before);
}

}  // namespace
}  // namespace containerbuilder::service
