#include "process/boost_process_runner.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "boost/asio/any_io_executor.hpp"
#include "boost/asio/buffer.hpp"
#include "boost/asio/executor_work_guard.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/posix/stream_descriptor.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/strand.hpp"
#include "boost/process/v2/process.hpp"
#include "boost/system/error_code.hpp"
#include "boost/system/system_error.hpp"
#include "process/processes.h"

namespace containerbuilder::service {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// Programs print line by line, and each line relayed alone costs as much as
// 16 KiB. So when a small read follows another one this closely, the next
// waits a moment for more; a lone line is never held back.
constexpr std::size_t kSmallRead = 16 * 1024;
constexpr auto kBurstGap = std::chrono::milliseconds(1);
constexpr auto kBurstPause = std::chrono::microseconds(100);

// What is to die but does not (it waits for a disk, say) is looked at ever
// less often, down to this.
constexpr auto kMaxPollInterval = std::chrono::milliseconds(100);

// How often the marked processes are looked for at most where it is only
// because some process was in the middle of execve, or has no environment.
constexpr int kMaxUnsettledLooks = 3;

// --- Descriptors -----------------------------------------------------------

// The read end goes to `reader`, the write end is returned. It is above 2, so
// that setting up one standard stream cannot close what is to be another.
absl::StatusOr<UniqueFd> OpenPipe(asio::posix::stream_descriptor& reader) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return absl::ErrnoToStatus(errno, "Cannot open a pipe");
  }
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  if (write_end.get() <= STDERR_FILENO) {
    write_end =
        UniqueFd(fcntl(write_end.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!write_end.valid()) {
      return absl::ErrnoToStatus(errno, "Cannot open a pipe");
    }
  }
  fcntl(read_end.get(), F_SETPIPE_SZ, limits::kPipeBytes);
  error_code error;
  reader.assign(read_end.get(), error);
  if (error) {
    return absl::ErrnoToStatus(error.value(), "Cannot watch a pipe");
  }
  read_end.release();
  return write_end;
}

// --- Starting a program ----------------------------------------------------

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) {
    pointers.push_back(const_cast<char*>(string.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

// A NUL would silently cut the text that execve gets.
bool HasNul(const Command& command) {
  const auto has_nul = [](const std::string& text) {
    return text.find('\0') != std::string::npos;
  };
  return has_nul(command.program) || has_nul(command.working_folder) ||
         std::any_of(command.argv.begin(), command.argv.end(), has_nul) ||
         std::any_of(command.environment.begin(), command.environment.end(),
                     has_nul);
}

// posix_spawn tells only an errno, be it for the folder or the program.
absl::Status SpawnError(const Command& command, int error) {
  struct stat folder;
  if (stat(command.working_folder.c_str(), &folder) != 0 ||
      !S_ISDIR(folder.st_mode) ||
      access(command.working_folder.c_str(), X_OK) != 0) {
    return absl::ErrnoToStatus(error,
                               absl::StrCat("Cannot enter the working folder ",
                                            command.working_folder));
  }
  return absl::ErrnoToStatus(error,
                             absl::StrCat("Cannot execute ", command.program));
}

// posix_spawn and not fork: its cost does not grow with our memory, and
// nothing of ours runs in the child.
absl::StatusOr<pid_t> Spawn(const Command& command, int stdout_fd,
                            int stderr_fd) {
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  // Not sigfillset: it leaves out the two signals that glibc keeps to itself,
  // and those the program would then ignore.
  std::memset(&all, 0xff, sizeof(all));
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const int steps[] = {
      posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID |
                                                POSIX_SPAWN_SETSIGMASK |
                                                POSIX_SPAWN_SETSIGDEF),
      posix_spawnattr_setsigmask(&attributes, &none),
      posix_spawnattr_setsigdefault(&attributes, &all),
      posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
                                       O_RDONLY, 0),
      posix_spawn_file_actions_adddup2(&actions, stdout_fd, STDOUT_FILENO),
      posix_spawn_file_actions_adddup2(&actions, stderr_fd, STDERR_FILENO),
      posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1),
      posix_spawn_file_actions_addchdir_np(&actions,
                                           command.working_folder.c_str()),
  };
  const auto* failed = std::find_if(std::begin(steps), std::end(steps),
                                    [](int step) { return step != 0; });
  int error = 0;
  pid_t pid = 0;
  if (failed != std::end(steps)) {
    error = *failed;
  } else {
    error = posix_spawn(&pid, command.program.c_str(), &actions, &attributes,
                        Pointers(command.argv).data(),
                        Pointers(command.environment).data());
  }
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return SpawnError(command, error);
  return pid;
}

}  // namespace

