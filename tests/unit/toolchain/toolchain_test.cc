#include "build/toolchain.h"

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/fake_process_runner.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using test_support::FakeProcessRunner;
using test_support::HasReason;
using test_support::IsOk;
using test_support::StatusIs;
using test_support::TempDir;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

// Of nerdctl 1.7.7, shortened.
constexpr char kHelp[] =
    R"(Build an image from a Dockerfile. Needs buildkitd to be running.
If Dockerfile is not present and -f is not specified, it will look for Containerfile and build with it.

Usage: nerdctl build [flags] PATH

Flags:
      --allow stringArray        Allow extra privileged entitlement, e.g. network.host, security.insecure
      --buildkit-host string     BuildKit address [$BUILDKIT_HOST] (default "unix:///run/buildkit/buildkitd.sock")
  -f, --file string              Name of the Dockerfile
  -h, --help                     help for build
      --no-cache                 Do not use cache when building the image
      --platform strings         Set target platform for build (e.g., "amd64", "arm64")
  -q, --quiet                    Suppress the build output and print image ID on success
      --rm                       Remove intermediate containers after a successful build (default true)
      --ssh stringArray          SSH agent socket or keys to expose to the build (format: default|<id>[=<socket>|<key>[,<key>]])

See also 'nerdctl --help' for the global flags such as '--namespace', '--snapshotter', and '--cgroup-manager'.
)";

TEST(FindVersionTest, FindsTheFirstVersion) {
  EXPECT_EQ(FindVersion("nerdctl version 1.7.7\n"), "1.7.7");
  EXPECT_EQ(FindVersion("nerdctl version v2.1.3-12-gabc.m\n"),
            "2.1.3-12-gabc.m");
  EXPECT_EQ(FindVersion("buildctl github.com/moby/buildkit v0.34.2 \n"),
            "0.34.2");
  EXPECT_EQ(FindVersion("\t1.6.20~ds1"), "1.6.20~ds1");
  EXPECT_EQ(FindVersion("Docker version 24.0.7, build afdd53b"), "24.0.7");
  EXPECT_EQ(FindVersion("nerdctl version <unknown>\n"), "");
  EXPECT_EQ(FindVersion("version 2"), "");
  EXPECT_EQ(FindVersion("v\xff\xfe 1.2\xff"), "1.2?");
  EXPECT_EQ(FindVersion(""), "");
}

TEST(ParseFlagsTest, KnowsWhichFlagsTakeTheNextArgument) {
  EXPECT_THAT(
      ParseFlags(kHelp),
      UnorderedElementsAre(
          Pair("allow", true), Pair("buildkit-host", true), Pair("file", true),
          Pair("help", false), Pair("no-cache", false), Pair("platform", true),
          Pair("quiet", false), Pair("rm", false), Pair("ssh", true)));
}

TEST(ParseFlagsTest, KnowsValuesThatMayBeLeftOut) {
  EXPECT_THAT(ParseFlags("      --pull string[=\"true\"]   Pull\n"
                         "      --sbom[=x]               Sbom\n"
                         "  -v, --verbose count          More\n"),
              UnorderedElementsAre(Pair("pull", false), Pair("sbom", false),
                                   Pair("verbose", false)));
}

TEST(ParseFlagsTest, TakesFlagsWithoutText) {
  EXPECT_THAT(ParseFlags("      --bare\n"
                         "      --typed string\r\n"
                         "  -s, --short"),
              UnorderedElementsAre(Pair("bare", false), Pair("typed", true),
                                   Pair("short", false)));
}

TEST(ParseFlagsTest, IgnoresWhatIsNoFlag) {
  EXPECT_THAT(ParseFlags(""), IsEmpty());
  EXPECT_THAT(ParseFlags("--file string   at the margin\n"
                         "                     --deep   text that goes on\n"
                         "      --\n"
                         "      -- text\n"
                         "      --=x\n"
                         "  -f\n"
                         "\x7f"
                         "ELF\x02\x01\x01\n"
                         "Usage: nerdctl build --file F\n"),
              IsEmpty());
}

// Each program takes that long.
struct SlowProcessRunner : public FakeProcessRunner {
  absl::StatusOr<std::shared_ptr<Process>> Start(
      const Command& command,
      std::shared_ptr<ProcessListener> listener) override {
    uptime += takes;
    return FakeProcessRunner::Start(command, std::move(listener));
  }

