#include "process/boost_process_runner.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "process/process_runner.h"

namespace containerbuilder::service {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// Longer than anything here takes, shorter than what the fake sleeps (600 s)
// where it is to be ended.
constexpr auto kDeadline = std::chrono::seconds(90);

// What is awaited but has no event of its own is looked at this often.
template <typename Condition>
bool Eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + kDeadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

// Records what it is told, and fails the test where a call breaks the rules.
class Recorder : public ProcessListener {
 public:
  void OnStart(std::int64_t pid) override {
    Call call(*this);
    EXPECT_EQ(pid_, 0);
    pid_ = static_cast<pid_t>(pid);
    if (at_start_) at_start_(pid_);
  }

  void OnOutput(OutputStream stream, absl::string_view data) override {
    Call call(*this);
    EXPECT_NE(pid_, 0);
    EXPECT_GT(data.size(), 0);
    EXPECT_LE(data.size(), limits::kMaxOutputChunkBytes);
    std::unique_lock<std::mutex> lock(mutex_);
    (stream == OutputStream::kStdout ? stdout_ : stderr_)
        .append(data.data(), data.size());
    changed_.notify_all();
    changed_.wait(lock, [this] { return !blocked_; });
  }

  void OnExit(const ExitStatus& status) override {
    Call call(*this);
    EXPECT_NE(pid_, 0);
    if (at_exit_) at_exit_();
    const std::lock_guard<std::mutex> lock(mutex_);
    exit_ = status;
    exit_time_ = absl::Now();
    changed_.notify_all();
  }

  // To be called before the start: from then on OnOutput does not return.
  void Block() { blocked_ = true; }
  void Unblock() {
    const std::lock_guard<std::mutex> lock(mutex_);
    blocked_ = false;
    changed_.notify_all();
  }
  // To be called before the start, these two.
  void AtStart(std::function<void(pid_t)> action) {
    at_start_ = std::move(action);
  }
  void AtExit(std::function<void()> check) { at_exit_ = std::move(check); }

  // The status, or nothing and a failed test where it takes too long.
  std::optional<ExitStatus> WaitForExit() {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kDeadline,
                                  [this] { return exit_.has_value(); }));
    return exit_;
  }

  bool WaitForStdout(const std::string& text) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, kDeadline, [&] {
      return stdout_.find(text) != std::string::npos;
    });
  }

  bool exited() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return exit_.has_value();
  }
  // Of the end, once it is there.
  absl::Time exit_time() const { return exit_time_; }
  const std::string& stdout_data() const { return stdout_; }
  const std::string& stderr_data() const { return stderr_; }
  pid_t pid() const { return pid_; }

 private:
  // Finds calls that overlap or come after the last one.
  class Call {
   public:
    explicit Call(Recorder& recorder) : recorder_(recorder) {
      EXPECT_FALSE(recorder_.called_.exchange(true));
      EXPECT_FALSE(recorder_.exited());
    }
    ~Call() { recorder_.called_ = false; }

   private:
    Recorder& recorder_;
  };

  std::function<void(pid_t)> at_start_;
  std::function<void()> at_exit_;
  std::atomic<bool> called_ = false;
  std::atomic<pid_t> pid_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool blocked_ = false;
  std::string stdout_;
  std::string stderr_;
  std::optional<ExitStatus> exit_;
  absl::Time exit_time_;
};

std::string ReadWhole(const fs::path& path) {
  std::stringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

void Touch(const fs::path& path) { const std::ofstream file(path); }

// Same as `bytes` of the fake.
std::string PseudoRandom(std::size_t count, std::uint64_t x) {
  std::string bytes(count, '\0');
  for (char& byte : bytes) {
    x = x * 6364136223846793005 + 1442695040888963407;
    byte = static_cast<char>(x >> 56);
  }
  return bytes;
}

// 'Z' for a zombie, NUL where there is no such process.
char ProcessState(pid_t pid) {
  const std::string stat = ReadWhole(absl::StrCat("/proc/", pid, "/stat"));
  const std::size_t name_end = stat.rfind(')');
  return name_end == std::string::npos ? '\0' : stat[name_end + 2];
}

bool Runs(pid_t pid) {
  const char state = ProcessState(pid);
  return state != '\0' && state != 'Z' && state != 'X';
}

// Whether this process has a child, be it a zombie.
bool HasChild() {
  siginfo_t child;
  return waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) == 0;
}

std::vector<pid_t> ReadPids(const fs::path& path) {
  std::ifstream file(path);
  std::vector<pid_t> pids;
  for (pid_t pid; file >> pid;) pids.push_back(pid);
  return pids;
}

std::vector<pid_t> RunningWithEntry(const std::string& entry) {
  std::vector<pid_t> pids;
  for (const auto& folder : fs::directory_iterator("/proc")) {
    const std::string environment = ReadWhole(folder.path() / "environ");
    if (environment.find(entry) != std::string::npos) {
      pids.push_back(std::stoi(folder.path().filename()));
    }
  }
  return pids;
}