// --- The runner's state ----------------------------------------------------

// The I/O threads, and the books on what was started.
class BoostProcessRunner::State {
 public:
  explicit State(Options options) : reap_orphans_(options.reap_orphans) {
    for (int i = 0; i < options.io_threads; ++i) {
      threads_.emplace_back([this] { context_.run(); });
    }
  }

  asio::any_io_executor NewStrand() { return asio::make_strand(context_); }

  // Around every start, so that a child which is not in the books yet is not
  // taken for an orphan.
  void BeginStart();
  void EndStart(const std::shared_ptr<Group>& group, pid_t leader);
  void FailStart();

  // The leader's exit status was taken; its pid may mean another process now.
  void ForgetLeader(const std::shared_ptr<Group>& group);
  void Forget(const std::shared_ptr<Group>& group);

  // Takes the zombies of a group whose leader is no more.
  void ReapGroup(pid_t group);
  // Takes all zombies that we did not start, where that is wanted.
  void ReapOrphans();

  // Ends all that runs.
  void Shutdown();

 private:
  void ReapOrphansLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const bool reap_orphans_;
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_ =
      asio::make_work_guard(context_);
  std::vector<std::thread> threads_;

  // Also held while a zombie is looked at and reaped, so that no one else
  // reaps it and its pid cannot become another child's in between.
  absl::Mutex mutex_;
  int starting_ ABSL_GUARDED_BY(mutex_) = 0;
  // What runs, each with its leader's pid or, once that is reaped, nothing.
  absl::flat_hash_map<std::shared_ptr<Group>, std::optional<pid_t>> groups_
      ABSL_GUARDED_BY(mutex_);
};

// --- A process group -------------------------------------------------------

// Everything but Launch and Stop happens on `strand_`.
class BoostProcessRunner::Group final
    : public Process,
      public std::enable_shared_from_this<Group> {
 public:
  Group(std::shared_ptr<State> state, std::string mark,
        std::shared_ptr<ProcessListener> listener)
      : state_(std::move(state)),
        mark_(std::move(mark)),
        listener_(std::move(listener)) {}

  // Executes the command and returns the leader's pid.
  absl::StatusOr<pid_t> Launch(const Command& command);
  // Starts listening to what was launched.
  void Follow();

  void Stop(absl::Duration grace) override;

 private:
  struct Pipe {
    Pipe(OutputStream the_stream, const asio::any_io_executor& executor)
        : stream(the_stream), reader(executor), pause(executor) {}

    const OutputStream stream;
    asio::posix::stream_descriptor reader;
    asio::steady_timer pause;
    std::unique_ptr<char[]> buffer;
    Clock::time_point last_read;
  };

  void Read(Pipe& pipe);
  void OnRead(Pipe& pipe, const error_code& error, std::size_t size);
  void OnPause(Pipe& pipe);
  void Deliver(const Pipe& pipe, std::size_t size);
  void ReadRest(Pipe& pipe);
  void ClosePipe(Pipe& pipe);
  bool PipesClosed() const;

  void AwaitLeader();
  void OnLeaderExit(bool status_known);
  void OnStop(Clock::time_point kill_at);
  void Advance();
  void AdvanceAt(Clock::time_point when);
  bool GroupRuns();
  bool MarkedRun();
  void CloseDown();
  void Finish();

  const std::shared_ptr<State> state_;
  const std::string mark_;
  const asio::any_io_executor strand_ = state_->NewStrand();
  std::shared_ptr<ProcessListener> listener_;
  std::array<Pipe, 2> pipes_{Pipe(OutputStream::kStdout, strand_),
                             Pipe(OutputStream::kStderr, strand_)};
  boost::process::v2::process leader_{strand_};
  asio::posix::stream_descriptor exit_{strand_};  // readable when it has ended
  pid_t group_ = 0;  // the leader's pid too, while the leader is not reaped
  asio::steady_timer timer_{strand_};

  bool leader_reaped_ = false;
  bool stopping_ = false;
  bool closing_down_ = false;
  // With Stop: the end of grace. Else, once the leader is gone: how long what
  // it left may go on talking.
  Clock::time_point kill_at_ = Clock::time_point::max();
  Clock::time_point last_heard_;  // of output, or of the leader's exit
  Clock::duration poll_interval_ =
      absl::ToChronoMilliseconds(limits::kGroupPollInterval);
  bool group_ended_ = false;
  pid_t member_ = 0;              // see FindMember
  std::vector<UniqueFd> doomed_;  // pidfds of what was sent SIGKILL
  int unsettled_looks_ = 0;
  ExitStatus status_;
};