  absl::Duration takes = absl::ZeroDuration();
  absl::Duration uptime = absl::Hours(1);
};

class ToolchainTest : public testing::Test {
 protected:
  ToolchainTest() {
    environment_["PATH"] = folder_.MakeDir("bin");
    runner_.Set("nerdctl --version",
                {.stdout_data = "nerdctl version 1.7.7\n"});
    runner_.Set("nerdctl build --help", {.stdout_data = kHelp});
  }

  // Puts a program on PATH and returns where it is.
  std::string Install(const std::string& name) {
    return folder_.WriteFile("bin/" + name, "#!/bin/sh\n", 0755);
  }

  // With the settings, environment and platform of now.
  Toolchain& Make() {
    Host host;
    host.platform = platform_;
    host.getenv = [environment = environment_](
                      const std::string& name) -> std::optional<std::string> {
      const auto variable = environment.find(name);
      if (variable == environment.end()) return std::nullopt;
      return variable->second;
    };
    host.working_folder = folder_.path();
    host.uptime = [this] { return runner_.uptime; };
    toolchain_.emplace(options_, host, &runner_);
    return *toolchain_;
  }

  const TempDir folder_;
  ToolchainOptions options_;
  std::map<std::string, std::string> environment_;
  Platform platform_ = Platform::kLinux;
  SlowProcessRunner runner_;

 private:
  std::optional<Toolchain> toolchain_;
};

TEST_F(ToolchainTest, FindsNerdctlOnPath) {
  const std::string nerdctl = Install("nerdctl");
  EXPECT_EQ(Make().FindNerdctl().value(), nerdctl);
}

TEST_F(ToolchainTest, FindsNerdctlThatIsInstalledMeanwhile) {
  const Toolchain& toolchain = Make();
  EXPECT_THAT(toolchain.FindNerdctl(), HasReason("NERDCTL_NOT_FOUND"));
  const std::string nerdctl = Install("nerdctl");
  EXPECT_EQ(toolchain.FindNerdctl().value(), nerdctl);
}

TEST_F(ToolchainTest, FindsProgramsInRelativeFoldersOfPath) {
  const std::string former = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  Install("nerdctl");
  environment_["PATH"] = "bin";
  EXPECT_EQ(Make().FindNerdctl().value(), folder_.Path("bin/nerdctl"));
  std::filesystem::current_path(former);
}

TEST_F(ToolchainTest, SaysWhereItLookedForNerdctl) {
  EXPECT_THAT(Make().FindNerdctl(),
              AllOf(HasReason("NERDCTL_NOT_FOUND"),
                    StatusIs(absl::StatusCode::kFailedPrecondition,
                             AllOf(HasSubstr(folder_.Path("bin")),
                                   HasSubstr("--nerdctl"),
                                   EndsWith("nerdctl/blob/main/docs/"
                                            "build.md")))));
}

TEST_F(ToolchainTest, PointsToLimaOnMacOs) {
  platform_ = Platform::kMacOs;
  EXPECT_THAT(Make().FindNerdctl(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("https://github.com/lima-vm/lima")));
}

TEST_F(ToolchainTest, LooksInTheSystemsFoldersWherePathIsNotSet) {
  environment_.erase("PATH");
  const Toolchain& toolchain = Make();
  EXPECT_EQ(toolchain.Variable("PATH"), "/bin:/usr/bin");
  EXPECT_EQ(toolchain.Find("sh"), "/bin/sh");
}

TEST_F(ToolchainTest, FindsNothingOnAnEmptyPath) {
  environment_["PATH"] = "";
  EXPECT_EQ(Make().Find("sh"), std::nullopt);
  EXPECT_THAT(Make().Environment(), ElementsAre("PATH="));
}

TEST_F(ToolchainTest, TakesTheNamedNerdctl) {
  Install("nerdctl");
  options_.nerdctl = folder_.WriteFile("elsewhere/nerdctl2", "", 0755);
  EXPECT_EQ(Make().FindNerdctl().value(), options_.nerdctl);
}

TEST_F(ToolchainTest, TakesTheNamedNerdctlFromTheWorkingFolder) {
  const std::string nerdctl = folder_.WriteFile("elsewhere/nerdctl2", "", 0755);
  options_.nerdctl = "elsewhere/nerdctl2";
  EXPECT_EQ(Make().FindNerdctl().value(), nerdctl);
}

