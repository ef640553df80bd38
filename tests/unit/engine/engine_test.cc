// The engine over a runner that starts nothing and clocks that the test sets:
// what builds become of, what is taken up after a restart, what is forgotten,
// and what happens where the disk or the store fails.

#include "build/engine.h"

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/build_state.h"
#include "base/limits.h"
#include "base/timestamps.h"
#include "gmock/gmock.h"
#include "store/sqlite_build_store.h"
#include "support/fake_process_runner.h"
#include "support/processes.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unit/store/records.h"

namespace containerbuilder::service {
namespace {

using storage::v1::BuildRecord;
using test_support::Eventually;
using test_support::FakeProcessRunner;
using test_support::HasReason;
using test_support::IsOk;
using test_support::StatusIs;
using test_support::TempDir;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kHelp[] =
    "Flags:\n"
    "      --build-arg stringArray    Set build-time variables\n"
    "      --cache-to stringArray     Cache export destinations\n"
    "  -t, --tag stringArray          Name and optionally a tag\n";

const Caller kLocal = Caller::Local();
const Caller kAnonymous = {"anonymous"};

// Clocks and a disk that the test sets.
struct FakeHost {
  Host MakeHost() {
    Host host;
    host.platform = Platform::kLinux;
    host.getenv = [](const std::string&) { return std::nullopt; };
    host.working_folder = "/";
    host.now = [this] { return absl::FromUnixMicros(now.load()); };
    host.uptime = [this] {
      ++uptime_calls;
      return absl::Microseconds(uptime += uptime_step);
    };
    host.free_disk = [this](const std::string&) { return free_bytes.load(); };
    return host;
  }

  // What passes, and by how much only the wall clock is set.
  void Pass(absl::Duration duration) {
    Set(duration);
    uptime += absl::ToInt64Microseconds(duration);
  }
  void Set(absl::Duration duration) {
    now += absl::ToInt64Microseconds(duration);
  }

  std::atomic<std::int64_t> now = absl::ToUnixMicros(
      absl::FromCivil(absl::CivilDay(2026, 1, 1), absl::UTCTimeZone()));
  std::atomic<std::int64_t> uptime = 1'000'000;
  // What each look at it adds.
  std::atomic<std::int64_t> uptime_step = 0;
  // By each sweep once, and by nobody else but the engine's maker and lists.
  std::atomic<int> uptime_calls = 0;
  std::atomic<std::uint64_t> free_bytes = std::uint64_t{1} << 40;
};

class EngineTest : public testing::Test {
 protected:
  EngineTest() {
    runner_.Set("nerdctl --version",
                {.stdout_data = "nerdctl version 1.7.7\n"});
    runner_.Set("nerdctl build --help", {.stdout_data = kHelp});
    options_.state_dir = folder_.Path("state");
    options_.nerdctl = folder_.WriteFile("nerdctl", "", 0755);
    options_.max_running_builds = 1;
    options_.max_queued_builds = 1000;
    options_.drain_timeout = absl::ZeroDuration();
    options_.retain_age = absl::Hours(24);
    options_.retain_builds = 1000;
    options_.retain_bytes = std::int64_t{1} << 40;
    options_.retention_interval = absl::Milliseconds(5);
    options_.max_log_bytes = 1 << 20;
    options_.min_free_bytes = 0;
  }

  void Start() {
    engine_.reset();
    absl::StatusOr<std::unique_ptr<Engine>> engine =
        Engine::Create(options_, host_.MakeHost(), &runner_);
    ASSERT_THAT(engine, IsOk());
    engine_ = *std::move(engine);
  }

  // A build in a context of that name that ends at once; see Hold.
  v1::CreateBuildRequest Request(const std::string& name) {
    v1::CreateBuildRequest request;
    request.mutable_spec()->mutable_options()->set_context_path(
        folder_.MakeDir(name));
    return request;
  }
  std::string CommandLine(const std::string& name) {
    return absl::StrCat("nerdctl build ", folder_.Path(name));
  }
  void SetAnswer(const std::string& name, FakeProcessRunner::Answer answer) {
    runner_.Set(CommandLine(name), std::move(answer));
  }
  // It runs until it is released or stopped.
  void Hold(const std::string& name) {
    SetAnswer(name, {});
    runner_.Hold(CommandLine(name));
  }
  void Release(const std::string& name) { runner_.Release(CommandLine(name)); }
  int Starts(const std::string& name) {
    return runner_.Starts(CommandLine(name));
  }

  std::string Create(const v1::CreateBuildRequest& request) {
    const absl::StatusOr<v1::Build> build =
        engine_->CreateBuild(request, kLocal);
    EXPECT_THAT(build, IsOk());
    return build.ok() ? build->name() : "";
  }
  std::string Create(const std::string& name) { return Create(Request(name)); }

  v1::Build Get(const std::string& name) {
    const absl::StatusOr<v1::Build> build = engine_->GetBuild(name, kLocal);
    EXPECT_THAT(build, IsOk());
    return build.ok() ? *build : v1::Build();
  }

  // The build once it has ended.
  v1::Build Await(const std::string& name) {
    EXPECT_TRUE(Eventually([&] { return HasEnded(Get(name).state()); }));
    return Get(name);
  }
  v1::Build Run(const std::string& name) {
    SetAnswer(name, {.stdout_data = "out"});
    return Await(Create(name));
  }

  std::vector<std::string> List() {
    const absl::StatusOr<v1::ListBuildsResponse> list =
        engine_->ListBuilds({}, kLocal);
    EXPECT_THAT(list, IsOk());
    std::vector<std::string> names;
    if (list.ok()) {
      for (const v1::Build& build : list->builds()) {
        names.push_back(build.name());
      }
    }
    return names;
  }