std::ptrdiff_t CountDescriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), {});
}

auto Exited(int code, bool killed = false) {
  return AllOf(Field("exit_code", &ExitStatus::exit_code, code),
               Field("term_signal", &ExitStatus::term_signal, 0),
               Field("killed", &ExitStatus::killed, killed));
}

auto Died(int signal, bool killed = false) {
  return AllOf(Field("exit_code", &ExitStatus::exit_code, 0),
               Field("term_signal", &ExitStatus::term_signal, signal),
               Field("killed", &ExitStatus::killed, killed));
}

// A process, and what it told.
struct Started {
  std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();
  std::shared_ptr<Process> process;
};

// Everything holds both in a plain program and in a child subreaper.
class ProcessRunnerTest : public testing::TestWithParam<bool> {
 protected:
  ProcessRunnerTest() {
    std::string path = (fs::temp_directory_path() / "process_XXXXXX").string();
    folder_ = mkdtemp(path.data());
    prctl(PR_SET_CHILD_SUBREAPER, GetParam() ? 1 : 0);
    runner_.emplace(BoostProcessRunner::Options{.io_threads = 2,
                                                .reap_orphans = GetParam()});
  }

  ~ProcessRunnerTest() override {
    runner_.reset();
    EXPECT_THAT(RunningWithEntry(MarkPrefix()), IsEmpty());
    EXPECT_FALSE(HasChild());
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    fs::remove_all(folder_);
  }

  std::string MarkPrefix() const {
    return absl::StrCat("CONTAINER_BUILDER_BUILD=test-", getpid(), "-");
  }

  // The fake, to build a context of its own that holds `script`.
  Command Fake(const std::string& script) {
    const int number = ++contexts_;
    const fs::path context = folder_ / std::to_string(number);
    fs::create_directory(context);
    std::ofstream(context / "fake.txt") << script;
    const std::string mark = absl::StrCat(MarkPrefix(), number);
    return {.program = FAKE_NERDCTL,
            .argv = {"nerdctl", "build", context.string()},
            .environment = {"A=1", mark},
            .working_folder = context.string(),
            .mark = mark};
  }

  Started Start(const Command& command, Started run = {}) {
    // Throws, and so fails the test, where it is not started.
    run.process = runner_->Start(command, run.recorder).value();
    return run;
  }

  Started StartFake(const std::string& script) { return Start(Fake(script)); }

  // Starts it and waits until it has made the file `ready`.
  Started StartReady(const Command& command, Started run = {}) {
    run = Start(command, run);
    EXPECT_TRUE(Eventually([&] {
      return fs::exists(fs::path(command.working_folder) / "ready");
    }));
    return run;
  }

  absl::Status StartError(const Command& command) {
    const auto recorder = std::make_shared<Recorder>();
    absl::Status status = runner_->Start(command, recorder).status();
    EXPECT_EQ(recorder->pid(), 0);
    EXPECT_EQ(recorder.use_count(), 1);
    EXPECT_FALSE(HasChild());
    return status;
  }

  fs::path folder_;
  int contexts_ = 0;
  std::optional<BoostProcessRunner> runner_;
};

INSTANTIATE_TEST_SUITE_P(, ProcessRunnerTest, testing::Bool(),
                         [](const auto& param_info) {
                           return param_info.param ? "Subreaper" : "Plain";
                         });

// --- Output ----------------------------------------------------------------

TEST_P(ProcessRunnerTest, RelaysLines) {
  Started run = StartFake("lines stdout 1000\nlines stderr 10\n");
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
  std::string expected;
  for (int i = 1; i <= 1000; ++i) absl::StrAppend(&expected, "line ", i, "\n");
  EXPECT_EQ(run.recorder->stdout_data(), expected);
  EXPECT_THAT(run.recorder->stderr_data(), StartsWith("line 1\nline 2\n"));
}

TEST_P(ProcessRunnerTest, RelaysBinaryBytes) {
  Started run = StartFake("bytes stdout 3000001 7\nbytes stderr 5 8\n");
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
  EXPECT_TRUE(run.recorder->stdout_data() == PseudoRandom(3000001, 7));
  EXPECT_EQ(run.recorder->stderr_data(), PseudoRandom(5, 8));
}

TEST_P(ProcessRunnerTest, RelaysNoFinalNewlineAndNul) {
  Started run = StartFake("stdout a\\x00b\\n\\nno end\nstderr \\xff\\x80\n");
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
  EXPECT_EQ(run.recorder->stdout_data(), std::string("a\0b\n\nno end", 11));
  EXPECT_EQ(run.recorder->stderr_data(), "\xff\x80");
}

TEST_P(ProcessRunnerTest, RelaysAFloodOnBothPipes) {
  constexpr std::size_t kCount = 16 * 1024 * 1024 + 1;
  Started run = StartFake(absl::StrCat("flood ", kCount, " 42\n"));
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
  EXPECT_TRUE(run.recorder->stdout_data() == PseudoRandom(kCount, 42));
  EXPECT_TRUE(run.recorder->stderr_data() == PseudoRandom(kCount, 43));
}

