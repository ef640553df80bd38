#include "build/health.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/fake_process_runner.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using test_support::FakeProcessRunner;
using test_support::TempDir;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using v1::HealthCheck;
using v1::HealthResponse;

constexpr char kVersion[] = "nerdctl --version";
constexpr char kHelp[] = "nerdctl build --help";
constexpr char kServer[] = "nerdctl version";
constexpr char kBuildctl[] = "buildctl --version";

// As nerdctl 1.7.7 with Debian's containerd prints it.
constexpr char kServerOutput[] =
    "Client:\n"
    " Version:\t1.7.7\n"
    " OS/Arch:\tlinux/amd64\n"
    " Git commit:\t<unknown>\n"
    " buildctl:\n"
    "  Version:\tv0.34.2\n"
    "\n"
    "Server:\n"
    " containerd:\n"
    "  Version:\t1.6.20~ds1\n"
    "  GitCommit:\t1.6.20~ds1-1+deb12u3\n"
    " runc:\n"
    "  Version:\t1.1.5+ds1\n"
    "  GitCommit:\t1.1.5+ds1-1+deb12u1\n";

// As BuildKit 0.34.2 prints it with -v, shortened.
constexpr char kWorkersOutput[] =
    "ID:\t\t1x6sgoe0gixct4ip4wp8a8bu3\n"
    "Platforms:\tlinux/amd64,linux/386\n"
    "BuildKit:\tgithub.com/moby/buildkit v0.35.0 \n"
    "Dockerfile:\t1.28.0\n"
    "Labels:\n"
    "\torg.mobyproject.buildkit.worker.executor:\t\tcontainerd\n";

MATCHER_P(IsState, state, HealthCheck::State_Name(state)) {
  *result_listener << arg.ShortDebugString();
  return arg.state() == state;
}
MATCHER_P(Message, matcher, "") {
  return testing::ExplainMatchResult(matcher, arg.message(), result_listener);
}
MATCHER_P(Hint, matcher, "") {
  return testing::ExplainMatchResult(matcher, arg.hint(), result_listener);
}

// A healthy Linux machine, from which each test takes something away.
class HealthTest : public testing::Test {
 protected:
  HealthTest() {
    environment_["PATH"] = folder_.MakeDir("bin");
    for (const char* name : {"nerdctl", "buildctl", "buildkitd"}) Install(name);
    options_.buildkit_host = "unix:///b.sock";
    runner_.Set(kVersion, {.stdout_data = "nerdctl version 1.7.7\n"});
    runner_.Set(kHelp, {.stdout_data = "  -t, --tag stringArray   Name\n"});
    runner_.Set(kServer, {.stdout_data = kServerOutput});
    runner_.Set(
        kBuildctl,
        {.stdout_data = "buildctl github.com/moby/buildkit v0.34.2 \n"});
    runner_.Set(Workers("unix:///b.sock"), {.stdout_data = kWorkersOutput});
  }

  static std::string Workers(const std::string& host) {
    return absl::StrCat("buildctl --addr ", host, " debug workers -v");
  }

  void Install(const std::string& name) {
    folder_.WriteFile("bin/" + name, "", 0755);
  }
  void Remove(const std::string& name) {
    std::filesystem::remove(folder_.Path("bin/" + name));
  }

  HealthChecker& Make() {
    Host host;
    host.platform = platform_;
    host.getenv =
        [this](const std::string& name) -> std::optional<std::string> {
      const auto variable = environment_.find(name);
      if (variable == environment_.end()) return std::nullopt;
      return variable->second;
    };
    host.working_folder = folder_.path();
    host.now = [this] {
      ++clock_reads_;
      return absl::UnixEpoch() + absl::Seconds(seconds_.load());
    };
    host.user = user_;
    host.free_disk = [this](const std::string&) { return free_disk_; };
    toolchain_.emplace(options_, host, &runner_);
    checker_.emplace(
        &*toolchain_, folder_.path(), min_free_bytes_,
        [this] { return state_folder_; }, [this] { return queue_; });
    return *checker_;
  }