absl::StatusOr<pid_t> BoostProcessRunner::Group::Launch(
    const Command& command) {
  if (HasNul(command)) {
    return absl::InvalidArgumentError("A command's text has a NUL in it");
  }
  for (Pipe& pipe : pipes_) {
    pipe.buffer =
        std::make_unique_for_overwrite<char[]>(limits::kMaxOutputChunkBytes);
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const UniqueFd stdout_end,
                                    OpenPipe(pipes_[0].reader));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const UniqueFd stderr_end,
                                    OpenPipe(pipes_[1].reader));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const pid_t pid, Spawn(command, stdout_end.get(), stderr_end.get()));

  UniqueFd pidfd = OpenPidfd(pid);
  UniqueFd exit = OpenPidfd(pid);
  int error = pidfd.valid() && exit.valid() ? 0 : errno;
  if (error == 0) {
    try {
      exit_.assign(exit.get());
      exit.release();
      leader_ = boost::process::v2::process(strand_, pid, pidfd.get());
      pidfd.release();
    } catch (const boost::system::system_error& failure) {
      error = failure.code().value();
    }
  }
  if (error != 0) {
    kill(-pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return absl::ErrnoToStatus(error, "Cannot watch a process");
  }
  group_ = pid;
  member_ = pid;
  return pid;
}

void BoostProcessRunner::Group::Follow() {
  asio::post(strand_, [self = shared_from_this()] {
    for (Pipe& pipe : self->pipes_) self->Read(pipe);
    self->AwaitLeader();
  });
}

void BoostProcessRunner::Group::Stop(absl::Duration grace) {
  // Bounded, so that the sum cannot overflow.
  const Clock::time_point kill_at =
      Clock::now() + absl::ToChronoNanoseconds(std::clamp(
                         grace, absl::ZeroDuration(), absl::Hours(24 * 365)));
  // Weak: when the runner is gone, nobody takes the call from its queue.
  asio::post(strand_, [weak = weak_from_this(), kill_at] {
    if (const auto self = weak.lock()) self->OnStop(kill_at);
  });
}

void BoostProcessRunner::Group::Read(Pipe& pipe) {
  pipe.reader.async_read_some(
      asio::buffer(pipe.buffer.get(), limits::kMaxOutputChunkBytes),
      [self = shared_from_this(), &pipe](const error_code& error,
                                         std::size_t size) {
        self->OnRead(pipe, error, size);
      });
}

void BoostProcessRunner::Group::OnRead(Pipe& pipe, const error_code& error,
                                       std::size_t size) {
  if (size > 0) Deliver(pipe, size);
  if (closing_down_) return ReadRest(pipe);
  if (error) {
    ClosePipe(pipe);
    return Advance();
  }
  const Clock::time_point now = Clock::now();
  const bool burst = size < kSmallRead && now - pipe.last_read < kBurstGap;
  pipe.last_read = now;
  if (!burst) return Read(pipe);
  pipe.pause.expires_after(kBurstPause);
  pipe.pause.async_wait([self = shared_from_this(), &pipe](const error_code&) {
    self->OnPause(pipe);
  });
}

void BoostProcessRunner::Group::OnPause(Pipe& pipe) {
  if (closing_down_) return ReadRest(pipe);
  Read(pipe);
}

void BoostProcessRunner::Group::Deliver(const Pipe& pipe, std::size_t size) {
  listener_->OnOutput(pipe.stream, absl::string_view(pipe.buffer.get(), size));
  last_heard_ = Clock::now();
}

// Not by the handle's async_wait, which takes every wake-up for the end and
// then waits for it in waitpid. But an event that belongs to a descriptor just
// closed may wake whoever got its place in Asio's books.
void BoostProcessRunner::Group::AwaitLeader() {
  exit_.async_wait(asio::posix::stream_descriptor::wait_read,
                   [self = shared_from_this()](const error_code&) {
                     error_code error;
                     if (self->leader_.running(error)) {
                       self->AwaitLeader();
                     } else {
                       self->OnLeaderExit(/*status_known=*/!error);
                     }
                   });
}