TEST_P(ProcessRunnerTest, RelaysALoneLineAtOnce) {
  Started run = StartFake("stdout first\nwait-file go\nstdout  second\n");
  EXPECT_TRUE(run.recorder->WaitForStdout("first"));
  EXPECT_FALSE(run.recorder->exited());
  Touch(folder_ / "1" / "go");
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
  EXPECT_EQ(run.recorder->stdout_data(), "first second");
}

TEST_P(ProcessRunnerTest, LosesNothingToASlowListener) {
  Started run;
  run.recorder->Block();
  run = Start(Fake("bytes stdout 5000000 3\ntouch all-written\n"), run);
  EXPECT_TRUE(run.recorder->WaitForStdout(PseudoRandom(16, 3)));
  EXPECT_FALSE(fs::exists(folder_ / "1" / "all-written"));
  run.recorder->Unblock();
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
  EXPECT_TRUE(run.recorder->stdout_data() == PseudoRandom(5000000, 3));
}

// What is in the pipes when everything is ended still comes.
TEST_P(ProcessRunnerTest, ReadsTheRestOfWhatWasKilled) {
  // The pipe never gets to its end: a stranger holds it.
  const Command command = Fake(
      "pid pids\nsetsid-bare 600\nfork-hold 600\nstdout x\nwait-file go\n"
      "bytes stderr 60000 4\nexit 3\n");
  const fs::path context = command.working_folder;
  Started run;
  run.recorder->Block();
  run = Start(command, run);
  EXPECT_TRUE(run.recorder->WaitForStdout("x"));
  Touch(context / "go");
  EXPECT_TRUE(Eventually([&] { return !Runs(run.recorder->pid()); }));
  run.recorder->Unblock();
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Exited(3, /*killed=*/true)));
  EXPECT_EQ(run.recorder->stdout_data(), "x");
  EXPECT_TRUE(run.recorder->stderr_data() == PseudoRandom(60000, 4));
  const auto pids = ReadPids(context / "pids");
  ASSERT_EQ(pids.size(), 3);
  EXPECT_TRUE(Runs(pids[1])) << "a stranger was killed";
  kill(pids[1], SIGKILL);
  waitpid(pids[1], nullptr, 0);
}

// --- What the program finds ------------------------------------------------

TEST_P(ProcessRunnerTest, GivesAllArgumentsUnchanged) {
  Command command = Fake("dump-args args\n");
  command.argv = {"any name",      "",     "build", "--x=a b",
                  "\"'$HOME*\\\n", "\xff", "-o=,",  command.working_folder};
  Started run = Start(command);
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
  std::string expected;
  for (const std::string& argument : command.argv) {
    expected.append(argument).push_back('\0');
  }
  EXPECT_EQ(ReadWhole(folder_ / "1" / "args"), expected);
}

TEST_P(ProcessRunnerTest, GivesTheEnvironmentAndNothingElse) {
  setenv("SECRET_OF_THE_DAEMON", "1", 1);
  Command command = Fake("dump-env env\n");
  command.environment = {"B=2=3", "A=", "A=again", command.mark, "odd"};
  Started run = Start(command);
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
  std::string expected;
  for (const std::string& entry : command.environment) {
    expected.append(entry).push_back('\0');
  }
  EXPECT_EQ(ReadWhole(folder_ / "1" / "env"), expected);
  unsetenv("SECRET_OF_THE_DAEMON");
}

// Descriptors, folder, session and signals of a program, while this process's
// own are anything but clean.
TEST_P(ProcessRunnerTest, GivesACleanState) {
  const int leak = open("/dev/zero", O_RDONLY);  // without O_CLOEXEC
  const int high_leak = fcntl(leak, F_DUPFD, 500);
  ASSERT_GE(high_leak, 500);
  const auto old_pipe_handler = signal(SIGPIPE, SIG_IGN);
  const auto old_term_handler = signal(SIGTERM, SIG_IGN);
  const auto old_usr1_handler = signal(SIGUSR1, [](int) {});
  sigset_t blocked;
  sigset_t old_mask;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &blocked, &old_mask);

  const Command command = Fake("dump-state state\n");
  Started run = Start(command);

  pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
  signal(SIGPIPE, old_pipe_handler);
  signal(SIGTERM, old_term_handler);
  signal(SIGUSR1, old_usr1_handler);
  close(leak);
  close(high_leak);

  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
  std::ifstream state(folder_ / "1" / "state");
  std::vector<std::string> lines;
  for (std::string line; std::getline(state, line);) lines.push_back(line);
  const std::string pid = std::to_string(run.recorder->pid());
  EXPECT_THAT(
      lines,
      ElementsAre("fd 0 /dev/null", StartsWith("fd 1 pipe:"),
                  StartsWith("fd 2 pipe:"), "cwd " + command.working_folder,
                  "pid " + pid, "pgid " + pid, "sid " + pid,
                  "SigPnd:\t0000000000000000", "SigBlk:\t0000000000000000",
                  "SigIgn:\t0000000000000000", "SigCgt:\t0000000000000000"));
  ASSERT_GE(lines.size(), 3);
  EXPECT_NE(lines[1].substr(5), lines[2].substr(5)) << "one pipe for both";
}