  HealthResponse Check() { return Make().Check(absl::ZeroDuration()); }

  // A row of a look of now.
  HealthCheck Row(const std::string& name) { return RowOf(Check(), name); }

  static HealthCheck RowOf(const HealthResponse& response,
                           const std::string& name) {
    for (const HealthCheck& check : response.checks()) {
      if (check.name() == name) return check;
    }
    ADD_FAILURE() << "no row " << name;
    return {};
  }

  const TempDir folder_;
  ToolchainOptions options_;
  std::map<std::string, std::string> environment_;
  Platform platform_ = Platform::kLinux;
  uid_t user_ = 0;
  absl::StatusOr<std::uint64_t> free_disk_ = std::uint64_t{10} << 30;
  std::int64_t min_free_bytes_ = std::int64_t{512} << 20;
  absl::Status state_folder_;
  service::QueueState queue_;
  std::atomic<int> seconds_ = 1000;
  std::atomic<int> clock_reads_ = 0;
  FakeProcessRunner runner_;

 private:
  std::optional<Toolchain> toolchain_;
  std::optional<HealthChecker> checker_;
};

std::vector<std::string> Names(const HealthResponse& response) {
  std::vector<std::string> names;
  for (const HealthCheck& check : response.checks()) {
    names.push_back(check.name());
  }
  return names;
}

TEST_F(HealthTest, IsHealthy) {
  const HealthResponse response = Check();
  EXPECT_EQ(response.state(), HealthResponse::STATE_HEALTHY);
  EXPECT_THAT(Names(response),
              ElementsAre("platform", "docker_buildkit", "nerdctl", "buildkit",
                          "buildkitd", "containerd", "disk", "queue"));
  for (const HealthCheck& check : response.checks()) {
    EXPECT_THAT(check, IsState(HealthCheck::STATE_OK));
    EXPECT_THAT(check, Message(Not(IsEmpty())));
    EXPECT_THAT(check, Hint(IsEmpty()));
  }
  EXPECT_EQ(response.nerdctl_path(), folder_.Path("bin/nerdctl"));
  EXPECT_EQ(response.nerdctl_version(), "1.7.7");
  EXPECT_EQ(response.buildkit_version(), "0.35.0");
  EXPECT_EQ(response.containerd_version(), "1.6.20~ds1");
  EXPECT_TRUE(response.buildkit_support());
  EXPECT_EQ(response.check_time().seconds(), 1000);
}

TEST_F(HealthTest, AsksInTheEnvironmentOfBuilds) {
  options_.containerd_address = "/c.sock";
  environment_["HOME"] = "/root";
  environment_["SECRET"] = "x";
  Check();
  ASSERT_EQ(runner_.commands().size(), 5u);
  for (const Command& command : runner_.commands()) {
    EXPECT_THAT(command.environment,
                ElementsAre("BUILDKIT_HOST=unix:///b.sock",
                            "CONTAINERD_ADDRESS=/c.sock", "HOME=/root",
                            "PATH=" + folder_.Path("bin")));
  }
}

// --- platform ---

TEST_F(HealthTest, RefusesWindows) {
  platform_ = Platform::kWindows;
  environment_["DOCKER_BUILDKIT"] = "1";
  const HealthResponse response = Check();
  EXPECT_EQ(response.state(), HealthResponse::STATE_UNHEALTHY);
  EXPECT_THAT(Names(response),
              ElementsAre("platform", "docker_buildkit", "nerdctl", "buildkit",
                          "buildkitd", "containerd", "disk", "queue"));
  EXPECT_THAT(RowOf(response, "platform"),
              AllOf(IsState(HealthCheck::STATE_FAILED),
                    Message(HasSubstr("not supported on Windows")),
                    Hint(HasSubstr("Linux"))));
  for (const char* name :
       {"docker_buildkit", "nerdctl", "buildkit", "buildkitd", "containerd"}) {
    EXPECT_THAT(RowOf(response, name),
                AllOf(IsState(HealthCheck::STATE_SKIPPED),
                      Message(HasSubstr("Windows"))));
  }
  EXPECT_THAT(RowOf(response, "disk"), IsState(HealthCheck::STATE_OK));
  EXPECT_THAT(runner_.commands(), IsEmpty());
  EXPECT_EQ(response.nerdctl_path(), "");
  EXPECT_TRUE(response.buildkit_support());
}