void BoostProcessRunner::Group::OnLeaderExit(bool status_known) {
  const int status = leader_.native_exit_code();
  // Else the handle would, when destroyed, kill whoever has the pid then.
  leader_.detach();
  error_code ignored;
  exit_.close(ignored);
  leader_reaped_ = true;
  state_->ForgetLeader(shared_from_this());
  if (!status_known) {
    status_.exit_code = -1;
  } else if (WIFSIGNALED(status)) {
    status_.term_signal = WTERMSIG(status);
  } else {
    status_.exit_code = WEXITSTATUS(status);
  }
  last_heard_ = Clock::now();
  if (!stopping_) {
    kill_at_ =
        last_heard_ + absl::ToChronoMilliseconds(limits::kPipeDrainTimeout);
  }
  Advance();
}

void BoostProcessRunner::Group::OnStop(Clock::time_point kill_at) {
  if (closing_down_) return;
  if (stopping_) {
    kill_at_ = std::min(kill_at_, kill_at);
  } else {
    stopping_ = true;
    kill_at_ = kill_at;
    if (GroupRuns()) kill(-group_, SIGTERM);
  }
  Advance();
}

// Does what is due, and sees to it that it is called again.
void BoostProcessRunner::Group::Advance() {
  if (closing_down_ || (!leader_reaped_ && !stopping_)) return;
  const Clock::time_point now = Clock::now();
  if (!leader_reaped_ && now < kill_at_) return AdvanceAt(kill_at_);

  // First, everyone has time to end by himself.
  const bool group_runs = GroupRuns();
  const bool in_time =
      stopping_
          ? group_runs && now < kill_at_
          : (group_runs || !PipesClosed()) && now < kill_at_ &&
                now < last_heard_ +
                          absl::ToChronoMilliseconds(limits::kPipeIdleTimeout);
  if (in_time) return AdvanceAt(now + poll_interval_);

  // Then what is left is ended, however long it takes.
  if (group_runs) {
    kill(-group_, SIGKILL);
    status_.killed = true;
  }
  if (!leader_reaped_) return;  // its end calls again
  if (group_runs || MarkedRun()) {
    AdvanceAt(now + poll_interval_);
    poll_interval_ =
        std::min<Clock::duration>(2 * poll_interval_, kMaxPollInterval);
    return;
  }
  CloseDown();
}

// Whether a member of the group runs. Once none is left the group's number may
// become another's, and is never used again.
bool BoostProcessRunner::Group::GroupRuns() {
  if (group_ended_) return false;
  if (leader_reaped_) state_->ReapGroup(group_);
  const bool runs = FindMember(group_, member_);
  group_ended_ = leader_reaped_ && !runs;
  return runs;
}

void BoostProcessRunner::Group::AdvanceAt(Clock::time_point when) {
  timer_.expires_at(when);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) self->Advance();
  });
}

// Ends what left the group; true while some of it runs, or may.
bool BoostProcessRunner::Group::MarkedRun() {
  if (mark_.empty()) return false;
  doomed_.erase(std::remove_if(doomed_.begin(), doomed_.end(), HasEnded),
                doomed_.end());
  bool found = false;
  bool unsettled = false;
  const bool listed = ForEachProcess([&](pid_t pid) {
    if (pid == getpid()) return;
    const Marked marked = IsMarked(pid, mark_);
    unsettled |= marked == Marked::kUnsettled;
    found |= marked == Marked::kYes || marked == Marked::kUnreadable;
    if (marked != Marked::kYes) return;
    // The pid may have become another's meanwhile. What the pidfd stands for
    // cannot change, and if the pid is marked now, it stands for that process
    // or for one that is dead.
    UniqueFd pidfd = OpenPidfd(pid);
    if (!pidfd.valid() || IsMarked(pid, mark_) != Marked::kYes ||
        !SendSignal(pidfd, SIGKILL)) {
      return;
    }
    status_.killed = true;
    doomed_.push_back(std::move(pidfd));
  });
  if (found || !doomed_.empty()) return true;
  if (!listed) return OutOfResources(errno);
  return unsettled && ++unsettled_looks_ < kMaxUnsettledLooks;
}

// Nothing of ours writes any more, so that what is in the pipes is the rest;
// should a stranger hold one open, it is not waited for.
void BoostProcessRunner::Group::CloseDown() {
  closing_down_ = true;
  if (PipesClosed()) return Finish();
  for (Pipe& pipe : pipes_) {
    // The read or pause that is under way calls ReadRest.
    if (!pipe.reader.is_open()) continue;
    error_code ignored;
    pipe.reader.cancel(ignored);
    pipe.pause.cancel();
  }
}