// --- The end ---------------------------------------------------------------

TEST_P(ProcessRunnerTest, TellsEveryExitCode) {
  std::vector<Started> runs;
  for (int code = 0; code < 256; ++code) {
    runs.push_back(StartFake(absl::StrCat("exit ", code, "\n")));
    if (runs.size() < 16) continue;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      EXPECT_THAT(runs[i].recorder->WaitForExit(),
                  testing::Optional(Exited(code - 15 + static_cast<int>(i))));
    }
    runs.clear();
  }
}

TEST_P(ProcessRunnerTest, TellsTheSignal) {
  for (int signal : {SIGHUP, SIGABRT, SIGKILL, SIGSEGV, SIGTERM, SIGRTMAX}) {
    Started run = StartFake(absl::StrCat("stdout x\nsignal ", signal, "\n"));
    EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Died(signal)));
    EXPECT_EQ(run.recorder->stdout_data(), "x");
  }
}

TEST_P(ProcessRunnerTest, GivesBackEverything) {
  // What is opened once for good is open after this.
  EXPECT_TRUE(StartFake("").recorder->WaitForExit().has_value());
  const std::ptrdiff_t descriptors = CountDescriptors();
  for (int i = 0; i < 20; ++i) {
    Started run =
        StartFake("setsid-close 600\nfork-hold 600\nlines stdout 10\n");
    EXPECT_THAT(run.recorder->WaitForExit(),
                testing::Optional(Exited(0, /*killed=*/true)));
    EXPECT_EQ(CountDescriptors(), descriptors);
    // Once OnExit returned, nobody but us holds the two.
    EXPECT_TRUE(Eventually([&] { return run.recorder.use_count() == 1; }));
    EXPECT_TRUE(Eventually([&] { return run.process.use_count() == 1; }));
  }
}

TEST_P(ProcessRunnerTest, EndsAChildThatKeepsThePipes) {
  Started run = StartFake("pid pids\nfork-hold 600\nstdout done\nexit 4\n");
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Exited(4, /*killed=*/true)));
  EXPECT_EQ(run.recorder->stdout_data(), "done");
  const auto pids = ReadPids(folder_ / "1" / "pids");
  ASSERT_EQ(pids.size(), 2);
  EXPECT_FALSE(Runs(pids[1]));
}

TEST_P(ProcessRunnerTest, EndsAChildWithoutPipes) {
  Started run = StartFake("pid pids\nfork-close 600\n");
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Exited(0, /*killed=*/true)));
  const auto pids = ReadPids(folder_ / "1" / "pids");
  ASSERT_EQ(pids.size(), 2);
  EXPECT_FALSE(Runs(pids[1]));
}

TEST_P(ProcessRunnerTest, LetsAChildFinishThatIsAboutTo) {
  // On a busy machine it may come too late, now and then.
  const bool finished = Eventually([&] {
    const std::optional<ExitStatus> status =
        StartFake("fork-hold 0.02\nexit 4\n").recorder->WaitForExit();
    return status.has_value() && !status->killed;
  });
  EXPECT_TRUE(finished);
}

TEST_P(ProcessRunnerTest, EndsAGrandchildThatLeftTheGroup) {
  for (const char* kind : {"hold", "close", "flood"}) {
    const Command command =
        Fake(absl::StrCat("pid pids\nsetsid-", kind, " 600\nstdout done\n"));
    std::vector<pid_t> pids;
    Started run;
    run.recorder->AtExit([&] {
      pids = ReadPids(fs::path(command.working_folder) / "pids");
      ASSERT_EQ(pids.size(), 2);
      EXPECT_FALSE(Runs(pids[1])) << kind;
    });
    run = Start(command, run);
    EXPECT_THAT(run.recorder->WaitForExit(),
                testing::Optional(Exited(0, /*killed=*/true)))
        << kind;
    EXPECT_THAT(run.recorder->stdout_data(), HasSubstr("done"));
  }
}

// Whoever is in the middle of setsid and execve is not overlooked.
TEST_P(ProcessRunnerTest, EndsAGrandchildThatIsJustLeaving) {
  for (int i = 0; i < 40; ++i) {
    const Command command = Fake("setsid-exec 600\nexit 1\n");
    Started run;
    run.recorder->AtExit(
        [&] { EXPECT_THAT(RunningWithEntry(command.mark), IsEmpty()); });
    run = Start(command, run);
    EXPECT_THAT(run.recorder->WaitForExit(),
                testing::Optional(Exited(1, /*killed=*/true)));
  }
}