TEST_F(ToolchainTest, RefusesANamedNerdctlThatIsMissing) {
  Install("nerdctl");
  options_.nerdctl = folder_.Path("missing");
  EXPECT_THAT(Make().FindNerdctl(),
              AllOf(HasReason("NERDCTL_NOT_FOUND"),
                    StatusIs(absl::StatusCode::kFailedPrecondition,
                             AllOf(HasSubstr(options_.nerdctl),
                                   HasSubstr("No such file"),
                                   HasSubstr("docs/build.md")))));
}

TEST_F(ToolchainTest, RefusesANamedNerdctlThatCannotBeExecuted) {
  for (const std::string& path :
       {folder_.WriteFile("plain", "", 0644), folder_.MakeDir("folder")}) {
    options_.nerdctl = path;
    EXPECT_THAT(
        Make().FindNerdctl(),
        AllOf(HasReason("NERDCTL_NOT_EXECUTABLE"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(path), HasSubstr("docs/build.md")))));
  }
}

TEST_F(ToolchainTest, HandsOnNothingButWhatNerdctlNeeds) {
  environment_ = {{"PATH", "/bin"},
                  {"HOME", "/root"},
                  {"XDG_RUNTIME_DIR", "/run/user/0"},
                  {"DOCKER_CONFIG", "/secret"},
                  {"LD_PRELOAD", "/evil.so"},
                  {"DOCKER_BUILDKIT", "1"}};
  EXPECT_THAT(Make().Environment(), ElementsAre("HOME=/root", "PATH=/bin",
                                                "XDG_RUNTIME_DIR=/run/user/0"));
}

TEST_F(ToolchainTest, HandsOnTheSettings) {
  environment_ = {{"PATH", "/bin"}, {"BUILDKIT_HOST", "unix:///theirs.sock"}};
  options_.containerd_address = "/c.sock";
  options_.containerd_namespace = "k8s.io";
  options_.buildkit_host = "unix:///b.sock";
  options_.snapshotter = "native";
  EXPECT_THAT(
      Make().Environment(),
      ElementsAre("BUILDKIT_HOST=unix:///b.sock", "CONTAINERD_ADDRESS=/c.sock",
                  "CONTAINERD_NAMESPACE=k8s.io",
                  "CONTAINERD_SNAPSHOTTER=native", "PATH=/bin"));
}

TEST_F(ToolchainTest, HandsOnTheServicesOwnVariablesWhereNothingIsSet) {
  environment_ = {{"PATH", "/bin"},
                  {"BUILDKIT_HOST", "docker-container://buildkitd"},
                  {"CONTAINERD_ADDRESS", "/c.sock"},
                  {"CONTAINERD_NAMESPACE", ""}};
  const Toolchain& toolchain = Make();
  EXPECT_THAT(toolchain.Environment(),
              ElementsAre("BUILDKIT_HOST=docker-container://buildkitd",
                          "CONTAINERD_ADDRESS=/c.sock", "PATH=/bin"));
  EXPECT_EQ(toolchain.Variable("BUILDKIT_HOST"),
            "docker-container://buildkitd");
  EXPECT_EQ(toolchain.Variable("CONTAINERD_NAMESPACE"), "");
}

TEST_F(ToolchainTest, ReadsVersionAndFlags) {
  const std::string path = Install("nerdctl");
  const absl::StatusOr<NerdctlInfo> nerdctl = Make().Nerdctl();
  ASSERT_THAT(nerdctl, IsOk());
  EXPECT_EQ(nerdctl->path, path);
  EXPECT_EQ(nerdctl->version, "1.7.7");
  EXPECT_EQ(nerdctl->flags, ParseFlags(kHelp));
  EXPECT_EQ(nerdctl->problem, "");
}

TEST_F(ToolchainTest, AsksInItsOwnEnvironment) {
  options_.containerd_address = "/c.sock";
  const std::string path = Install("nerdctl");
  Toolchain& toolchain = Make();
  ASSERT_THAT(toolchain.Nerdctl(), IsOk());
  const std::vector<Command> commands = runner_.commands();
  ASSERT_EQ(commands.size(), 2u);
  EXPECT_EQ(commands[0].program, path);
  EXPECT_THAT(commands[0].argv, ElementsAre(path, "--version"));
  EXPECT_THAT(commands[1].argv, ElementsAre(path, "build", "--help"));
  EXPECT_EQ(commands[0].environment, toolchain.Environment());
  EXPECT_EQ(commands[0].working_folder, "/");
}

