// The CLI against the real daemon, which runs fake_nerdctl.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "cli/program.h"
#include "support/temp_dir.h"

namespace containerbuilder {
namespace {

using namespace std::string_literals;
using test_support::Invocation;
using test_support::Program;
using test_support::ProgramResult;
using test_support::RunProgram;
using test_support::TempDir;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class DaemonTest : public testing::Test {
 protected:
  DaemonTest() {
    folder_.MakeDir("bin");
    for (const char* name : {"bin/nerdctl", "bin/buildctl"}) {
      std::filesystem::create_symlink(FAKE_NERDCTL, folder_.Path(name));
    }
    // Things in the daemon's folder that are named like values.
    for (const char* name : {"daemon/app:dev", "daemon/final", "daemon/plain",
                             "daemon/linux/amd64", "daemon/A=1"}) {
      folder_.MakeDir(name);
    }
    folder_.MakeDir("ctx");
    Invocation invocation{
        .program = CONTAINER_BUILDERD,
        .arguments = {"--listen=" + address(),
                      "--state_dir=" + folder_.Path("state"),
                      "--nerdctl=" + folder_.Path("bin/nerdctl")},
        .folder = folder_.Path("daemon")};
    invocation.environment["PATH"] =
        folder_.Path("bin") + ":" + std::getenv("PATH");
    daemon_ = std::make_unique<Program>(invocation);
    daemon_->WaitForErr("ready on");
  }

  ~DaemonTest() override {
    daemon_->Signal(SIGTERM);
    EXPECT_EQ(daemon_->Wait(), 0);
  }

  std::string address() const { return "unix://" + folder_.Path("cb.sock"); }

  Invocation Cli(const std::vector<std::string>& arguments) const {
    Invocation invocation{.program = CONTAINER_BUILDER,
                          .arguments = arguments,
                          .folder = folder_.path()};
    invocation.environment["CONTAINER_BUILDER_ADDRESS"] = address();
    return invocation;
  }

  // What nerdctl does in the next builds of ctx.
  void Script(const std::string& directives) const {
    folder_.WriteFile("ctx/fake.txt", directives);
  }

  TempDir folder_;
  std::unique_ptr<Program> daemon_;
};

TEST_F(DaemonTest, RunsNerdctlWithTheCallersFlags) {
  Script("dump-args " + folder_.Path("argv") + "\n");
  const std::vector<std::string> flags = {
      "-t",         "app:dev",     "--build-arg", "A=1",
      "--platform", "linux/amd64", "--target",    "final",
      "--progress", "plain",       "-f",          "ctx/Dockerfile",
      "ctx"};
  std::vector<std::string> arguments = {"build"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  ProgramResult result = RunProgram(Cli(arguments));
  EXPECT_EQ(result.exit_code, 0) << result.err;

  const std::string expected = "--build-arg\0A=1\0--tag\0app:dev\0"s +
                               "--platform\0linux/amd64\0--target\0final\0"s +
                               "--progress\0plain\0--file\0"s +
                               folder_.Path("ctx/Dockerfile") + '\0' +
                               folder_.Path("ctx") + '\0';
  const std::string argv = ReadFile(folder_.Path("argv"));
  EXPECT_EQ(argv.substr(argv.find('\0') + 1), "build\0"s + expected);

  arguments[0] = "args";
  arguments.insert(arguments.begin() + 1, "--null");
  result = RunProgram(Cli(arguments));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, expected);
}

TEST_F(DaemonTest, PassesOnOutputAndExitCode) {
  Script("stdout a\\x00\\xff\nstderr e\\n\nbytes stdout 300000 7\nexit 37\n");
  const ProgramResult result = RunProgram(Cli({"build", "ctx"}));
  EXPECT_EQ(result.exit_code, 37);
  EXPECT_EQ(result.out.size(), 300003u);
  EXPECT_THAT(result.out, StartsWith("a\0\xff"s));
  EXPECT_EQ(result.err, "e\n");
}

TEST_F(DaemonTest, NerdctlEndedByASignal) {
  Script("signal 9\n");
  const ProgramResult result = RunProgram(Cli({"build", "ctx"}));
  EXPECT_EQ(result.exit_code, 137);
  EXPECT_THAT(result.err, StartsWith("container-builder: "));
}

TEST_F(DaemonTest, InterruptEndsNerdctl) {
  Script("pid " + folder_.Path("pid") + "\nstdout ready\nsleep 600\n");
  Program program(Cli({"build", "ctx"}));
  program.WaitForOut("ready");
  const pid_t pid = std::stoi(ReadFile(folder_.Path("pid")));
  const int pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  ASSERT_GE(pid_fd, 0);
  program.Signal(SIGINT);
  EXPECT_EQ(program.Wait(), 130);
  pollfd ended{pid_fd, POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 60'000), 1);
  ::close(pid_fd);
}

TEST_F(DaemonTest, RefusalIsToldWithItsReason) {
  const ProgramResult result = RunProgram(Cli({"build", "nowhere"}));
  EXPECT_EQ(result.exit_code, 67);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, AllOf(HasSubstr(folder_.Path("nowhere")),
                                HasSubstr("reason: CONTEXT_NOT_FOUND\n")));
}

TEST_F(DaemonTest, Health) {
  const ProgramResult result = RunProgram(Cli({"health"}));
  EXPECT_THAT(result.exit_code, testing::AnyOf(0, 1)) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("nerdctl 1.7.7"), HasSubstr("\nbuildkitd ")));
}

}  // namespace
}  // namespace containerbuilder