TEST_F(HealthTest, TakesOtherPlatforms) {
  for (const Platform platform :
       {Platform::kLinux, Platform::kMacOs, Platform::kOther}) {
    platform_ = platform;
    EXPECT_THAT(Row("platform"), IsState(HealthCheck::STATE_OK));
  }
}

// --- docker_buildkit ---

TEST_F(HealthTest, WarnsOfDockerBuildkit) {
  for (const char* value : {"1", "0", "no"}) {
    environment_["DOCKER_BUILDKIT"] = value;
    const HealthResponse response = Check();
    EXPECT_EQ(response.state(), HealthResponse::STATE_DEGRADED);
    EXPECT_THAT(RowOf(response, "docker_buildkit"),
                AllOf(IsState(HealthCheck::STATE_WARNING),
                      Message(HasSubstr("no effect with nerdctl")),
                      Hint(HasSubstr("Unset DOCKER_BUILDKIT"))));
  }
}

TEST_F(HealthTest, IgnoresAnEmptyDockerBuildkit) {
  environment_["DOCKER_BUILDKIT"] = "";
  EXPECT_EQ(Check().state(), HealthResponse::STATE_HEALTHY);
}

// --- nerdctl ---

TEST_F(HealthTest, MissesNerdctl) {
  Remove("nerdctl");
  const HealthResponse response = Check();
  EXPECT_EQ(response.state(), HealthResponse::STATE_UNHEALTHY);
  EXPECT_THAT(RowOf(response, "nerdctl"),
              AllOf(IsState(HealthCheck::STATE_FAILED),
                    Message(AllOf(HasSubstr("nerdctl was not found"),
                                  HasSubstr(folder_.Path("bin")),
                                  Not(HasSubstr("http")))),
                    Hint(EndsWith("https://github.com/containerd/nerdctl/"
                                  "blob/main/docs/build.md"))));
  EXPECT_THAT(RowOf(response, "containerd"),
              AllOf(IsState(HealthCheck::STATE_SKIPPED),
                    Message(HasSubstr("without nerdctl"))));
  // What does not need nerdctl is asked all the same.
  EXPECT_THAT(RowOf(response, "buildkit"), IsState(HealthCheck::STATE_OK));
  EXPECT_THAT(RowOf(response, "buildkitd"), IsState(HealthCheck::STATE_OK));
  EXPECT_EQ(response.nerdctl_path(), "");
  EXPECT_EQ(response.nerdctl_version(), "");
}

TEST_F(HealthTest, PointsToLimaOnMacOs) {
  platform_ = Platform::kMacOs;
  Remove("nerdctl");
  EXPECT_THAT(Row("nerdctl"),
              AllOf(IsState(HealthCheck::STATE_FAILED),
                    Hint(HasSubstr("https://github.com/lima-vm/lima"))));
}

TEST_F(HealthTest, ChecksTheNamedNerdctl) {
  options_.nerdctl = folder_.WriteFile("plain", "", 0644);
  EXPECT_THAT(Row("nerdctl"), AllOf(IsState(HealthCheck::STATE_FAILED),
                                    Message(HasSubstr(options_.nerdctl))));
  options_.nerdctl = folder_.WriteFile("named/nerdctl", "", 0755);
  const HealthResponse response = Check();
  EXPECT_EQ(response.state(), HealthResponse::STATE_HEALTHY);
  EXPECT_EQ(response.nerdctl_path(), options_.nerdctl);
}