TEST_F(ToolchainTest, AsksOnceUntilTheFileChanges) {
  Install("nerdctl");
  Toolchain& toolchain = Make();
  ASSERT_THAT(toolchain.Nerdctl(), IsOk());
  ASSERT_THAT(toolchain.Nerdctl(), IsOk());
  EXPECT_EQ(runner_.Starts("nerdctl --version"), 1);

  runner_.Set("nerdctl --version", {.stdout_data = "nerdctl version 2.1.3\n"});
  folder_.WriteFile("bin/nerdctl", "#!/bin/sh\n# another size\n", 0755);
  EXPECT_EQ(toolchain.Nerdctl().value().version, "2.1.3");
  EXPECT_EQ(runner_.Starts("nerdctl --version"), 2);

  // A file of the same size and time, renamed into place.
  const std::string next =
      folder_.WriteFile("next", "#!/bin/sh\n# another size\n", 0755);
  std::filesystem::last_write_time(
      next, std::filesystem::last_write_time(folder_.Path("bin/nerdctl")));
  std::filesystem::rename(next, folder_.Path("bin/nerdctl"));
  ASSERT_THAT(toolchain.Nerdctl(), IsOk());
  EXPECT_EQ(runner_.Starts("nerdctl --version"), 3);
}

TEST_F(ToolchainTest, ForgetsNerdctlThatIsGone) {
  Install("nerdctl");
  Toolchain& toolchain = Make();
  ASSERT_THAT(toolchain.Nerdctl(), IsOk());
  std::filesystem::remove(folder_.Path("bin/nerdctl"));
  EXPECT_THAT(toolchain.Nerdctl(), HasReason("NERDCTL_NOT_FOUND"));
}

TEST_F(ToolchainTest, TakesNerdctlThatAnswersOddly) {
  Install("nerdctl");
  runner_.Set("nerdctl --version", {.stdout_data = "nerdctl version \xff\n"});
  runner_.Set("nerdctl build --help", {.stdout_data = "Usage: build\n"});
  Toolchain& toolchain = Make();
  const absl::StatusOr<NerdctlInfo> nerdctl = toolchain.Nerdctl();
  ASSERT_THAT(nerdctl, IsOk());
  EXPECT_EQ(nerdctl->version, "");
  EXPECT_THAT(nerdctl->flags, IsEmpty());
  EXPECT_THAT(nerdctl->problem, EndsWith("build --help: lists no flags"));
}

TEST_F(ToolchainTest, AsksAgainWhatNerdctlRefused) {
  Install("nerdctl");
  runner_.Set("nerdctl build --help",
              {.stderr_data = "boom\n", .status = {.exit_code = 1}});
  Toolchain& toolchain = Make();
  absl::StatusOr<NerdctlInfo> nerdctl = toolchain.Nerdctl();
  ASSERT_THAT(nerdctl, IsOk());
  EXPECT_EQ(nerdctl->version, "1.7.7");
  EXPECT_THAT(nerdctl->flags, IsEmpty());
  EXPECT_THAT(nerdctl->problem, EndsWith("build --help: exited with 1: boom"));

  runner_.Set("nerdctl build --help", {.stdout_data = kHelp});
  nerdctl = toolchain.Nerdctl();
  EXPECT_EQ(nerdctl->problem, "");
  EXPECT_EQ(nerdctl->flags.size(), 9u);
}

TEST_F(ToolchainTest, RefusesNerdctlThatCannotBeRun) {
  Install("nerdctl");
  runner_.Refuse("nerdctl --version",
                 absl::InvalidArgumentError("Exec format error"));
  Toolchain& toolchain = Make();
  EXPECT_THAT(toolchain.Nerdctl(),
              AllOf(HasReason("NERDCTL_NOT_EXECUTABLE"),
                    StatusIs(absl::StatusCode::kFailedPrecondition,
                             HasSubstr("Exec format error"))));

  runner_.Set("nerdctl --version",
              {.stderr_data = "no libfoo.so\n", .status = {.exit_code = 127}});
  EXPECT_THAT(toolchain.Nerdctl(),
              AllOf(HasReason("NERDCTL_NOT_EXECUTABLE"),
                    StatusIs(absl::StatusCode::kFailedPrecondition,
                             HasSubstr("exited with 127: no libfoo.so"))));

  runner_.Set("nerdctl --version", {.status = {.term_signal = 11}});
  EXPECT_THAT(toolchain.Nerdctl(),
              AllOf(HasReason("NERDCTL_NOT_EXECUTABLE"),
                    StatusIs(absl::StatusCode::kFailedPrecondition,
                             HasSubstr("was ended by signal 11"))));
}