// The mark is an entry, not some text in one.
TEST_P(ProcessRunnerTest, SparesWhoIsMarkedOtherwise) {
  Command other = Fake("touch ready\nwait-file go\n");
  Command command = Fake("exit 1\n");
  other.environment = {other.mark, "X=" + command.mark, command.mark + "0"};
  Started other_run = StartReady(other);
  Started run = Start(command);
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(1)));
  Touch(fs::path(other.working_folder) / "go");
  EXPECT_THAT(other_run.recorder->WaitForExit(), testing::Optional(Exited(0)));
}

TEST_P(ProcessRunnerTest, EndsTheGroupOfALeaderThatWasKilled) {
  Started run =
      StartReady(Fake("pid pids\nfork-hold 600\ntouch ready\nsleep 600\n"));
  const auto pids = ReadPids(folder_ / "1" / "pids");
  ASSERT_EQ(pids.size(), 2);
  ASSERT_EQ(pids[0], run.recorder->pid());
  kill(pids[0], SIGKILL);
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Died(SIGKILL, /*killed=*/true)));
  EXPECT_FALSE(Runs(pids[1]));
}

// In a subreaper, who ends by himself is an orphan and a zombie of ours.
TEST_P(ProcessRunnerTest, ReapsOrphans) {
  if (!GetParam()) GTEST_SKIP() << "init reaps them";
  Started run;
  std::atomic<pid_t> orphan = 0;
  run.recorder->AtExit([&] {
    ASSERT_NE(orphan, 0);
    EXPECT_EQ(ProcessState(orphan), '\0');
  });
  run = StartReady(
      Fake("pid pids\nsetsid-close 0\ntouch ready\nwait-file go\n"), run);
  const auto pids = ReadPids(folder_ / "1" / "pids");
  ASSERT_EQ(pids.size(), 2);
  orphan = pids[1];
  EXPECT_TRUE(Eventually([&] { return ProcessState(orphan) == 'Z'; }));
  Touch(folder_ / "1" / "go");
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
}

// Someone else's waitpid costs the status and nothing else.
TEST_P(ProcessRunnerTest, EndsWithoutAStatus) {
  Started run;
  run.recorder->AtStart([](pid_t pid) { waitpid(pid, nullptr, 0); });
  run = Start(Fake("setsid-hold 600\nstdout x\nexit 5\n"), run);
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Exited(-1, /*killed=*/true)));
  EXPECT_EQ(run.recorder->stdout_data(), "x");
}

// --- Stop ------------------------------------------------------------------

TEST_P(ProcessRunnerTest, StopsByTerm) {
  Started run = StartReady(Fake("stdout x\ntouch ready\nsleep 600\n"));
  run.process->Stop(absl::Hours(1));
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Died(SIGTERM)));
  EXPECT_EQ(run.recorder->stdout_data(), "x");
}

TEST_P(ProcessRunnerTest, StopsWhoClosedItsPipesAndLivesOn) {
  Started run =
      StartReady(Fake("stdout x\nclose-pipes\ntouch ready\nsleep 600\n"));
  EXPECT_FALSE(run.recorder->exited());
  run.process->Stop(absl::Hours(1));
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Died(SIGTERM)));
  EXPECT_EQ(run.recorder->stdout_data(), "x");
}

TEST_P(ProcessRunnerTest, KillsWhoIgnoresTermAfterTheGrace) {
  Started run = StartReady(Fake("ignore-term\ntouch ready\nsleep 600\n"));
  const absl::Time stop_time = absl::Now();
  constexpr absl::Duration kGrace = absl::Milliseconds(300);
  run.process->Stop(kGrace);
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Died(SIGKILL, /*killed=*/true)));
  EXPECT_GE(run.recorder->exit_time() - stop_time, kGrace);
}

// Like buildctl, which cancels the build after nerdctl died of the signal.
TEST_P(ProcessRunnerTest, WaitsForTheWholeGroup) {
  const Command command = Fake(
      "pid pids\nignore-term\nfork-hold 0.5\nheed-term\ntouch ready\n"
      "sleep 600\n");
  Started run;
  run.recorder->AtExit([&] {
    const auto pids = ReadPids(fs::path(command.working_folder) / "pids");
    ASSERT_EQ(pids.size(), 2);
    EXPECT_FALSE(Runs(pids[1]));
  });
  run = StartReady(command, run);
  run.process->Stop(absl::Hours(1));
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Died(SIGTERM)));
}