TEST_F(HealthTest, ReportsNerdctlThatCannotBeRun) {
  runner_.Set(kVersion,
              {.stderr_data = "no libfoo.so\n", .status = {.exit_code = 127}});
  const HealthResponse response = Check();
  EXPECT_THAT(RowOf(response, "nerdctl"),
              AllOf(IsState(HealthCheck::STATE_FAILED),
                    Message(HasSubstr("exited with 127: no libfoo.so"))));
  EXPECT_EQ(response.nerdctl_path(), folder_.Path("bin/nerdctl"));
  EXPECT_EQ(response.nerdctl_version(), "");
}

TEST_F(HealthTest, WarnsOfNerdctlThatListsNoFlags) {
  runner_.Set(kHelp, {.stdout_data = "?\n"});
  const HealthResponse response = Check();
  EXPECT_EQ(response.state(), HealthResponse::STATE_DEGRADED);
  EXPECT_THAT(
      RowOf(response, "nerdctl"),
      AllOf(IsState(HealthCheck::STATE_WARNING),
            Message(HasSubstr("lists no flags")), Hint(Not(IsEmpty()))));
  EXPECT_EQ(response.nerdctl_version(), "1.7.7");
}

TEST_F(HealthTest, TakesNerdctlOfAnUnknownVersion) {
  runner_.Set(kVersion, {.stdout_data = "nerdctl version <unknown>\n"});
  const HealthResponse response = Check();
  EXPECT_THAT(RowOf(response, "nerdctl"),
              AllOf(IsState(HealthCheck::STATE_OK),
                    Message(HasSubstr("unknown version"))));
  EXPECT_EQ(response.nerdctl_version(), "");
}

// --- buildkit ---

TEST_F(HealthTest, TakesBuildkitdOnPath) {
  options_.buildkit_host = "";
  EXPECT_THAT(Row("buildkit"),
              AllOf(IsState(HealthCheck::STATE_OK),
                    Message(HasSubstr(folder_.Path("bin/buildkitd")))));
}

TEST_F(HealthTest, TakesBuildkitHostOfTheSettings) {
  Remove("buildkitd");
  EXPECT_THAT(Row("buildkit"),
              AllOf(IsState(HealthCheck::STATE_OK),
                    Message(HasSubstr("BUILDKIT_HOST=unix:///b.sock"))));
}

TEST_F(HealthTest, TakesBuildkitHostOfTheEnvironment) {
  Remove("buildkitd");
  options_.buildkit_host = "";
  environment_["BUILDKIT_HOST"] = "unix:///b.sock";
  EXPECT_EQ(Check().state(), HealthResponse::STATE_HEALTHY);
}

TEST_F(HealthTest, MissesBuildkit) {
  Remove("buildkitd");
  options_.buildkit_host = "";
  environment_["BUILDKIT_HOST"] = "";
  const HealthResponse response = Check();
  EXPECT_EQ(response.state(), HealthResponse::STATE_UNHEALTHY);
  EXPECT_THAT(
      RowOf(response, "buildkit"),
      AllOf(IsState(HealthCheck::STATE_FAILED),
            Message(AllOf(HasSubstr("buildkitd"), HasSubstr("BUILDKIT_HOST"))),
            Hint(AllOf(Not(HasSubstr("run -d")), HasSubstr("docs/build.md")))));
}

TEST_F(HealthTest, ShowsHowToRunBuildkitdByPodman) {
  Remove("buildkitd");
  options_.buildkit_host = "";
  Install("podman");
  EXPECT_EQ(
      Row("buildkit").hint(),
      absl::StrCat("To run a portable buildkitd (via container), do the "
                   "following in a terminal:\n    ",
                   folder_.Path("bin/podman"),
                   " run -d --name buildkitd --privileged "
                   "moby/buildkit:master\n"
                   "    export BUILDKIT_HOST=podman-container://buildkitd\n"
                   "Then start the service again from there."));
}

TEST_F(HealthTest, PrefersDockerToPodman) {
  Remove("buildkitd");
  options_.buildkit_host = "";
  Install("podman");
  Install("docker");
  EXPECT_THAT(
      Row("buildkit"),
      Hint(AllOf(HasSubstr(folder_.Path("bin/docker") +
                           " run -d --name "
                           "buildkitd --privileged moby/buildkit:master"),
                 HasSubstr("BUILDKIT_HOST=docker-container://buildkitd"))));
}

