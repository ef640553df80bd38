// Builds from the client library through the real server to fake_nerdctl.

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "support/fake_bytes.h"
#include "support/processes.h"
#include "support/status_matchers.h"
#include "support/test_server.h"

namespace containerbuilder {
namespace {

using ::containerbuilder::test_support::BuildLog;
using ::containerbuilder::test_support::Collect;
using ::containerbuilder::test_support::FakeBytes;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::ReadAll;
using ::containerbuilder::test_support::ReadFile;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TestServer;
using ::testing::ElementsAre;

v1::Option ListOption(const std::string& name,
                      const std::vector<std::string>& values) {
  v1::Option option;
  option.set_name(name);
  for (const std::string& value : values) {
    option.mutable_value()->mutable_values()->add_values(value);
  }
  return option;
}

TEST(BuildTest, TellsItsLifeFromStartedToFinished) {
  TestServer server;
  const BuildLog log = ReadAll(server.LocalClient().Build(
      server.Request("ctx", "stdout out\\n\nstderr err\\n\n")));
  EXPECT_THAT(log.status, IsOk());
  ASSERT_GE(log.events.size(), 4U);
  EXPECT_TRUE(log.events.front().has_started());
  EXPECT_GT(log.events.front().started().pid(), 1);
  EXPECT_EQ(log.events.front().started().nerdctl_version(), "1.7.7");
  EXPECT_EQ(log.stdout_data, "out\n");
  EXPECT_EQ(log.stderr_data, "err\n");
  ASSERT_TRUE(log.events.back().has_finished());
  EXPECT_THAT(log.build().name(), testing::StartsWith("builds/"));
  EXPECT_EQ(log.build().state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(log.build().requester(), "local");
  EXPECT_FALSE(log.build().has_failure());
  EXPECT_TRUE(log.build().has_start_time());
  EXPECT_TRUE(log.build().has_finish_time());
}

TEST(BuildTest, RelaysBothStreamsByteForByte) {
  constexpr std::size_t kBytes = 8 * 1024 * 1024;
  TestServer server;
  const BuildLog log = ReadAll(server.LocalClient().Build(
      server.Request("ctx", absl::StrCat("flood ", kBytes, " 7\n"))));
  EXPECT_THAT(log.status, IsOk());
  // Not EXPECT_EQ: it would print them.
  EXPECT_TRUE(log.stdout_data == FakeBytes(kBytes, 7));
  EXPECT_TRUE(log.stderr_data == FakeBytes(kBytes, 8));
}

TEST(BuildTest, DoesNotWaitForMore) {
  TestServer server;
  const std::string go = server.folder().Path("go");
  BuildLog log;
  client::BuildStream stream = server.LocalClient().Build(server.Request(
      "ctx", absl::StrCat("stdout a\nwait-file ", go, "\nstdout b\n")));
  for (const absl::StatusOr<v1::BuildEvent>& event : stream) {
    ASSERT_THAT(event, IsOk());
    Collect(*event, log);
    // The build goes on only once its first byte, no line even, is here.
    if (log.stdout_data == "a") std::ofstream(go) << "";
  }
  EXPECT_EQ(log.stdout_data, "ab");
}

TEST(BuildTest, RunsExactlyWhatConstructArgsAnswers) {
  TestServer server;
  client::Client client = server.LocalClient();
  const std::string dump = server.folder().Path("args");
  v1::BuildRequest request =
      server.Request("ctx", absl::StrCat("dump-args ", dump, "\n"));
  v1::BuildOptions& options = *request.mutable_spec()->mutable_options();
  v1::Pair& pair = *options.mutable_build_arg()->mutable_pairs()->add_pairs();
  pair.set_key("KEY");
  pair.set_value("a b\n'\"$(x)é");
  options.mutable_cache_from()->mutable_values()->add_values(
      "type=registry,ref=r/c,token=hush");
  *options.add_options() = ListOption("tag", {"t:1", "--rm"});
  v1::Option& no_cache = *options.add_options();
  no_cache.set_name("no_cache");
  no_cache.mutable_value()->set_flag(true);

  const absl::StatusOr<v1::ConstructArgsResponse> args =
      client.ConstructArgs(options);
  ASSERT_THAT(args, IsOk());
  const BuildLog log = ReadAll(client.Build(request));
  ASSERT_THAT(log.status, IsOk());

  std::vector<std::string> ran =
      absl::StrSplit(ReadFile(dump), absl::ByChar('\0'));
  ran.pop_back();  // behind the last NUL
  ASSERT_GT(ran.size(), 2U);
  EXPECT_EQ(ran[0], FAKE_NERDCTL);
  EXPECT_EQ(ran[1], "build");
  EXPECT_THAT(std::vector<std::string>(ran.begin() + 2, ran.end()),
              testing::ElementsAreArray(args->args()));

  // What is shown is the same, secrets masked.
  std::vector<std::string> shown(log.events[0].started().argv().begin(),
                                 log.events[0].started().argv().end());
  for (std::string& argument : ran) {
    const std::size_t at = argument.find("token=hush");
    if (at != std::string::npos) argument.replace(at + 6, 4, "***");
  }
  EXPECT_EQ(shown, ran);
  EXPECT_THAT(log.build().DebugString(),
              testing::Not(testing::HasSubstr("hush")));
}

TEST(BuildTest, GivesTheChildAMinimalEnvironment) {
  setenv("CONTAINERBUILDER_TEST_CANARY", "1", 1);
  TestServer server([](service::ServerOptions& options) {
    options.containerd_address = "/c.sock";
    options.containerd_namespace = "k8s.io";
    options.buildkit_host = "unix:///b.sock";
    options.snapshotter = "native";
  });
  const std::string dump = server.folder().Path("env");
  v1::BuildRequest request =
      server.Request("ctx", absl::StrCat("dump-env ", dump, "\n"));
  (*request.mutable_spec()->mutable_environment())["SOURCE_DATE_EPOCH"] = "0";
  const BuildLog log = ReadAll(server.LocalClient().Build(request));
  unsetenv("CONTAINERBUILDER_TEST_CANARY");
  ASSERT_THAT(log.status, IsOk());
  std::vector<std::string> names;
  for (const std::string& entry : std::vector<std::string>(absl::StrSplit(
           ReadFile(dump), absl::ByChar('\0'), absl::SkipEmpty()))) {
    const std::string name = entry.substr(0, entry.find('='));
    if (name != "XDG_RUNTIME_DIR") names.push_back(name);
    if (name == "CONTAINER_BUILDER_BUILD") {
      EXPECT_EQ(entry, absl::StrCat(name, "=", log.build().name()));
    }
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre(
                         "PATH", "HOME", "TMPDIR", "BUILDKIT_HOST",
                         "CONTAINERD_ADDRESS", "CONTAINERD_NAMESPACE",
                         "CONTAINERD_SNAPSHOTTER", "CONTAINER_BUILDER_BUILD",
                         "SOURCE_DATE_EPOCH", "BUILDKIT_NO_CLIENT_TOKEN"));
}

TEST(BuildTest, RunsInTheContextWithNothingInherited) {
  TestServer server;
  const std::string dump = server.folder().Path("state.txt");
  const BuildLog log = ReadAll(server.LocalClient().Build(
      server.Request("ctx", absl::StrCat("dump-state ", dump, "\n"))));
  ASSERT_THAT(log.status, IsOk());
  const std::string state = ReadFile(dump);
  const std::string pid = absl::StrCat(log.events[0].started().pid(), "\n");
  EXPECT_THAT(state, testing::HasSubstr(absl::StrCat(
                         "cwd ", server.folder().Path("ctx"), "\n")));
  EXPECT_THAT(state, testing::HasSubstr("fd 0 /dev/null\n"));
  EXPECT_THAT(state, testing::HasSubstr(absl::StrCat("pgid ", pid)));
  EXPECT_THAT(state, testing::HasSubstr(absl::StrCat("sid ", pid)));
  EXPECT_THAT(state, testing::Not(testing::HasSubstr("fd 3 ")));
}

TEST(BuildTest, FailureIsDataWithNerdctlsCode) {
  TestServer server;
  const BuildLog log = ReadAll(server.LocalClient().Build(server.Request(
      "ctx",
      "stderr #1 [1/1] RUN make\\n#1 ERROR: process \"make\" did not complete "
      "successfully: exit code: 3\\nerror: failed to solve: process\\n\n"
      "exit 9\n")));
  EXPECT_THAT(log.status, StatusIs(absl::StatusCode::kAborted));
  const v1::Build& build = log.build();
  EXPECT_EQ(build.state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(build.exit_code(), 9);
  EXPECT_EQ(build.failure().reason(), "STEP_FAILED");
  EXPECT_EQ(build.failure().step(), "[1/1] RUN make");
  EXPECT_EQ(build.failure().step_exit_code(), 3);
  EXPECT_EQ(build.failure().log_tail(), log.stderr_data);
}

TEST(BuildTest, ASignalIsTold) {
  TestServer server;
  const BuildLog log =
      ReadAll(server.LocalClient().Build(server.Request("ctx", "signal 9\n")));
  EXPECT_EQ(log.build().state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(log.build().term_signal(), 9);
  EXPECT_EQ(log.build().failure().reason(), "KILLED");
}

TEST(BuildTest, TimeoutStopsIt) {
  TestServer server;
  v1::BuildRequest request = server.Request("ctx", "sleep 600\n");
  request.mutable_policy()->mutable_timeout()->set_nanos(200'000'000);
  const BuildLog log = ReadAll(server.LocalClient().Build(request));
  EXPECT_THAT(log.status, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(log.build().state(), v1::Build::STATE_TIMED_OUT);
  EXPECT_EQ(log.build().failure().reason(), "TIMED_OUT");
}

TEST(BuildTest, HeartbeatsWhileNothingHappens) {
  TestServer server([](service::ServerOptions& options) {
    options.heartbeat_interval = absl::Milliseconds(20);
  });
  const std::string go = server.folder().Path("go");
  BuildLog log;
  int heartbeats = 0;
  client::BuildStream stream = server.LocalClient().Build(
      server.Request("ctx", absl::StrCat("wait-file ", go, "\nstdout b\n")));
  for (const absl::StatusOr<v1::BuildEvent>& event : stream) {
    ASSERT_THAT(event, IsOk());
    Collect(*event, log);
    if (event->has_heartbeat() && ++heartbeats == 3) std::ofstream(go) << "";
  }
  EXPECT_GE(heartbeats, 3);
  EXPECT_EQ(log.stdout_data, "b");
  EXPECT_EQ(log.build().state(), v1::Build::STATE_SUCCEEDED);
}

TEST(BuildTest, FiftyAtOnceKeepApart) {
  constexpr int kBuilds = 50;
  constexpr std::size_t kBytes = 300'000;
  TestServer server;
  std::vector<std::thread> threads;
  std::vector<BuildLog> logs(kBuilds);
  for (int i = 0; i < kBuilds; ++i) {
    threads.emplace_back([&server, &log = logs[i], i] {
      log = ReadAll(server.LocalClient().Build(server.Request(
          absl::StrCat("ctx", i),
          absl::StrCat("flood ", kBytes, " ", i * 2 + 1, "\nexit ", i, "\n"))));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kBuilds; ++i) {
    ASSERT_FALSE(logs[i].events.empty()) << logs[i].status;
    ASSERT_TRUE(logs[i].events.back().has_finished()) << logs[i].status;
    EXPECT_EQ(logs[i].build().exit_code(), i);
    EXPECT_TRUE(logs[i].stdout_data == FakeBytes(kBytes, i * 2 + 1)) << i;
    EXPECT_TRUE(logs[i].stderr_data == FakeBytes(kBytes, i * 2 + 2)) << i;
  }
  // What they left in TMPDIR is gone, and their journals stay.
  for (const auto& build : std::filesystem::directory_iterator(
           server.folder().Path("state/builds"))) {
    EXPECT_TRUE(std::filesystem::exists(build.path() / "journal"));
    EXPECT_FALSE(std::filesystem::exists(build.path() / "tmp"));
  }
}

}  // namespace
}  // namespace containerbuilder