  // All that the build's watchers can read now.
  std::vector<v1::BuildEvent> Events(const std::string& name,
                                     absl::Status* end = nullptr) {
    absl::StatusOr<BuildWatch> watch = engine_->WatchBuild(name, 0, kLocal);
    std::vector<v1::BuildEvent> events;
    if (!watch.ok()) {
      if (end != nullptr) *end = watch.status();
      return events;
    }
    while (true) {
      absl::StatusOr<std::optional<Journal::Entry>> entry =
          watch->journal->Read(watch->cursor);
      if (end != nullptr) *end = entry.status();
      if (!entry.ok() || !entry->has_value()) return events;
      v1::BuildEvent event;
      EXPECT_TRUE(event.ParseFromString(*(*entry)->event));
      events.push_back(std::move(event));
    }
  }

  std::string JournalOf(const std::string& name) {
    return absl::StrCat(options_.state_dir, "/", name, "/journal");
  }
  bool HasFolder(const std::string& name) {
    return std::filesystem::exists(absl::StrCat(options_.state_dir, "/", name));
  }

  // The records, of an engine that is not there.
  std::unique_ptr<SqliteBuildStore> OpenStore() {
    absl::StatusOr<std::unique_ptr<SqliteBuildStore>> store =
        SqliteBuildStore::Open(folder_.Path("state/records.db"));
    EXPECT_THAT(store, IsOk());
    return *std::move(store);
  }

  // Leaves a build as a crash would: its journal and its record, as of then.
  void Leave(const std::string& id, const std::string& context,
             bool with_record, const std::function<void(BuildRecord&)>& change,
             const std::vector<v1::BuildEvent>& events) {
    BuildRecord record;
    v1::Build& build = *record.mutable_build();
    build.set_name("builds/" + id);
    build.set_state(v1::Build::STATE_QUEUED);
    build.set_requester("local");
    *build.mutable_create_time() =
        ToTimestamp(absl::FromUnixMicros(host_.now.load()));
    build.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_DETACH);
    build.mutable_spec()->mutable_options()->set_context_path(
        folder_.MakeDir(context));
    record.set_trusted_caller(true);
    if (change) change(record);
    const std::string folder = folder_.MakeDir("state/builds/" + id);
    absl::StatusOr<std::shared_ptr<Journal>> journal = Journal::Create(
        folder, build.name(), record.SerializeAsString(), Journal::Options());
    ASSERT_THAT(journal, IsOk());
    for (v1::BuildEvent event : events) {
      event.set_name(build.name());
      ASSERT_THAT((event.has_finished() ? (*journal)->Finish(event)
                                        : (*journal)->AppendSynced(event)),
                  IsOk());
    }
    if (!with_record) return;
    ASSERT_THAT(OpenStore()->Insert(record), IsOk());
  }

  static v1::BuildEvent Started() {
    v1::BuildEvent event;
    event.mutable_started()->set_pid(1);
    event.mutable_event_time()->set_seconds(1'000);
    return event;
  }
  v1::BuildEvent Finished(const std::string& id) {
    v1::BuildEvent event;
    v1::Build& build = *event.mutable_finished()->mutable_build();
    build.set_name("builds/" + id);
    build.set_state(v1::Build::STATE_SUCCEEDED);
    build.set_last_sequence(2);
    build.set_requester("local");
    *build.mutable_finish_time() =
        ToTimestamp(absl::FromUnixMicros(host_.now.load()));
    return event;
  }

  void Flip(const std::string& file, std::int64_t byte) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(byte);
    const int old = stream.get();
    ASSERT_GE(old, 0);
    stream.seekp(byte);
    stream.put(static_cast<char>(old ^ 0x10));
  }