TEST_F(HealthTest, MissesBuildctl) {
  Remove("buildctl");
  const HealthResponse response = Check();
  EXPECT_EQ(response.state(), HealthResponse::STATE_UNHEALTHY);
  EXPECT_THAT(
      RowOf(response, "buildkit"),
      AllOf(IsState(HealthCheck::STATE_FAILED), Message(HasSubstr("buildctl")),
            Hint(HasSubstr("https://github.com/moby/buildkit"))));
  EXPECT_THAT(RowOf(response, "buildkitd"),
              AllOf(IsState(HealthCheck::STATE_SKIPPED),
                    Message(HasSubstr("without buildctl"))));
  EXPECT_EQ(response.buildkit_version(), "");
}

TEST_F(HealthTest, TellsOfBothPartsOfBuildkitThatAreMissing) {
  Remove("buildctl");
  Remove("buildkitd");
  options_.buildkit_host = "";
  EXPECT_THAT(Row("buildkit"),
              Message(AllOf(HasSubstr("buildkitd"), HasSubstr("buildctl"))));
}

TEST_F(HealthTest, ReportsBuildctlThatCannotBeRun) {
  runner_.Refuse(kBuildctl, absl::PermissionDeniedError("Permission denied"));
  EXPECT_THAT(Row("buildkit"), AllOf(IsState(HealthCheck::STATE_FAILED),
                                     Message(HasSubstr("Permission denied")),
                                     Hint(Not(IsEmpty()))));
}

// --- buildkitd ---

TEST_F(HealthTest, ReportsBuildkitdThatDoesNotAnswer) {
  runner_.Set(Workers("unix:///b.sock"),
              {.stderr_data = "error: failed to list workers: Unavailable: "
                              "dial unix /b.sock: connection refused\n",
               .status = {.exit_code = 1}});
  const HealthResponse response = Check();
  EXPECT_EQ(response.state(), HealthResponse::STATE_UNHEALTHY);
  EXPECT_THAT(RowOf(response, "buildkitd"),
              AllOf(IsState(HealthCheck::STATE_FAILED),
                    Message(HasSubstr("dial unix /b.sock: connection refused")),
                    Hint(HasSubstr("Start buildkitd"))));
  EXPECT_EQ(response.buildkit_version(), "0.34.2");
}

TEST_F(HealthTest, ReportsBuildkitdWithoutWorkers) {
  for (const char* output : {"", "\n", "ID\t\t\t\tPLATFORMS\n"}) {
    runner_.Set(Workers("unix:///b.sock"), {.stdout_data = output});
    EXPECT_THAT(Row("buildkitd"), AllOf(IsState(HealthCheck::STATE_FAILED),
                                        Message(HasSubstr("no worker"))));
  }
}

TEST_F(HealthTest, TakesWorkersWithoutAVersion) {
  runner_.Set(Workers("unix:///b.sock"),
              {.stdout_data = "ID\t\tPLATFORMS\nabc\t\tlinux/amd64\n"});
  const HealthResponse response = Check();
  EXPECT_THAT(RowOf(response, "buildkitd"), IsState(HealthCheck::STATE_OK));
  EXPECT_EQ(response.buildkit_version(), "0.34.2");
}