void BoostProcessRunner::Group::ReadRest(Pipe& pipe) {
  int left = 0;
  ioctl(pipe.reader.native_handle(), FIONREAD, &left);
  while (left > 0) {
    const ssize_t size = read(pipe.reader.native_handle(), pipe.buffer.get(),
                              limits::kMaxOutputChunkBytes);
    if (size <= 0) break;
    Deliver(pipe, size);
    left -= static_cast<int>(size);
  }
  ClosePipe(pipe);
  if (PipesClosed()) Finish();
}

void BoostProcessRunner::Group::ClosePipe(Pipe& pipe) {
  error_code ignored;
  pipe.reader.close(ignored);
  pipe.buffer.reset();
}

bool BoostProcessRunner::Group::PipesClosed() const {
  return std::none_of(pipes_.begin(), pipes_.end(),
                      [](const Pipe& pipe) { return pipe.reader.is_open(); });
}

void BoostProcessRunner::Group::Finish() {
  timer_.cancel();
  state_->ReapOrphans();
  // The listener may own this object.
  const std::shared_ptr<ProcessListener> listener = std::move(listener_);
  listener->OnExit(status_);
  state_->Forget(shared_from_this());
}

void BoostProcessRunner::State::BeginStart() {
  absl::MutexLock lock(&mutex_);
  ++starting_;
}

void BoostProcessRunner::State::EndStart(const std::shared_ptr<Group>& group,
                                         pid_t leader) {
  absl::MutexLock lock(&mutex_);
  --starting_;
  groups_.emplace(group, leader);
}

void BoostProcessRunner::State::FailStart() {
  absl::MutexLock lock(&mutex_);
  --starting_;
  ReapOrphansLocked();
}

void BoostProcessRunner::State::ForgetLeader(
    const std::shared_ptr<Group>& group) {
  absl::MutexLock lock(&mutex_);
  groups_[group] = std::nullopt;
}

void BoostProcessRunner::State::Forget(const std::shared_ptr<Group>& group) {
  absl::MutexLock lock(&mutex_);
  groups_.erase(group);
}

void BoostProcessRunner::State::ReapGroup(pid_t group) {
  absl::MutexLock lock(&mutex_);
  for (;;) {
    siginfo_t zombie{};
    if (waitid(P_PGID, group, &zombie, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        zombie.si_pid == 0) {
      return;
    }
    // Our leader is gone: this one is another's, who got the number.
    if (zombie.si_pid == group) return;
    waitpid(zombie.si_pid, nullptr, WNOHANG);
  }
}

void BoostProcessRunner::State::ReapOrphans() {
  absl::MutexLock lock(&mutex_);
  ReapOrphansLocked();
}

void BoostProcessRunner::State::ReapOrphansLocked() {
  // While something starts, its end will do it.
  if (!reap_orphans_ || starting_ > 0) return;
  absl::flat_hash_set<pid_t> leaders;
  for (const auto& [group, leader] : groups_) {
    if (leader.has_value()) leaders.insert(*leader);
  }
  ForEachProcess([&](pid_t pid) {
    // Does nothing where it is no child of ours or runs.
    if (!leaders.contains(pid)) waitpid(pid, nullptr, WNOHANG);
  });
}

void BoostProcessRunner::State::Shutdown() {
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [group, leader] : groups_) {
      group->Stop(absl::ZeroDuration());
    }
  }
  work_.reset();
  for (std::thread& thread : threads_) thread.join();
}

// --- The runner ------------------------------------------------------------

BoostProcessRunner::BoostProcessRunner(Options options)
    : state_(std::make_shared<State>(options)) {}

BoostProcessRunner::~BoostProcessRunner() { state_->Shutdown(); }

absl::StatusOr<std::shared_ptr<Process>> BoostProcessRunner::Start(
    const Command& command, std::shared_ptr<ProcessListener> listener) {
  ProcessListener& started = *listener;
  auto group =
      std::make_shared<Group>(state_, command.mark, std::move(listener));
  state_->BeginStart();
  const absl::StatusOr<pid_t> pid = group->Launch(command);
  if (!pid.ok()) {
    state_->FailStart();
    return pid.status();
  }
  state_->EndStart(group, *pid);
  started.OnStart(*pid);
  group->Follow();
  return group;
}

}  // namespace containerbuilder::service