  const TempDir folder_;
  FakeHost host_;
  FakeProcessRunner runner_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
};

// --- A build's life ---------------------------------------------------------

TEST_F(EngineTest, RunsABuildToItsEnd) {
  Start();
  const v1::Build build = Run("ctx");
  EXPECT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(build.stdout_bytes(), 3);
  const std::vector<v1::BuildEvent> events = Events(build.name());
  ASSERT_GE(events.size(), 3U);
  EXPECT_TRUE(events.back().has_finished());
  EXPECT_EQ(events.back().finished().build().SerializeAsString(),
            build.SerializeAsString());
  EXPECT_EQ(build.last_sequence(), static_cast<std::int64_t>(events.size()));
  EXPECT_FALSE(std::filesystem::exists(
      absl::StrCat(options_.state_dir, "/", build.name(), "/tmp")));
}

TEST_F(EngineTest, WhatCannotBeSpawnedFailsAndTheNextGoesOn) {
  Start();
  runner_.Refuse(CommandLine("bad"), absl::ResourceExhaustedError("EAGAIN"));
  const v1::Build bad = Await(Create("bad"));
  EXPECT_EQ(bad.state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(bad.failure().reason(), "SPAWN_FAILED");
  EXPECT_TRUE(bad.failure().retryable());
  EXPECT_FALSE(bad.has_start_time());
  runner_.Refuse(CommandLine("gone"), absl::NotFoundError("ENOENT"));
  EXPECT_FALSE(Await(Create("gone")).failure().retryable());
  EXPECT_EQ(Run("good").state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(EngineTest, ACancelledQueuedBuildNeverStarts) {
  Hold("first");
  SetAnswer("second", {});
  Start();
  const std::string first = Create("first");
  const std::string second = Create("second");
  absl::Notification ended;
  ASSERT_THAT(engine_->CancelBuild(
                  second, kLocal,
                  [&](absl::StatusOr<v1::Build> build) {
                    ASSERT_THAT(build, IsOk());
                    EXPECT_EQ(build->state(), v1::Build::STATE_CANCELLED);
                    EXPECT_EQ(build->failure().reason(), "CANCELLED_BY_CALLER");
                    ended.Notify();
                  }),
              IsOk());
  ended.WaitForNotification();
  Release("first");
  Await(first);
  EXPECT_EQ(Run("third").state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(Starts("second"), 0);
}

// Its builds with secrets start when the test says so.
class HoldingRunner : public ProcessRunner {
 public:
  explicit HoldingRunner(ProcessRunner& runner) : runner_(runner) {}

  void Release() { released_.Notify(); }

  absl::StatusOr<std::shared_ptr<Process>> Start(
      const Command& command,
      std::shared_ptr<ProcessListener> listener) override {
    if (absl::c_linear_search(command.argv, "--secret")) {
      released_.WaitForNotification();
    }
    return runner_.Start(command, std::move(listener));
  }

 private:
  ProcessRunner& runner_;
  absl::Notification released_;
};

// Making what hides them takes its time.
TEST_F(EngineTest, OthersDoNotWaitForTheStartOfABuildWithSecrets) {
  HoldingRunner runner(runner_);
  options_.max_running_builds = 2;
  absl::StatusOr<std::unique_ptr<Engine>> engine =
      Engine::Create(options_, host_.MakeHost(), &runner);
  ASSERT_THAT(engine, IsOk());
  engine_ = *std::move(engine);
  v1::CreateBuildRequest request = Request("secretive");
  v1::Secret& secret = *request.mutable_spec()->add_secrets();
  secret.set_id("token");
  secret.set_value("canary-1");
  const std::string name = Create(request);
  EXPECT_EQ(Run("plain").state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_FALSE(HasEnded(Get(name).state()));
  runner.Release();
  // It is not in the script.
  EXPECT_EQ(Await(name).failure().reason(), "SPAWN_FAILED");
  engine_.reset();
}

TEST_F(EngineTest, WhatIsHeldForABuildIsHeldUntilItsEnd) {
  Hold("ctx");
  Start();
  const auto create = [&](const v1::CreateBuildRequest& request,
                          std::weak_ptr<void>& held) {
    auto memory = std::make_shared<int>();
    held = memory;
    return engine_->CreateBuild(
        engine_->TakePlace(kLocal, request.request_id(), std::move(memory)),
        request, kLocal);
  };
  v1::CreateBuildRequest request = Request("ctx");
  request.set_request_id("id");
  std::weak_ptr<void> runs, waits, joined, refused;
  const absl::StatusOr<v1::Build> first = create(request, runs);
  ASSERT_THAT(first, IsOk());
  const absl::StatusOr<v1::Build> second = create(Request("ctx"), waits);
  ASSERT_THAT(second, IsOk());
  EXPECT_THAT(create(request, joined), IsOk());
  v1::CreateBuildRequest wrong = Request("ctx");
  wrong.mutable_policy()->mutable_timeout()->set_seconds(-1);
  EXPECT_THAT(create(wrong, refused), HasReason("OPTION_INVALID"));
  EXPECT_TRUE(joined.expired() && refused.expired());
  EXPECT_FALSE(runs.expired() || waits.expired());
  ASSERT_THAT(engine_->CancelBuild(second->name(), kLocal,
                                   [](const absl::StatusOr<v1::Build>&) {}),
              IsOk());
  EXPECT_TRUE(Eventually([&] { return waits.expired(); }));
  EXPECT_FALSE(runs.expired());
  Release("ctx");
  EXPECT_TRUE(Eventually([&] { return runs.expired(); }));
}

TEST_F(EngineTest, QueueTtlExpiresWhatWaits) {
  Hold("first");
  SetAnswer("second", {});
  Start();
  const std::string first = Create("first");
  v1::CreateBuildRequest request = Request("second");
  request.mutable_policy()->mutable_queue_ttl()->set_nanos(1'000'000);
  const v1::Build expired = Await(Create(request));
  EXPECT_EQ(expired.state(), v1::Build::STATE_EXPIRED);
  EXPECT_EQ(expired.failure().reason(), "EXPIRED");
  EXPECT_TRUE(expired.failure().retryable());
  EXPECT_EQ(Starts("second"), 0);
  // What runs does not.
  EXPECT_TRUE(Eventually(
      [&] { return Get(first).state() == v1::Build::STATE_RUNNING; }));
}

// The time to live may pass just as a slot is given: one end, whichever.
TEST_F(EngineTest, QueueTtlAtTheInstantOfTheStart) {
  Start();
  for (int i = 0; i < 30; ++i) {
    Hold("first");
    SetAnswer("second", {});
    const std::string first = Create("first");
    v1::CreateBuildRequest request = Request("second");
    request.mutable_policy()->mutable_queue_ttl()->set_nanos(10'000 * i + 1);
    const int before = Starts("second");
    const std::string second = Create(request);
    Release("first");
    const v1::Build build = Await(second);
    const bool started = Starts("second") > before;
    EXPECT_EQ(build.state(),
              started ? v1::Build::STATE_SUCCEEDED : v1::Build::STATE_EXPIRED);
    int ends = 0;
    for (const v1::BuildEvent& event : Events(second)) {
      ends += event.has_finished() ? 1 : 0;
    }
    EXPECT_EQ(ends, 1);
    Await(first);
  }
}

TEST_F(EngineTest, PositionsGoDown) {
  Start();
  Hold("ctx");
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) names.push_back(Create("ctx"));
  const auto position = [&](int i) {
    int last = 0;
    for (const v1::BuildEvent& event : Events(names[i])) {
      if (event.has_queued()) last = event.queued().position();
    }
    return last;
  };
  for (int i = 1; i < 5; ++i) {
    EXPECT_TRUE(Eventually([&] { return position(i) == i; })) << i;
  }
  v1::BuildEvent last;
  Release("ctx");
  for (const std::string& name : names) {
    Await(name);
    int before = 1000;
    for (const v1::BuildEvent& event : Events(name)) {
      if (!event.has_queued()) continue;
      EXPECT_LT(event.queued().position(), before);
      before = event.queued().position();
    }
  }
}

TEST_F(EngineTest, TheLogLimitIsExact) {
  options_.max_log_bytes = 5;
  Start();
  SetAnswer("under", {.stdout_data = "abc", .stderr_data = "de"});
  EXPECT_EQ(Await(Create("under")).state(), v1::Build::STATE_SUCCEEDED);
  SetAnswer("over", {.stdout_data = "abc", .stderr_data = "def"});
  const v1::Build over = Await(Create("over"));
  EXPECT_EQ(over.state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(over.failure().reason(), "LOG_LIMIT");
  EXPECT_EQ(over.stdout_bytes(), 3);
  EXPECT_EQ(over.stderr_bytes(), 2);
}

// --- Callers ----------------------------------------------------------------

TEST_F(EngineTest, OthersBuildsAreNotThere) {
  Hold("ctx");
  Start();
  const std::string name = Create("ctx");
  const absl::Status missing =
      engine_->GetBuild("builds/nothing", kAnonymous).status();
  const auto expect_missing = [&](const absl::Status& status) {
    EXPECT_THAT(status, HasReason("BUILD_NOT_FOUND"));
    EXPECT_EQ(status.code(), missing.code());
    EXPECT_EQ(
        std::string(status.message()),
        absl::StrReplaceAll(missing.message(), {{"builds/nothing", name}}));
  };
  expect_missing(engine_->GetBuild(name, kAnonymous).status());
  expect_missing(engine_->WatchBuild(name, 0, kAnonymous).status());
  expect_missing(engine_->DeleteBuild(name, kAnonymous));
  expect_missing(engine_->CancelBuild(name, kAnonymous,
                                      [](const absl::StatusOr<v1::Build>&) {}));
  EXPECT_EQ(engine_->ListBuilds({}, kAnonymous)->builds_size(), 0);
  EXPECT_TRUE(Eventually(
      [&] { return Get(name).state() == v1::Build::STATE_RUNNING; }));
}

TEST_F(EngineTest, ARequestIdIsItsCallersOwn) {
  options_.policy.read_roots = {folder_.path()};
  Hold("ctx");
  Start();
  v1::CreateBuildRequest request = Request("ctx");
  request.set_request_id("id");
  const std::string mine = Create(request);
  EXPECT_EQ(Create(request), mine);
  const absl::StatusOr<v1::Build> theirs =
      engine_->CreateBuild(request, kAnonymous);
  ASSERT_THAT(theirs, IsOk());
  EXPECT_NE(theirs->name(), mine);
  (*request.mutable_annotations())["a"] = "b";
  EXPECT_THAT(engine_->CreateBuild(request, kLocal),
              HasReason("REQUEST_ID_REUSED"));
}

// --- Restarts ---------------------------------------------------------------

TEST_F(EngineTest, WhatWaitedStartsInOrderAfterARestart) {
  for (const char* name : {"a", "b", "c", "d", "e"}) SetAnswer(name, {});
  Hold("a");
  Start();
  std::vector<std::string> names = {Create("a")};
  for (const char* name : {"b", "c", "d"}) names.push_back(Create(name));
  v1::CreateBuildRequest urgent = Request("e");
  urgent.mutable_policy()->set_priority(1);
  names.push_back(Create(urgent));
  // Else it would wait like the others.
  runner_.AwaitStarts(CommandLine("a"), 1);
  engine_.reset();
  const std::size_t before = runner_.commands().size();
  Start();
  for (std::size_t i = 1; i < names.size(); ++i) {
    EXPECT_EQ(Await(names[i]).state(), v1::Build::STATE_SUCCEEDED);
  }
  const v1::Build running = Get(names[0]);
  EXPECT_EQ(running.state(), v1::Build::STATE_INTERRUPTED);
  EXPECT_EQ(running.failure().reason(), "SHUTDOWN");
  std::vector<std::string> started;
  const std::vector<Command> commands = runner_.commands();
  for (std::size_t i = before; i < commands.size(); ++i) {
    if (commands[i].argv.size() == 3 && commands[i].argv[2] != "--help") {
      started.push_back(std::filesystem::path(commands[i].argv[2]).filename());
    }
  }
  EXPECT_THAT(started, ElementsAre("e", "b", "c", "d"));
  EXPECT_THAT(List(),
              ElementsAre(names[4], names[3], names[2], names[1], names[0]));
}

TEST_F(EngineTest, TakesUpWhatACrashLeft) {
  SetAnswer("ctx", {});
  const auto with_secrets = [](BuildRecord& r) { r.set_has_secrets(true); };
  const auto expired = [](BuildRecord& record) {
    record.mutable_build()->mutable_policy()->mutable_queue_ttl()->set_seconds(
        60);
  };
  for (const bool with_record : {true, false}) {
    const std::string id = with_record ? "r" : "j";
    Leave(id + "queued", "ctx", with_record, nullptr, {});
    Leave(id + "secret", "ctx", with_record, with_secrets, {});
    Leave(id + "expired", "ctx", with_record, expired, {});
    Leave(id + "running", "ctx", with_record, nullptr, {Started()});
    Leave(id + "secretrun", "ctx", with_record, with_secrets, {Started()});
    Leave(id + "ended", "ctx", with_record, nullptr,
          {Started(), Finished(id + "ended")});
  }
  host_.Pass(absl::Seconds(60));
  Start();
  for (const std::string& id : {std::string("r"), std::string("j")}) {
    const std::string name = "builds/" + id;
    EXPECT_EQ(Await(name + "queued").state(), v1::Build::STATE_SUCCEEDED);
    EXPECT_EQ(Get(name + "secret").state(), v1::Build::STATE_INTERRUPTED);
    EXPECT_EQ(Get(name + "secret").failure().reason(), "SECRETS_LOST");
    EXPECT_TRUE(Get(name + "secret").failure().retryable());
    EXPECT_EQ(Get(name + "expired").state(), v1::Build::STATE_EXPIRED);
    for (const char* ran : {"running", "secretrun"}) {
      EXPECT_EQ(Get(name + ran).state(), v1::Build::STATE_INTERRUPTED);
      EXPECT_EQ(Get(name + ran).failure().reason(), "CRASHED");
      EXPECT_TRUE(Get(name + ran).failure().retryable());
      const std::vector<v1::BuildEvent> events = Events(name + ran);
      ASSERT_EQ(events.size(), 2U);
      EXPECT_TRUE(events[1].has_finished());
      EXPECT_EQ(events[1].sequence(), 2);
      EXPECT_EQ(Get(name + ran).last_sequence(), 2);
    }
    EXPECT_EQ(Get(name + "ended").state(), v1::Build::STATE_SUCCEEDED);
  }
  EXPECT_EQ(Starts("ctx"), 2);
  EXPECT_EQ(List().size(), 12U);
  // Once more changes nothing.
  const std::vector<std::string> before = List();
  Start();
  EXPECT_EQ(List(), before);
  EXPECT_EQ(Get("builds/jrunning").failure().reason(), "CRASHED");
  EXPECT_EQ(Starts("ctx"), 2);
}

TEST_F(EngineTest, RecordsAreMadeAnewFromTheJournals) {
  Start();
  std::vector<std::string> builds;
  for (int i = 0; i < 5; ++i) {
    host_.Pass(absl::Seconds(1));
    builds.push_back(Run("ctx").SerializeAsString());
  }
  const std::vector<std::string> names = List();
  engine_.reset();
  // Corrupt, not merely gone.
  std::ofstream(folder_.Path("state/records.db"), std::ios::trunc)
      << std::string(10'000, 'x');
  std::filesystem::remove(folder_.Path("state/records.db-wal"));
  Start();
  EXPECT_EQ(List(), names);
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(Get(names[names.size() - 1 - i]).SerializeAsString(), builds[i]);
  }
  engine_.reset();
  for (const char* file : {"records.db", "records.db-wal", "records.db-shm"}) {
    std::filesystem::remove(folder_.Path(absl::StrCat("state/", file)));
  }
  Start();
  EXPECT_EQ(List(), names);
}

TEST_F(EngineTest, DamageToAnEndedBuildsJournalChangesNoState) {
  Start();
  const v1::Build build = Run("ctx");
  engine_.reset();
  const auto size = static_cast<std::int64_t>(
      std::filesystem::file_size(JournalOf(build.name())));
  for (std::int64_t byte = 0; byte < size; byte += 41) {
    Flip(JournalOf(build.name()), byte);
    Start();
    EXPECT_EQ(Get(build.name()).SerializeAsString(), build.SerializeAsString());
    absl::Status end;
    const std::vector<v1::BuildEvent> events = Events(build.name(), &end);
    if (events.empty() || !events.back().has_finished()) {
      EXPECT_THAT(end, StatusIs(absl::StatusCode::kDataLoss)) << byte;
    }
    engine_.reset();
    Flip(JournalOf(build.name()), byte);
  }
  // And undamaged it is whole.
  Start();
  EXPECT_TRUE(Events(build.name()).back().has_finished());
}

TEST_F(EngineTest, ADamagedQueuedBuildIsToldAndDoesNotStart) {
  SetAnswer("ctx", {});
  Leave("queued", "ctx", /*with_record=*/true, nullptr, {});
  Flip(JournalOf("builds/queued"), 50);
  Start();
  EXPECT_EQ(Get("builds/queued").state(), v1::Build::STATE_INTERRUPTED);
  EXPECT_EQ(Get("builds/queued").failure().reason(), "STORAGE");
  EXPECT_TRUE(Get("builds/queued").failure().retryable());
  EXPECT_EQ(Starts("ctx"), 0);
  EXPECT_EQ(Run("next").state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(EngineTest, ClearsAwayWhatWasHalfMadeAndHalfForgotten) {
  Start();
  const std::string half_forgotten = Run("ctx").name();
  engine_.reset();
  std::filesystem::remove_all(
      absl::StrCat(options_.state_dir, "/", half_forgotten));
  folder_.MakeDir("state/builds/halfmade/tmp");
  Start();
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_THAT(engine_->GetBuild(half_forgotten, kLocal),
              HasReason("BUILD_NOT_FOUND"));
  EXPECT_FALSE(HasFolder("builds/halfmade"));
}

TEST_F(EngineTest, WhatMayNotRunAnyMoreFails) {
  SetAnswer("ctx", {});
  Leave("untrusted", "ctx", true,
        [](BuildRecord& record) { record.set_trusted_caller(false); }, {});
  Leave("gone", "moved", true, nullptr, {});
  std::filesystem::remove_all(folder_.Path("moved"));
  Start();
  for (const char* name : {"builds/untrusted", "builds/gone"}) {
    EXPECT_EQ(Get(name).state(), v1::Build::STATE_FAILED);
    EXPECT_EQ(Get(name).failure().reason(), "SPAWN_FAILED");
    EXPECT_FALSE(Get(name).failure().retryable());
  }
  EXPECT_EQ(Starts("ctx"), 0);
}

// --- The drain --------------------------------------------------------------

TEST_F(EngineTest, DrainLeavesWhatWaitsAndSaysSo) {
  Hold("first");
  SetAnswer("second", {});
  options_.drain_timeout = absl::InfiniteDuration();
  Start();
  const std::string first = Create("first");
  v1::CreateBuildRequest request = Request("second");
  request.set_request_id("id");
  const std::string second = Create(request);
  absl::StatusOr<BuildWatch> watch = engine_->WatchBuild(second, 0, kLocal);
  ASSERT_THAT(watch, IsOk());
  runner_.AwaitStarts(CommandLine("first"), 1);
  std::thread shutdown([this] { engine_->Shutdown(); });
  ASSERT_TRUE(Eventually([&] {
    return absl::IsUnavailable(
        engine_->CreateBuild(Request("third"), kLocal).status());
  }));
  absl::Status end;
  ASSERT_TRUE(Eventually([&] {
    const auto entry = watch->journal->Read(watch->cursor);
    end = entry.status();
    return !end.ok();
  }));
  EXPECT_THAT(end, HasReason("DRAINING"));
  // It is there, and nobody can join, watch, cancel or delete it now.
  EXPECT_EQ(Get(second).state(), v1::Build::STATE_QUEUED);
  EXPECT_THAT(engine_->WatchBuild(second, 0, kLocal), HasReason("DRAINING"));
  EXPECT_THAT(engine_->CancelBuild(second, kLocal,
                                   [](const absl::StatusOr<v1::Build>&) {}),
              HasReason("DRAINING"));
  EXPECT_THAT(engine_->DeleteBuild(second, kLocal),
              HasReason("BUILD_NOT_ENDED"));
  v1::BuildRequest build_request;
  *build_request.mutable_spec() = request.spec();
  build_request.set_request_id("id");
  EXPECT_THAT(engine_->StartBuild(build_request, kLocal),
              HasReason("DRAINING"));
  // What runs can be followed and cancelled.
  EXPECT_THAT(engine_->WatchBuild(first, 0, kLocal), IsOk());
  Release("first");
  shutdown.join();
  EXPECT_EQ(Get(first).state(), v1::Build::STATE_SUCCEEDED);
  watch = absl::UnknownError("");
  Start();
  EXPECT_EQ(Await(second).state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(EngineTest, HastenedTheDrainWaitsNoMore) {
  Hold("ctx");
  options_.drain_timeout = absl::InfiniteDuration();
  Start();
  const std::string name = Create("ctx");
  runner_.AwaitStarts(CommandLine("ctx"), 1);
  std::thread shutdown([this] { engine_->Shutdown(); });
  engine_->HastenShutdown();
  shutdown.join();
  EXPECT_EQ(Get(name).state(), v1::Build::STATE_INTERRUPTED);
  EXPECT_EQ(Get(name).failure().reason(), "SHUTDOWN");
}

// Admissions, cancels and the drain at once: each build that was told of is
// there after the restart, ended or run, and none that was cancelled is run.
TEST_F(EngineTest, NothingSlipsThroughTheDrain) {
  SetAnswer("ctx", {});
  for (int round = 0; round < 5; ++round) {
    Hold("held");
    Start();
    Create("held");
    runner_.AwaitStarts(CommandLine("held"), round + 1);
    absl::Mutex mutex;
    std::vector<std::string> created;
    std::vector<std::string> cancelled;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&] {
        const v1::CreateBuildRequest request = Request("ctx");
        while (true) {
          const absl::StatusOr<v1::Build> build =
              engine_->CreateBuild(request, kLocal);
          if (!build.ok()) {
            EXPECT_THAT(build, HasReason("DRAINING"));
            return;
          }
          absl::MutexLock lock(&mutex);
          created.push_back(build->name());
          if (created.size() % 2 == 0) continue;
          const absl::Status begun = engine_->CancelBuild(
              build->name(), kLocal, [](const absl::StatusOr<v1::Build>&) {});
          if (begun.ok()) {
            cancelled.push_back(build->name());
          } else {
            EXPECT_THAT(begun, HasReason("DRAINING"));
          }
        }
      });
    }
    ASSERT_TRUE(Eventually([&] {
      absl::MutexLock lock(&mutex);
      return created.size() > 8;
    }));
    engine_->Shutdown();
    for (std::thread& thread : threads) thread.join();
    Start();
    for (const std::string& name : cancelled) {
      EXPECT_EQ(Get(name).state(), v1::Build::STATE_CANCELLED) << name;
      EXPECT_FALSE(Get(name).has_start_time());
    }
    for (const std::string& name : created) Await(name);
  }
}

// --- The store --------------------------------------------------------------

// Another program that locks the records keeps writers out.
class LockedStoreTest : public EngineTest {
 protected:
  void Lock() {
    ASSERT_EQ(sqlite3_open(folder_.Path("state/records.db").c_str(), &other_),
              SQLITE_OK);
    ASSERT_EQ(
        sqlite3_exec(other_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr),
        SQLITE_OK);
  }
  void Unlock() {
    sqlite3_close(other_);
    other_ = nullptr;
  }
  ~LockedStoreTest() override { Unlock(); }

  sqlite3* other_ = nullptr;
};

TEST_F(LockedStoreTest, ABuildEndsWithoutItsRecordAndIsRecordedLater) {
  Hold("ctx");
  Start();
  const std::string name = Create("ctx");
  runner_.AwaitStarts(CommandLine("ctx"), 1);
  ASSERT_TRUE(Eventually(
      [&] { return Get(name).state() == v1::Build::STATE_RUNNING; }));
  Lock();
  Release("ctx");
  // Its watchers and readers know of its end at once.
  EXPECT_EQ(Await(name).state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_TRUE(Events(name).back().has_finished());
  EXPECT_THAT(engine_->CreateBuild(Request("ctx"), kLocal),
              StatusIs(absl::StatusCode::kUnavailable));
  Unlock();
  EXPECT_TRUE(Eventually([&] {
    v1::ListBuildsRequest request;
    request.add_states(v1::Build::STATE_SUCCEEDED);
    const auto list = engine_->ListBuilds(request, kLocal);
    return list.ok() && list->builds_size() == 1;
  }));
  EXPECT_EQ(Run("ctx").state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_THAT(engine_->DeleteBuild(name, kLocal), IsOk());
}

TEST_F(LockedStoreTest, ABuildThatIsNotRecordedIsNotAdmitted) {
  Start();
  SetAnswer("ctx", {});
  Lock();
  EXPECT_THAT(engine_->CreateBuild(Request("ctx"), kLocal),
              StatusIs(absl::StatusCode::kUnavailable));
  Unlock();
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(folder_.Path("state/builds")));
  EXPECT_EQ(Run("ctx").state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(Starts("ctx"), 1);
}

TEST_F(EngineTest, AListThatTakesTooLongIsToldWithTheWayOut) {
  // Enough of them that the store looks at its clock.
  std::vector<BuildRecord> records;
  v1::ListBuildsRequest request;
  for (int i = 0; i < 200; ++i) {
    BuildRecord& record = records.emplace_back(
        test_support::MakeEndedRecord(i, absl::Seconds(1)));
    folder_.MakeDir("state/" + record.build().name());
    for (int k = 0; k < 100; ++k) {
      (*record.mutable_build()->mutable_annotations())[absl::StrCat(k)] = "x";
    }
    *request.mutable_annotations() = record.build().annotations();
  }
  ASSERT_THAT(OpenStore()->InsertAll(records), IsOk());
  options_.retain_age = absl::InfiniteDuration();
  Start();
  EXPECT_EQ(engine_->ListBuilds(request, kLocal)->builds_size(), 50);

  host_.uptime_step = absl::ToInt64Microseconds(2 * limits::kMaxListTime);
  const absl::Status refused = engine_->ListBuilds(request, kLocal).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted,
                                AllOf(HasSubstr("these 100 take"),
                                      HasSubstr("create_time_from"))));
  EXPECT_THAT(refused, HasReason("TOO_LARGE"));
  EXPECT_THAT(std::string(*refused.GetPayload(
                  "type.googleapis.com/google.rpc.BadRequest")),
              HasSubstr("annotations"));
  // Without, it is nothing that was asked for.
  request.clear_annotations();
  request.set_page_size(1000);
  EXPECT_THAT(engine_->ListBuilds(request, kLocal), HasReason("STORAGE"));
  host_.uptime_step = 0;
  EXPECT_EQ(engine_->ListBuilds(request, kLocal)->builds_size(), 200);
}

// --- The disk ---------------------------------------------------------------

TEST_F(EngineTest, NothingIsAdmittedBelowTheFloor) {
  options_.min_free_bytes = 1'000;
  Start();
  host_.free_bytes = 999;
  host_.Pass(absl::Seconds(1));
  const absl::StatusOr<v1::Build> refused =
      engine_->CreateBuild(Request("ctx"), kLocal);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(refused, HasReason("NO_SPACE"));
  EXPECT_THAT(List(), IsEmpty());
  host_.free_bytes = 1'000;
  host_.Pass(absl::Seconds(1));
  EXPECT_EQ(Run("ctx").state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(EngineTest, WhatPrintsBelowTheFloorIsEndedAndOthersGoOn) {
  options_.min_free_bytes = 1'000;
  options_.max_log_bytes = std::int64_t{1} << 30;
  options_.max_running_builds = 2;
  Start();
  const std::string megabyte(1024 * 1024, 'x');
  SetAnswer("loud", {.stdout_data = megabyte, .stderr_data = "more"});
  runner_.Hold(CommandLine("loud"));
  SetAnswer("calm", {.stdout_data = "done"});
  runner_.Hold(CommandLine("calm"));
  const std::string loud = Create("loud");
  const std::string calm = Create("calm");
  runner_.AwaitStarts(CommandLine("loud"), 1);
  runner_.AwaitStarts(CommandLine("calm"), 1);
  host_.free_bytes = 0;
  host_.Pass(absl::Seconds(1));
  Release("loud");
  const v1::Build ended = Await(loud);
  EXPECT_EQ(ended.state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(ended.failure().reason(), "NO_SPACE");
  EXPECT_TRUE(ended.failure().retryable());
  EXPECT_EQ(ended.stdout_bytes(), static_cast<std::int64_t>(megabyte.size()));
  EXPECT_EQ(ended.stderr_bytes(), 0);
  EXPECT_TRUE(Events(loud).back().has_finished());
  Release("calm");
  EXPECT_EQ(Await(calm).state(), v1::Build::STATE_SUCCEEDED);
}

// --- Retention --------------------------------------------------------------

TEST_F(EngineTest, ForgetsTheOldestOfTooMany) {
  options_.retain_builds = 2;
  Start();
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) {
    names.push_back(Run("ctx").name());
    host_.Pass(absl::Seconds(1));
  }
  EXPECT_TRUE(Eventually([&] { return List().size() == 2; }));
  EXPECT_THAT(List(), ElementsAre(names[4], names[3]));
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(engine_->GetBuild(names[i], kLocal),
                HasReason("BUILD_NOT_FOUND"));
    EXPECT_FALSE(HasFolder(names[i]));
  }
}

TEST_F(EngineTest, ForgetsByBytes) {
  Start();
  const std::string first = Run("ctx").name();
  host_.Pass(absl::Seconds(1));
  const auto size =
      static_cast<std::int64_t>(std::filesystem::file_size(JournalOf(first)));
  const std::string second = Run("ctx").name();
  options_.retain_bytes = 2 * size - 1;
  Start();
  EXPECT_TRUE(Eventually([&] { return List().size() == 1; }));
  EXPECT_THAT(List(), ElementsAre(second));
}

// Who builds the most does not take away what others built.
TEST_F(EngineTest, ForgetsOfWhoHasTheMost) {
  const auto run = [&](const Caller& caller) {
    SetAnswer("ctx", {.stdout_data = "out"});
    const absl::StatusOr<v1::Build> build =
        engine_->CreateBuild(Request("ctx"), caller);
    EXPECT_THAT(build, IsOk());
    const std::string name = build.ok() ? build->name() : "";
    Await(name);
    host_.Pass(absl::Seconds(1));
    return name;
  };
  Caller other = kLocal;
  other.name = "other";
  Start();
  const std::string old = run(other);
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) names.push_back(run(kLocal));
  options_.retain_builds = 3;
  Start();
  EXPECT_TRUE(Eventually([&] { return List().size() == 3; }));
  EXPECT_THAT(List(), ElementsAre(names[4], names[3], old));
}

TEST_F(EngineTest, ForgetsByAgeAndNeverWhatRuns) {
  options_.max_running_builds = 2;
  Start();
  Hold("running");
  const std::string running = Create("running");
  const std::string old = Run("ctx").name();
  host_.Pass(absl::Hours(23));
  const std::string young = Run("ctx").name();
  host_.Pass(absl::Hours(2));
  EXPECT_TRUE(Eventually([&] { return List().size() == 2; }));
  EXPECT_THAT(List(), ElementsAre(young, running));
  EXPECT_FALSE(HasFolder(old));
  EXPECT_EQ(Get(running).state(), v1::Build::STATE_RUNNING);
}

TEST_F(EngineTest, AWallClockThatJumpsMakesNoBuildOld) {
  Start();
  const std::string name = Run("ctx").name();
  for (const absl::Duration jump :
       {absl::Hours(24 * 365), -absl::Hours(2 * 24 * 365), absl::Hours(1),
        absl::Hours(24 * 365)}) {
    host_.Set(jump);
    // The second has seen the new time, and is through when the third begins.
    const int sweeps = host_.uptime_calls;
    ASSERT_TRUE(Eventually([&] { return host_.uptime_calls >= sweeps + 3; }));
    EXPECT_THAT(List(), ElementsAre(name));
  }
  // What really passes counts, once the clock is right again.
  host_.Set(-absl::Hours(1));
  host_.Pass(absl::Hours(25));
  EXPECT_TRUE(Eventually([&] { return List().empty(); }));
}

TEST_F(EngineTest, ForgetsAtMostSoManyAtOnce) {
  constexpr int kMore = 5;
  Start();  // makes the folder
  engine_.reset();
  {
    auto store = OpenStore();
    std::vector<BuildRecord> records;
    for (int i = 0; i < limits::kMaxForgottenAtOnce + kMore; ++i) {
      BuildRecord record;
      v1::Build& build = *record.mutable_build();
      build.set_name(absl::StrCat("builds/b", 10'000 + i));
      build.set_state(v1::Build::STATE_SUCCEEDED);
      build.set_requester("local");
      build.mutable_create_time()->set_seconds(i);
      build.mutable_finish_time()->set_seconds(i);
      folder_.MakeDir(absl::StrCat("state/", build.name()));
      records.push_back(std::move(record));
    }
    ASSERT_THAT(store->InsertAll(records), IsOk());
  }
  options_.retain_builds = 0;
  options_.retention_interval = absl::Hours(1);
  Start();
  // Some thousand syncs.
  const auto is_forgotten = [&] { return List().size() == kMore; };
  EXPECT_TRUE(Eventually(is_forgotten) || Eventually(is_forgotten) ||
              Eventually(is_forgotten));
  options_.retention_interval = absl::Milliseconds(1);
  Start();
  EXPECT_TRUE(Eventually([&] { return List().empty(); }));
}

TEST_F(EngineTest, AWatcherOfAForgottenBuildReadsOn) {
  Start();
  const v1::Build build = Run("ctx");
  absl::StatusOr<BuildWatch> watch =
      engine_->WatchBuild(build.name(), 0, kLocal);
  ASSERT_THAT(watch, IsOk());
  ASSERT_THAT(engine_->DeleteBuild(build.name(), kLocal), IsOk());
  EXPECT_FALSE(HasFolder(build.name()));
  std::int64_t last = 0;
  while (true) {
    const auto entry = watch->journal->Read(watch->cursor);
    ASSERT_THAT(entry, IsOk());
    if (!entry->has_value()) break;
    last = (*entry)->sequence;
  }
  EXPECT_EQ(last, build.last_sequence());
}

}  // namespace
}  // namespace containerbuilder::service