TEST_F(HealthTest, LooksForBuildkitdWhereNerdctlDoes) {
  options_.buildkit_host = "";
  runner_.Set(Workers("unix:///run/buildkit/buildkitd.sock"),
              {.stdout_data = kWorkersOutput});
  EXPECT_THAT(Row("buildkitd"),
              AllOf(IsState(HealthCheck::STATE_OK),
                    Message(HasSubstr("/run/buildkit/buildkitd.sock"))));
  EXPECT_EQ(
      runner_.Starts(Workers("unix:///run/buildkit-default/buildkitd.sock")),
      1);

  // nerdctl takes the first that answers.
  runner_.Set(Workers("unix:///run/buildkit-default/buildkitd.sock"),
              {.stdout_data = kWorkersOutput});
  EXPECT_THAT(Row("buildkitd"),
              Message(HasSubstr("/run/buildkit-default/buildkitd.sock")));

  options_.containerd_namespace = "k8s.io";
  runner_.Set(Workers("unix:///run/buildkit-k8s.io/buildkitd.sock"),
              {.stdout_data = kWorkersOutput});
  EXPECT_THAT(Row("buildkitd"),
              Message(HasSubstr("/run/buildkit-k8s.io/buildkitd.sock")));

  options_.containerd_namespace = "default";
  EXPECT_THAT(Row("buildkitd"),
              Message(HasSubstr("/run/buildkit-default/buildkitd.sock")));
}

TEST_F(HealthTest, LooksForTheBuildkitdOfItsUser) {
  options_.buildkit_host = "";
  user_ = 1000;
  runner_.Set(Workers("unix:///run/user/1000/buildkit/buildkitd.sock"),
              {.stdout_data = kWorkersOutput});
  EXPECT_THAT(Row("buildkitd"),
              AllOf(IsState(HealthCheck::STATE_OK),
                    Message(HasSubstr("unix:///run/user/1000/buildkit/"))));
  environment_["XDG_RUNTIME_DIR"] = "/xdg";
  runner_.Set(Workers("unix:///xdg/buildkit-default/buildkitd.sock"),
              {.stdout_data = kWorkersOutput});
  EXPECT_THAT(Row("buildkitd"),
              AllOf(IsState(HealthCheck::STATE_OK),
                    Message(HasSubstr("unix:///xdg/buildkit-default/"))));
}

TEST_F(HealthTest, NamesAllPlacesWhereThereIsNoBuildkitd) {
  options_.buildkit_host = "";
  EXPECT_THAT(
      Row("buildkitd"),
      AllOf(IsState(HealthCheck::STATE_FAILED),
            Message(AllOf(HasSubstr("/run/buildkit-default/buildkitd.sock"),
                          HasSubstr("/run/buildkit/buildkitd.sock")))));
}

// --- containerd ---

TEST_F(HealthTest, ReportsContainerdThatCannotBeReached) {
  runner_.Set(
      kServer,
      {.stdout_data = "Client:\n Version:\t1.7.7\n",
       .stderr_data =
           "time=\"2026-11-23T23:27:31Z\" level=fatal msg=\"cannot access "
           "containerd socket \\\"/run/containerd/containerd.sock\\\": no such "
           "file or directory\"\n",
       .status = {.exit_code = 1}});
  const HealthResponse response = Check();
  EXPECT_EQ(response.state(), HealthResponse::STATE_UNHEALTHY);
  EXPECT_THAT(
      RowOf(response, "containerd"),
      AllOf(IsState(HealthCheck::STATE_FAILED),
            Message(EndsWith("exited with 1: cannot access containerd socket "
                             "\"/run/containerd/containerd.sock\": no such "
                             "file or directory")),
            Hint(HasSubstr("--containerd_address"))));
  EXPECT_EQ(response.containerd_version(), "");
}

// Rootless nerdctl exits with 0 where it does not find the daemon's socket.
TEST_F(HealthTest, ReportsContainerdThatNerdctlDoesNotTellOf) {
  for (const char* output :
       {"", "Client:\n Version:\t1.7.7\n containerd:\n  Version:\tv1\n",
        "Server:\n runc:\n  Version:\t1.1.5\n"}) {
    runner_.Set(kServer, {.stdout_data = output});
    EXPECT_THAT(Row("containerd"),
                AllOf(IsState(HealthCheck::STATE_FAILED),
                      Message(HasSubstr("tells of no containerd"))));
  }
}

TEST_F(HealthTest, TakesContainerdOfAnyVersion) {
  runner_.Set(kServer, {.stdout_data = "Server:\n containerd:\n  Version:\tv2.0"
                                       ".0\n"});
  EXPECT_EQ(Check().containerd_version(), "2.0.0");
  runner_.Set(kServer,
              {.stdout_data = "Server:\n containerd:\n  Version:\t\n"});
  EXPECT_THAT(Row("containerd"), IsState(HealthCheck::STATE_OK));
}

