// What is waited for where the wall clock is set meanwhile. Its waits would
// never end, or at once, if they went by that clock.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "build/engine.h"
#include "gmock/gmock.h"
#include "process/leftovers.h"
#include "process/process_runner.h"
#include "support/fake_process_runner.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace {

// 0: it is right.
std::atomic<int> hours_per_look = 0;
std::atomic<std::int64_t> hours_off = 0;

}  // namespace

// Of this program and its libraries, the kernel's being left as it is: set, it
// goes ahead, or back, between any two looks.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto result = static_cast<int>(syscall(SYS_clock_gettime, clock, time));
  if (clock == CLOCK_REALTIME && hours_per_look != 0) {
    time->tv_sec += 3600 * (hours_off += hours_per_look);
  }
  return result;
}

// Abseil's timeouts look here.
extern "C" int gettimeofday(timeval* time, void*) noexcept {
  timespec now = {};
  const int result = clock_gettime(CLOCK_REALTIME, &now);
  *time = {.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return result;
}

namespace containerbuilder::service {
namespace {

using test_support::FakeProcessRunner;
using test_support::IsOk;
using test_support::StatusIs;
using test_support::TempDir;

// A test that waited for longer would fail.
constexpr std::chrono::seconds kPatience(60);

Command Probe() {
  Command command;
  command.program = "/bin/probe";
  command.argv = {command.program};
  return command;
}

class WallClockTest : public testing::Test {
 protected:
  ~WallClockTest() override { hours_per_look = 0; }

  static void SetTheClock(int hours = 1) {
    hours_off = 0;
    hours_per_look = hours;
    const absl::Time before = absl::Now();
    // Abseil may not look for two seconds.
    ASSERT_TRUE(Await([before] {
      return absl::AbsDuration(absl::Now() - before) > absl::Minutes(59);
    }));
  }

  // By the clock that is not set.
  static bool Await(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  void StartEngine() {
    runner_.Set("nerdctl --version",
                {.stdout_data = "nerdctl version 1.7.7\n"});
    runner_.Set("nerdctl build --help",
                {.stdout_data = "      --rm   Remove\n"});
    EngineOptions options;
    options.state_dir = folder_.Path("state");
    options.nerdctl = folder_.WriteFile("nerdctl", "", 0755);
    options.min_free_bytes = 0;
    options.drain_timeout = absl::Milliseconds(10);
    absl::StatusOr<std::unique_ptr<Engine>> engine =
        Engine::Create(options, Host::Real(), &runner_);
    ASSERT_THAT(engine, IsOk());
    engine_ = *std::move(engine);
  }
  // Starts a build in a folder of that name, which runs until it is stopped.
  std::string StartBuild(const std::string& context, absl::Duration timeout) {
    runner_.Set(CommandLine(context), {});
    runner_.Hold(CommandLine(context));
    v1::CreateBuildRequest request;
    request.mutable_spec()->mutable_options()->set_context_path(
        folder_.MakeDir(context));
    request.mutable_policy()->mutable_timeout()->set_seconds(
        absl::ToInt64Seconds(timeout));
    const auto created = engine_->CreateBuild(request, Caller::Local());
    EXPECT_THAT(created, IsOk());
    runner_.AwaitStarts(CommandLine(context), 1);
    return created.ok() ? created->name() : "";
  }
  std::string CommandLine(const std::string& context) {
    return "nerdctl build " + folder_.Path(context);
  }
  v1::Build::State StateOf(const std::string& name) {
    const auto build = engine_->GetBuild(name, Caller::Local());
    EXPECT_THAT(build, IsOk());
    return build.ok() ? build->state() : v1::Build::STATE_UNSPECIFIED;
  }

  const TempDir folder_;
  FakeProcessRunner runner_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(WallClockTest, AProbeIsCutOffAllTheSame) {
  FakeProcessRunner runner;
  runner.Set("probe", {});
  runner.Hold("probe");
  SetTheClock();
  auto answer = std::async(std::launch::async, [&runner] {
    return RunToEnd(runner, Probe(), absl::Milliseconds(10));
  });
  if (answer.wait_for(kPatience) != std::future_status::ready) {
    runner.Release("probe");
  }
  EXPECT_THAT(answer.get(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(WallClockTest, ADrainEndsAllTheSame) {
  StartEngine();
  const std::string name = StartBuild("ctx", absl::ZeroDuration());

  SetTheClock();
  auto drained =
      std::async(std::launch::async, [this] { engine_->Shutdown(); });
  if (drained.wait_for(kPatience) != std::future_status::ready) {
    runner_.Release(CommandLine("ctx"));
  }
  drained.get();
  EXPECT_EQ(StateOf(name), v1::Build::STATE_INTERRUPTED);
}

TEST_F(WallClockTest, ABuildHasItsTimeAndNoMoreAllTheSame) {
  constexpr std::chrono::seconds kTimeout(1);
  StartEngine();
  for (const int hours : {24, -24}) {
    SCOPED_TRACE(hours);
    SetTheClock(hours);
    const auto begun = std::chrono::steady_clock::now();
    const std::string name =
        StartBuild(absl::StrCat("ctx", hours), absl::FromChrono(kTimeout));
    EXPECT_TRUE(
        Await([&] { return StateOf(name) == v1::Build::STATE_TIMED_OUT; }));
    EXPECT_GE(std::chrono::steady_clock::now() - begun, kTimeout);
    hours_per_look = 0;
  }
}

// It has much to give back, and so takes a while to die.
TEST_F(WallClockTest, WhatWasLeftIsWaitedForAllTheSame) {
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  int made[2];
  ASSERT_EQ(pipe2(made, O_CLOEXEC), 0);
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    setsid();
    mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    close(made[1]);
    while (true) pause();
  }
  close(made[1]);
  char none;
  ASSERT_EQ(read(made[0], &none, 1), 0);
  close(made[0]);
  const std::vector<Leftover> leftovers = {
      {absl::StrCat("CONTAINER_BUILDER_BUILD=builds/wall-clock-", getpid()),
       IdentifyProcess(pid)}};
  SetTheClock();
  EXPECT_THAT(EndLeftovers(leftovers, absl::Minutes(1)), IsOk());
  hours_per_look = 0;
  kill(pid, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
}

// As one that waits for a disk that is gone.
TEST(RunToEndTest, LeavesAProgramThatDoesNotDie) {
  struct Undying : public ProcessRunner, public Process {
    absl::StatusOr<std::shared_ptr<Process>> Start(
        const Command&, std::shared_ptr<ProcessListener> listener) override {
      kept = std::move(listener);
      return std::shared_ptr<Process>(std::shared_ptr<void>(), this);
    }
    void Stop(absl::Duration) override { ++stops; }
    std::shared_ptr<ProcessListener> kept;
    int stops = 0;
  };
  Undying runner;
  EXPECT_THAT(RunToEnd(runner, Probe(), absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(runner.stops, 1);
  // It may end later.
  runner.kept->OnOutput(OutputStream::kStdout, "late");
  runner.kept->OnExit({});
}

}  // namespace
}  // namespace containerbuilder::service