TEST_P(ProcessRunnerTest, KillsTheRestOfTheGroupAfterTheGrace) {
  Started run = StartReady(
      Fake("pid pids\nignore-term\nfork-close 600\nsetsid-close 600\n"
           "heed-term\ntouch ready\nsleep 600\n"));
  const absl::Time stop_time = absl::Now();
  constexpr absl::Duration kGrace = absl::Milliseconds(300);
  run.process->Stop(kGrace);
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Died(SIGTERM, /*killed=*/true)));
  EXPECT_GE(run.recorder->exit_time() - stop_time, kGrace);
  const auto pids = ReadPids(folder_ / "1" / "pids");
  ASSERT_EQ(pids.size(), 3);
  EXPECT_FALSE(Runs(pids[1]));
  EXPECT_FALSE(Runs(pids[2]));
}

TEST_P(ProcessRunnerTest, KillsWhoIsSuspended) {
  Started run = StartReady(Fake("touch ready\nsleep 600\n"));
  const pid_t leader = run.recorder->pid();
  kill(leader, SIGSTOP);
  EXPECT_TRUE(Eventually([&] { return ProcessState(leader) == 'T'; }));
  run.process->Stop(absl::Milliseconds(20));
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Died(SIGKILL, /*killed=*/true)));
}

TEST_P(ProcessRunnerTest, TakesTheEarliestEndOfGrace) {
  Started run = StartReady(Fake("ignore-term\ntouch ready\nsleep 600\n"));
  run.process->Stop(absl::InfiniteDuration());
  run.process->Stop(absl::Milliseconds(50));
  run.process->Stop(absl::Hours(1));
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Died(SIGKILL, /*killed=*/true)));
}

TEST_P(ProcessRunnerTest, TakesANegativeGraceForNone) {
  Started run = StartReady(Fake("ignore-term\ntouch ready\nsleep 600\n"));
  run.process->Stop(-absl::InfiniteDuration());
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Died(SIGKILL, /*killed=*/true)));
}

TEST_P(ProcessRunnerTest, StopsRightAfterTheStart) {
  Started run = StartFake("sleep 600\n");
  run.process->Stop(absl::Hours(1));
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Died(SIGTERM)));
}

TEST_P(ProcessRunnerTest, StopsAroundTheExit) {
  for (int i = 0; i < 40; ++i) {
    const Command command = Fake("touch ready\nexit 6\n");
    Started run = i % 2 == 0 ? StartReady(command) : Start(command);
    run.process->Stop(absl::ZeroDuration());
    const std::optional<ExitStatus> status = run.recorder->WaitForExit();
    ASSERT_TRUE(status.has_value());
    // In the middle of its exit it can still be sent a signal.
    EXPECT_THAT(*status,
                testing::AnyOf(Exited(6), Exited(6, /*killed=*/true),
                               Died(SIGTERM), Died(SIGTERM, /*killed=*/true),
                               Died(SIGKILL, /*killed=*/true)));
  }
}

TEST_P(ProcessRunnerTest, StopAfterTheEndDoesNothing) {
  Started run = StartFake("exit 6\n");
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(6)));
  for (int i = 0; i < 100; ++i) run.process->Stop(absl::ZeroDuration());
  runner_.reset();
  run.process->Stop(absl::ZeroDuration());
}

TEST_P(ProcessRunnerTest, StopsAHundredTimesAtOnce) {
  Started run = StartReady(Fake("ignore-term\ntouch ready\nsleep 600\n"));
  std::vector<std::thread> threads;
  threads.reserve(100);
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back(
        [&run, i] { run.process->Stop(absl::Milliseconds(100 - i)); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Died(SIGKILL, /*killed=*/true)));
}

// --- Many ------------------------------------------------------------------

TEST_P(ProcessRunnerTest, RunsManyAtOnce) {
  constexpr int kCount = 120;
  std::vector<Started> runs;
  runs.reserve(kCount);
  for (int i = 0; i < kCount; ++i) {
    runs.push_back(
        StartFake(absl::StrCat("touch ready\nwait-file ../go\nflood "
                               "50000 ",
                               2 * i, "\nexit ", i, "\n")));
  }
  EXPECT_TRUE(Eventually([&] {
    for (int i = 1; i <= kCount; ++i) {
      if (!fs::exists(folder_ / std::to_string(i) / "ready")) return false;
    }
    return true;
  }));
  Touch(folder_ / "go");
  for (int i = 0; i < kCount; ++i) {
    EXPECT_THAT(runs[i].recorder->WaitForExit(), testing::Optional(Exited(i)));
    EXPECT_TRUE(runs[i].recorder->stdout_data() == PseudoRandom(50000, 2 * i));
    EXPECT_TRUE(runs[i].recorder->stderr_data() ==
                PseudoRandom(50000, 2 * i + 1));
  }
}

TEST_P(ProcessRunnerTest, StartsAndStopsManyAtOnce) {
  std::vector<Command> commands;
  commands.reserve(100);
  for (int i = 0; i < 100; ++i) {
    commands.push_back(Fake("stdout x\nsetsid-hold 600\nsleep 600\n"));
  }
  std::vector<Started> runs(commands.size());
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t i = thread; i < commands.size(); i += 4) {
        runs[i] = Start(commands[i], runs[i]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Started& run : runs) run.process->Stop(absl::Hours(1));
  for (Started& run : runs) {
    const std::optional<ExitStatus> status = run.recorder->WaitForExit();
    ASSERT_TRUE(status.has_value());
    EXPECT_EQ(status->term_signal, SIGTERM);
  }
}