// --- disk ---

TEST_F(HealthTest, WatchesTheDisk) {
  const auto row_of = [&](std::uint64_t mebibytes) {
    free_disk_ = mebibytes << 20;
    return Row("disk");
  };
  EXPECT_THAT(
      row_of(2048),
      AllOf(IsState(HealthCheck::STATE_OK),
            Message(AllOf(HasSubstr("2.0 GiB"), HasSubstr(folder_.path())))));
  EXPECT_THAT(row_of(2047), AllOf(IsState(HealthCheck::STATE_WARNING),
                                  Hint(HasSubstr("--state_dir"))));
  EXPECT_THAT(row_of(512), IsState(HealthCheck::STATE_WARNING));
  EXPECT_THAT(row_of(511), AllOf(IsState(HealthCheck::STATE_FAILED),
                                 Hint(HasSubstr("--state_dir"))));
  EXPECT_THAT(row_of(0), IsState(HealthCheck::STATE_FAILED));
}

TEST_F(HealthTest, KnowsWhatIsKeptFree) {
  min_free_bytes_ = std::int64_t{3} << 30;
  free_disk_ = std::uint64_t{2} << 30;
  EXPECT_THAT(Row("disk"), AllOf(IsState(HealthCheck::STATE_FAILED),
                                 Message(HasSubstr("3.0 GiB"))));
}

// --- queue ---

TEST_F(HealthTest, CountsBuilds) {
  queue_ = {.running = 2, .queued = 3, .max_queued = 4};
  EXPECT_THAT(Row("queue"), AllOf(IsState(HealthCheck::STATE_OK),
                                  Message("2 builds run, 3 wait")));
  queue_ = {.running = 2, .queued = 4, .max_queued = 4, .full = true};
  EXPECT_THAT(Row("queue"), AllOf(IsState(HealthCheck::STATE_WARNING),
                                  Hint(HasSubstr("--max_queued_builds"))));
  queue_.draining = true;
  EXPECT_THAT(Row("queue"), IsState(HealthCheck::STATE_FAILED));
}

TEST_F(HealthTest, ReportsAStateFolderThatIsGone) {
  free_disk_ = absl::NotFoundError("/state: No such file or directory");
  EXPECT_THAT(Row("disk"),
              AllOf(IsState(HealthCheck::STATE_FAILED),
                    Message(HasSubstr("/state: No such file or directory")),
                    Hint(HasSubstr("--state_dir"))));
}

// --- the whole ---

TEST_F(HealthTest, FailureOutweighsWarning) {
  environment_["DOCKER_BUILDKIT"] = "1";
  free_disk_ = 0;
  EXPECT_EQ(Check().state(), HealthResponse::STATE_UNHEALTHY);
}

TEST_F(HealthTest, AsksSideBySide) {
  const std::vector<std::string> probes = {kVersion, kServer, kBuildctl,
                                           Workers("unix:///b.sock")};
  options_.probe_timeout = absl::InfiniteDuration();
  for (const std::string& probe : probes) runner_.Hold(probe);
  std::thread caller(
      [this] { EXPECT_EQ(Check().state(), HealthResponse::STATE_HEALTHY); });
  // Were any of them asked after another, this would wait for ever.
  for (const std::string& probe : probes) runner_.AwaitStarts(probe, 1);
  for (const std::string& probe : probes) runner_.Release(probe);
  caller.join();
}

TEST_F(HealthTest, CutsOffWhatHangs) {
  options_.probe_timeout = absl::Milliseconds(20);
  for (const std::string& probe :
       {std::string(kVersion), std::string(kServer), std::string(kBuildctl),
        Workers("unix:///b.sock")}) {
    runner_.Hold(probe);
  }
  const HealthResponse response = Check();
  for (const char* name : {"nerdctl", "buildkit", "buildkitd", "containerd"}) {
    EXPECT_THAT(RowOf(response, name),
                AllOf(IsState(HealthCheck::STATE_FAILED),
                      Message(HasSubstr("did not answer within 20ms")),
                      Hint(Not(IsEmpty()))));
  }
}

