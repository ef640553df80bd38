// container-builderd's settings: the programs that print them, and SIGHUP.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/program.h"
#include "support/temp_dir.h"

namespace containerbuilder {
namespace {

using test_support::Invocation;
using test_support::Program;
using test_support::ProgramResult;
using test_support::RunProgram;
using test_support::TempDir;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

ProgramResult RunDaemon(const std::vector<std::string>& arguments) {
  return RunProgram({.program = CONTAINER_BUILDERD, .arguments = arguments});
}

TEST(DaemonUsageTest, Version) {
  const ProgramResult result = RunDaemon({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "container-builderd " CONTAINERBUILDER_VERSION "\n");
}

TEST(DaemonUsageTest, HelpNamesSettingsWithTheirDefaults) {
  const ProgramResult result = RunDaemon({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("--state_dir=TEXT   default: /var/lib/"));
  EXPECT_THAT(result.err, IsEmpty());
}

TEST(DaemonUsageTest, WrongUsageExitsWith2) {
  const ProgramResult result = RunDaemon({"--state-dir=/x"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err,
            "container-builderd: --state-dir: there is no such setting; see "
            "--help\n");
}

TEST(DaemonUsageTest, PrintedConfigIsTaken) {
  const TempDir folder;
  const ProgramResult defaults = RunDaemon({"config", "default"});
  EXPECT_EQ(defaults.exit_code, 0);
  const std::string file = folder.WriteFile("config.toml", defaults.out);
  const ProgramResult shown =
      RunDaemon({"config", "show", "--config=" + file, "--nerdctl=/n"});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_THAT(shown.out, AllOf(HasSubstr("nerdctl = \"/n\"  # --nerdctl\n"),
                               HasSubstr("  # " + file + ":"),
                               Not(HasSubstr("# default"))));
}

TEST(DaemonUsageTest, ManPage) {
  EXPECT_THAT(RunDaemon({"config", "man"}).out,
              StartsWith(".TH CONTAINER\\-BUILDERD 8\n"));
}

// A daemon that runs one build at a time, as its file says.
class ReloadTest : public testing::Test {
 protected:
  ReloadTest() {
    folder_.MakeDir("bin");
    for (const char* name : {"bin/nerdctl", "bin/buildctl"}) {
      std::filesystem::create_symlink(FAKE_NERDCTL, folder_.Path(name));
    }
    WriteConfig("max_running_builds = 1\n");
    Invocation invocation{
        .program = CONTAINER_BUILDERD,
        .arguments = {"--config=" + folder_.Path("config.toml"),
                      "--listen=" + address(),
                      "--state_dir=" + folder_.Path("state"),
                      "--nerdctl=" + folder_.Path("bin/nerdctl")}};
    invocation.environment["PATH"] =
        folder_.Path("bin") + ":" + std::getenv("PATH");
    daemon_ = std::make_unique<Program>(invocation);
    daemon_->WaitForErr("ready on");
  }

  ~ReloadTest() override {
    daemon_->Signal(SIGTERM);
    EXPECT_EQ(daemon_->Wait(), 0);
  }

  std::string address() const { return "unix://" + folder_.Path("cb.sock"); }
  void WriteConfig(const std::string& text) const {
    folder_.WriteFile("config.toml", text);
  }

  // A build that goes on until the daemon ends.
  std::unique_ptr<Program> StartBuild(const std::string& name) const {
    folder_.WriteFile(name + "/fake.txt", "stdout ready\nsleep 600\n");
    Invocation invocation{.program = CONTAINER_BUILDER,
                          .arguments = {"build", folder_.Path(name)}};
    invocation.environment["CONTAINER_BUILDER_ADDRESS"] = address();
    return std::make_unique<Program>(invocation);
  }

  void EndBuild(Program& build) const {
    build.Signal(SIGINT);
    EXPECT_EQ(build.Wait(), 130);
  }

  TempDir folder_;
  std::unique_ptr<Program> daemon_;
};

TEST_F(ReloadTest, TakesOverWhatItMay) {
  const std::unique_ptr<Program> first = StartBuild("one");
  first->WaitForOut("ready");
  const std::unique_ptr<Program> second = StartBuild("two");
  WriteConfig("max_running_builds = 2\nmax_log_bytes = \"2GiB\"\n");
  daemon_->Signal(SIGHUP);
  second->WaitForOut("ready");
  daemon_->WaitForErr("need a restart have changed: max_log_bytes\n");
  EndBuild(*first);
  EndBuild(*second);
}

TEST_F(ReloadTest, BrokenFileChangesNothing) {
  const std::unique_ptr<Program> first = StartBuild("one");
  first->WaitForOut("ready");
  WriteConfig("max_running_builds = 2\nread_root = []\n");
  daemon_->Signal(SIGHUP);
  daemon_->WaitForErr("settings stay as they are: " +
                      folder_.Path("config.toml") + ":2: read_root: ");
  WriteConfig("");
  daemon_->Signal(SIGHUP);
  daemon_->WaitForErr(
      "settings stay as they are: the file of settings is gone or empty; ");
  // It goes on, and takes the file once it is mended.
  const std::unique_ptr<Program> second = StartBuild("two");
  WriteConfig("max_running_builds = 2\n");
  daemon_->Signal(SIGHUP);
  second->WaitForOut("ready");
  daemon_->WaitForErr("settings are read again");
  EndBuild(*first);
  EndBuild(*second);
}

}  // namespace
}  // namespace containerbuilder