TEST_F(ToolchainTest, CutsOffNerdctlThatHangs) {
  Install("nerdctl");
  options_.probe_timeout = absl::Milliseconds(10);
  runner_.Hold("nerdctl --version");
  EXPECT_THAT(Make().Nerdctl(),
              AllOf(HasReason("NERDCTL_NOT_EXECUTABLE"),
                    StatusIs(absl::StatusCode::kFailedPrecondition,
                             HasSubstr("nerdctl --version: did not answer "
                                       "within 10ms"))));
}

TEST_F(ToolchainTest, BelievesForASecondThatNerdctlHangs) {
  Install("nerdctl");
  runner_.Set("nerdctl --version", {.status = {.term_signal = 9}});
  runner_.takes = absl::Seconds(5);
  Toolchain& toolchain = Make();
  const absl::StatusOr<NerdctlInfo> hung = toolchain.Nerdctl();
  EXPECT_THAT(hung, HasReason("NERDCTL_NOT_EXECUTABLE"));
  runner_.uptime += absl::Milliseconds(999);
  EXPECT_EQ(toolchain.Nerdctl().status(), hung.status());
  EXPECT_EQ(runner_.Starts("nerdctl --version"), 1);
  runner_.uptime += absl::Milliseconds(1);
  EXPECT_THAT(toolchain.Nerdctl(), HasReason("NERDCTL_NOT_EXECUTABLE"));
  EXPECT_EQ(runner_.Starts("nerdctl --version"), 2);

  // But not of a file that was put into its place.
  folder_.WriteFile("bin/nerdctl", "#!/bin/sh\n# another size\n", 0755);
  runner_.Set("nerdctl --version", {.stdout_data = "nerdctl version 2.1.3\n"});
  ASSERT_THAT(toolchain.Nerdctl(), IsOk());
}

TEST_F(ToolchainTest, AnswersManyCallersAtOnce) {
  Install("nerdctl");
  runner_.Hold("nerdctl --version");
  Toolchain& toolchain = Make();
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&toolchain] {
      EXPECT_EQ(toolchain.Nerdctl().value().version, "1.7.7");
    });
  }
  runner_.AwaitStarts("nerdctl --version", 1);
  runner_.Release("nerdctl --version");
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(runner_.Starts("nerdctl --version"), 1);
}

TEST_F(ToolchainTest, QuotesTheEndOfWhatAProgramSaid) {
  const std::string tool = Install("tool");
  const Toolchain& toolchain = Make();
  const auto error_of = [&](const std::string& stderr_data) {
    runner_.Set("tool",
                {.stderr_data = stderr_data, .status = {.exit_code = 1}});
    return std::string(toolchain.Ask({tool}).status().message());
  };
  EXPECT_EQ(error_of(""), tool + ": exited with 1");
  EXPECT_EQ(error_of("first\nlast\n\n"), tool + ": exited with 1: last");
  EXPECT_EQ(error_of("error: failed: dial unix /x: refused\n"),
            tool + ": exited with 1: failed: dial unix /x: refused");
  EXPECT_EQ(error_of("time=\"2026-11-23T23:27:31Z\" level=fatal "
                     "msg=\"cannot access \\\"/c.sock\\\": gone\" more=x\n"),
            tool + ": exited with 1: cannot access \"/c.sock\": gone");
  EXPECT_EQ(error_of("warning\npanic: HOME is not set\n\ngoroutine 1:\n"),
            tool + ": exited with 1: panic: HOME is not set");
  EXPECT_EQ(error_of("do not panic: all is well"),
            tool + ": exited with 1: do not panic: all is well");
  EXPECT_EQ(error_of("time=x msg=\"no end \\"),
            tool + ": exited with 1: no end \\");
  EXPECT_EQ(error_of("\xff\xfe"), tool + ": exited with 1: ??");
  EXPECT_LT(error_of(std::string(100000, 'x')).size(), 1000u);
}

}  // namespace
}  // namespace containerbuilder::service