TEST_F(HealthTest, SaysHowLongItWaits) {
  EXPECT_EQ(absl::FormatDuration(options_.probe_timeout), "5s");
}

TEST_F(HealthTest, KeepsPasswordsOfAddressesToItself) {
  options_.buildkit_host = "tcp://user:hunter2@host:1234";
  runner_.Set(Workers(options_.buildkit_host), {.status = {.exit_code = 1}});
  EXPECT_THAT(Check().ShortDebugString(), Not(HasSubstr("hunter2")));
  runner_.Set(Workers(options_.buildkit_host), {.stdout_data = kWorkersOutput});
  EXPECT_THAT(Check().ShortDebugString(), Not(HasSubstr("hunter2")));
}

TEST_F(HealthTest, SendsValidUtf8Only) {
  environment_["DOCKER_BUILDKIT"] = "\xff";
  environment_["BUILDKIT_HOST"] = "\xfe";
  options_.buildkit_host = "";
  options_.nerdctl = "/no\xfd";
  const HealthResponse response = Check();
  HealthResponse parsed;
  EXPECT_TRUE(parsed.ParseFromString(response.SerializeAsString()));
  EXPECT_THAT(RowOf(response, "docker_buildkit").message(), HasSubstr("=?"));
}

// --- sharing ---

TEST_F(HealthTest, SharesAFreshAnswer) {
  HealthChecker& checker = Make();
  checker.Check(absl::Seconds(1));
  seconds_ = 1001;
  EXPECT_EQ(checker.Check(absl::Seconds(1)).check_time().seconds(), 1000);
  EXPECT_EQ(runner_.Starts(kServer), 1);
  seconds_ = 1002;
  EXPECT_EQ(checker.Check(absl::Seconds(1)).check_time().seconds(), 1002);
  EXPECT_EQ(runner_.Starts(kServer), 2);
  // Freshness is the reader's own.
  seconds_ = 1007;
  EXPECT_EQ(checker.Check(absl::Seconds(5)).check_time().seconds(), 1002);
  EXPECT_EQ(checker.Check(absl::Seconds(4)).check_time().seconds(), 1007);
}

TEST_F(HealthTest, LooksAgainWhenTheClockWasSetBack) {
  HealthChecker& checker = Make();
  checker.Check(absl::Seconds(1));
  seconds_ = 10;
  EXPECT_EQ(checker.Check(absl::Seconds(1)).check_time().seconds(), 10);
}

TEST_F(HealthTest, LooksBeforeItSharesForEver) {
  EXPECT_EQ(Make().Check(absl::InfiniteDuration()).checks_size(), 8);
}

TEST_F(HealthTest, SharesOneLookBetweenSimultaneousCallers) {
  runner_.Hold(kServer);
  HealthChecker& checker = Make();
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&checker] {
      EXPECT_EQ(checker.Check(absl::ZeroDuration()).state(),
                HealthResponse::STATE_HEALTHY);
    });
  }
  // Each reads the clock where it decides to look or to wait.
  while (clock_reads_ < 8) std::this_thread::yield();
  runner_.Release(kServer);
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(runner_.Starts(kServer), 1);
}

TEST_F(HealthTest, AnswersWhoIsContentWithTheLastWhileItLooks) {
  HealthChecker& checker = Make();
  checker.Check(absl::ZeroDuration());
  seconds_ = 1010;
  runner_.Hold(kServer);
  std::thread caller([&checker] {
    EXPECT_EQ(checker.Check(absl::Seconds(1)).check_time().seconds(), 1010);
  });
  runner_.AwaitStarts(kServer, 2);
  EXPECT_EQ(checker.Check(absl::Minutes(1)).check_time().seconds(), 1000);
  runner_.Release(kServer);
  caller.join();
}

}  // namespace
}  // namespace containerbuilder::service