// Asio gives the place of a closed descriptor to the next one, at times with
// an event that was on its way.
TEST_P(ProcessRunnerTest, StopsWhatStartsWhileOthersEnd) {
  std::vector<Command> commands;
  commands.reserve(200);
  for (int i = 0; i < 200; ++i) {
    commands.push_back(Fake("lines stdout 1000000\n"));
  }
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t i = thread; i < commands.size(); i += 4) {
        const Started run = Start(commands[i]);
        ASSERT_TRUE(run.recorder->WaitForStdout("line 50\n"));
        run.process->Stop(absl::Hours(1));
        ASSERT_TRUE(run.recorder->WaitForExit().has_value());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(ProcessRunnerTest, EndsAllWithTheRunner) {
  std::vector<Started> runs;
  runs.reserve(20);
  for (int i = 0; i < 20; ++i) {
    runs.push_back(StartReady(
        Fake("ignore-term\nfork-hold 600\nsetsid-hold 600\nstdout x\n"
             "touch ready\nsleep 600\n")));
  }
  runner_.reset();
  for (Started& run : runs) {
    ASSERT_TRUE(run.recorder->exited());
    EXPECT_THAT(run.recorder->WaitForExit(),
                testing::Optional(Died(SIGKILL, /*killed=*/true)));
    EXPECT_EQ(run.recorder->stdout_data(), "x");
    run.process->Stop(absl::ZeroDuration());
  }
}

// --- What cannot be started ------------------------------------------------

TEST_P(ProcessRunnerTest, TellsAMissingProgram) {
  Command command = Fake("");
  command.program = (folder_ / "none").string();
  const absl::Status status = StartError(command);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(command.program));
}

TEST_P(ProcessRunnerTest, TellsAProgramThatMayNotBeExecuted) {
  Command command = Fake("");
  command.program = (folder_ / "plain").string();
  std::ofstream(command.program) << "text";
  const absl::Status status = StartError(command);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr(command.program));
}

TEST_P(ProcessRunnerTest, TellsAProgramOfNoKnownFormat) {
  Command command = Fake("");
  command.program = (folder_ / "text").string();
  std::ofstream(command.program) << "echo no shell reads this\n";
  chmod(command.program.c_str(), 0700);
  const absl::Status status = StartError(command);
  EXPECT_EQ(status.code(), absl::ErrnoToStatusCode(ENOEXEC));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(command.program), HasSubstr("format")));
}

TEST_P(ProcessRunnerTest, TellsAMissingWorkingFolder) {
  Command command = Fake("");
  command.working_folder = (folder_ / "none").string();
  const absl::Status status = StartError(command);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("working folder " + command.working_folder));
}

TEST_P(ProcessRunnerTest, TellsAWorkingFolderThatIsNone) {
  Command command = Fake("");
  command.working_folder = (folder_ / "1" / "fake.txt").string();
  const absl::Status status = StartError(command);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("working folder " + command.working_folder));
}

TEST_P(ProcessRunnerTest, TellsTooLongAnArgument) {
  Command command = Fake("");
  command.argv.emplace_back(limits::kMaxArgumentBytes + 1, 'x');
  EXPECT_EQ(StartError(command).code(), absl::StatusCode::kInvalidArgument);
  command.argv.back().pop_back();
  command.argv.push_back(command.working_folder);
  Started run = Start(command);
  EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(0)));
}

TEST_P(ProcessRunnerTest, RefusesANul) {
  Command command = Fake("");
  command.argv.insert(command.argv.begin() + 1, std::string("a\0b", 3));
  EXPECT_EQ(StartError(command).code(), absl::StatusCode::kInvalidArgument);
}

// UndefinedBehaviorSanitizer's check of vptrs opens a pipe, and takes objects
// for bad ones where it cannot.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitizerNeedsDescriptors = true;
#else
constexpr bool kSanitizerNeedsDescriptors = false;
#endif

// However few descriptors are left, a start works or fails and leaves nothing.
TEST_P(ProcessRunnerTest, SurvivesTheWantOfDescriptors) {
  if (kSanitizerNeedsDescriptors) GTEST_SKIP();
  const Command command = Fake("stdout x\nexit 2\n");
  EXPECT_TRUE(Start(command).recorder->WaitForExit().has_value());
  const std::ptrdiff_t descriptors = CountDescriptors();
  rlimit old_limit;
  getrlimit(RLIMIT_NOFILE, &old_limit);
  int failures = 0;
  int successes = 0;
  for (rlim_t limit = 3; successes < 3; ++limit) {
    ASSERT_LT(limit, 1000);
    const rlimit new_limit = {limit, old_limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &new_limit);
    Started run;
    const auto process = runner_->Start(command, run.recorder);
    setrlimit(RLIMIT_NOFILE, &old_limit);
    if (process.ok()) {
      ++successes;
      EXPECT_THAT(run.recorder->WaitForExit(), testing::Optional(Exited(2)));
      EXPECT_EQ(run.recorder->stdout_data(), "x");
    } else {
      ++failures;
      EXPECT_EQ(process.status().code(), absl::StatusCode::kResourceExhausted)
          << process.status();
      EXPECT_EQ(run.recorder->pid(), 0);
      EXPECT_FALSE(HasChild());
    }
    EXPECT_EQ(CountDescriptors(), descriptors);
  }
  EXPECT_GT(failures, 5);
}

// Nobody can be looked for without descriptors, so the end is not told.
TEST_P(ProcessRunnerTest, WaitsForDescriptorsToBeSureOfTheEnd) {
  if (kSanitizerNeedsDescriptors) GTEST_SKIP();
  const Command command =
      Fake("setsid-hold 600\nstdout x\ntouch ready\nwait-file go\nexit 2\n");
  Started run = StartReady(command);
  rlimit old_limit;
  getrlimit(RLIMIT_NOFILE, &old_limit);
  const rlimit new_limit = {3, old_limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &new_limit);
  mkdir((command.working_folder + "/go").c_str(), 0700);
  const pid_t leader = run.recorder->pid();
  const bool reaped = Eventually([&] { return kill(leader, 0) != 0; });
  // Long enough for one that does not wait.
  absl::SleepFor(limits::kPipeIdleTimeout * 2);
  const bool exited = run.recorder->exited();
  setrlimit(RLIMIT_NOFILE, &old_limit);
  EXPECT_TRUE(reaped);
  EXPECT_FALSE(exited);
  EXPECT_THAT(run.recorder->WaitForExit(),
              testing::Optional(Exited(2, /*killed=*/true)));
}

// A program may have closed its own standard streams.
TEST_P(ProcessRunnerTest, StartsWithoutStandardStreams) {
  // What is opened once for good is to have other numbers.
  EXPECT_TRUE(StartFake("").recorder->WaitForExit().has_value());
  const Command command = Fake("stdout out\nstderr err\ndump-state state\n");
  int saved[3];
  for (int fd : {0, 1, 2}) {
    saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    close(fd);
  }
  Started run;
  const auto process = runner_->Start(command, run.recorder);
  for (int fd : {0, 1, 2}) {
    if (fcntl(fd, F_GETFD) == -1) dup2(saved[fd], fd);
  }
  const std::optional<ExitStatus> status = run.recorder->WaitForExit();
  for (int fd : {0, 1, 2}) {
    dup2(saved[fd], fd);
    close(saved[fd]);
  }
  EXPECT_THAT(status, testing::Optional(Exited(0)));
  EXPECT_EQ(run.recorder->stdout_data(), "out");
  EXPECT_EQ(run.recorder->stderr_data(), "err");
  EXPECT_THAT(ReadWhole(folder_ / "2" / "state"),
              StartsWith("fd 0 /dev/null\nfd 1 pipe:"));
}

// --- RunToEnd --------------------------------------------------------------

TEST_P(ProcessRunnerTest, RunToEndGivesTheOutput) {
  const absl::StatusOr<CapturedOutput> output = RunToEnd(
      *runner_, Fake("stdout out\nstderr err\nexit 3\n"), absl::Seconds(60));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_EQ(output->stdout_data, "out");
  EXPECT_EQ(output->stderr_data, "err");
  EXPECT_THAT(output->status, Exited(3));
}

TEST_P(ProcessRunnerTest, RunToEndGivesUpAtTheTimeout) {
  const Command command = Fake("pid pids\nignore-term\nsleep 600\n");
  const absl::Time start = absl::Now();
  EXPECT_EQ(
      RunToEnd(*runner_, command, absl::Milliseconds(200)).status().code(),
      absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(200));
  EXPECT_THAT(RunningWithEntry(command.mark), IsEmpty());
}

TEST_P(ProcessRunnerTest, RunToEndKeepsTheBeginning) {
  const absl::StatusOr<CapturedOutput> output =
      RunToEnd(*runner_, Fake("flood 3000000 5\nexit 9\n"), absl::Seconds(60));
  ASSERT_TRUE(output.ok()) << output.status();
  EXPECT_TRUE(output->stdout_data ==
              PseudoRandom(limits::kMaxProbeOutputBytes, 5));
  EXPECT_TRUE(output->stderr_data ==
              PseudoRandom(limits::kMaxProbeOutputBytes, 6));
  EXPECT_THAT(output->status, Exited(9));
}

TEST_P(ProcessRunnerTest, RunToEndTellsAMissingProgram) {
  Command command = Fake("");
  command.program = (folder_ / "none").string();
  EXPECT_EQ(RunToEnd(*runner_, command, absl::Seconds(60)).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace containerbuilder::service
