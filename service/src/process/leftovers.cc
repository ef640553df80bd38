#include "process/leftovers.h"

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/unique_fd.h"
#include "process/processes.h"

namespace containerbuilder::service {
namespace {

// Where all have a mark of the same name, looking at a process once is enough
// for all marks.
bool HasAnyMark(absl::string_view environment,
                const absl::flat_hash_set<absl::string_view>& marks) {
  for (const absl::string_view entry : absl::StrSplit(environment, '\0')) {
    if (marks.contains(entry)) return true;
  }
  return false;
}

// How often it is looked again where some process had no environment yet:
// between two programs, in execve. Some have none for good.
constexpr int kMaxUnsettledLooks = 3;

// Which nobody sets.
using Clock = std::chrono::steady_clock;

bool Runs(const ProcessStat& stat) {
  return stat.state != 'Z' && stat.state != 'X';
}

// One look: sends SIGKILL to all that is found, and keeps pidfds of it.
class Sweep {
 public:
  explicit Sweep(absl::Span<const Leftover> leftovers)
      : leftovers_(leftovers), boot_id_(BootId()) {
    for (const Leftover& leftover : leftovers) marks_.insert(leftover.mark);
  }

  // False where nothing was found that runs, or may.
  bool Run() {
    doomed_.clear();
    groups_.clear();
    unsettled_ = false;
    for (const Leftover& leftover : leftovers_) {
      if (leftover.leader) KillLeader(*leftover.leader);
    }
    ForEachProcess([this](pid_t pid) { KillMarked(pid); });
    // As long as a member lives, the number of its group is not given anew.
    for (const pid_t group : groups_) {
      ForEachProcess([this, group](pid_t pid) { KillMember(pid, group); });
    }
    return !doomed_.empty() ||
           (unsettled_ && ++unsettled_looks_ < kMaxUnsettledLooks);
  }

  // Waits until all that was found is gone; false at the deadline.
  bool Await(Clock::time_point deadline) {
    for (const UniqueFd& pidfd : doomed_) {
      pollfd event = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
      const absl::Duration left = absl::FromChrono(deadline - Clock::now());
      if (left <= absl::ZeroDuration() ||
          poll(&event, 1,
               static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) != 1) {
        return HasEnded(pidfd);
      }
    }
    return true;
  }

 private:
  void KillLeader(const ProcessId& leader) {
    if (leader.boot_id != boot_id_ || leader.pid <= 1) return;
    UniqueFd pidfd = OpenPidfd(leader.pid);
    // Looked at after the pidfd was opened: what it stands for cannot change.
    const std::optional<ProcessStat> stat = ReadProcessStat(leader.pid);
    if (!pidfd.valid() || !stat || stat->start_ticks != leader.start_ticks) {
      return;
    }
    if (stat->group == leader.pid) groups_.insert(leader.pid);
    Kill(std::move(pidfd), *stat);
  }

  void KillMarked(pid_t pid) {
    if (pid == getpid() || pid <= 1) return;
    if (!IsMarkedNow(pid)) return;
    UniqueFd pidfd = OpenPidfd(pid);
    if (!pidfd.valid() || !IsMarkedNow(pid)) return;
    const std::optional<ProcessStat> stat = ReadProcessStat(pid);
    if (!stat) return;
    // Each build has a session of its own, so whoever shares a group with one
    // of its processes is of the build, whatever became of its environment.
    if (stat->group != getpgrp()) groups_.insert(stat->group);
    Kill(std::move(pidfd), *stat);
  }

  void KillMember(pid_t pid, pid_t group) {
    if (pid == getpid() || pid <= 1) return;
    std::optional<ProcessStat> stat = ReadProcessStat(pid);
    if (!stat || stat->group != group || !Runs(*stat)) return;
    UniqueFd pidfd = OpenPidfd(pid);
    stat = ReadProcessStat(pid);
    if (!pidfd.valid() || !stat || stat->group != group) return;
    Kill(std::move(pidfd), *stat);
  }

  bool IsMarkedNow(pid_t pid) {
    const std::optional<std::string> environment = ReadEnvironment(pid);
    if (!environment) return false;
    if (environment->empty()) unsettled_ |= HasProgram(pid);
    return HasAnyMark(*environment, marks_);
  }

  void Kill(UniqueFd pidfd, const ProcessStat& stat) {
    if (!Runs(stat) || !SendSignal(pidfd, SIGKILL)) return;
    doomed_.push_back(std::move(pidfd));
  }

  const absl::Span<const Leftover> leftovers_;
  const std::string boot_id_;
  absl::flat_hash_set<absl::string_view> marks_;
  absl::flat_hash_set<pid_t> groups_;
  std::vector<UniqueFd> doomed_;
  bool unsettled_ = false;
  int unsettled_looks_ = 0;
};

}  // namespace

std::optional<ProcessId> IdentifyProcess(pid_t pid) {
  const std::optional<ProcessStat> stat = ReadProcessStat(pid);
  if (!stat) return std::nullopt;
  return ProcessId{pid, stat->start_ticks, BootId()};
}

absl::Status EndLeftovers(absl::Span<const Leftover> leftovers,
                          absl::Duration timeout) {
  if (leftovers.empty()) return absl::OkStatus();
  const Clock::time_point deadline =
      Clock::now() + absl::ToChronoNanoseconds(timeout);
  Sweep sweep(leftovers);
  // Again until nothing is found: what was found may have started more before
  // it died.
  while (sweep.Run()) {
    if (!sweep.Await(deadline)) {
      return absl::DeadlineExceededError(
          absl::StrCat("something that was killed still runs after ",
                       absl::FormatDuration(timeout)));
    }
  }
  return absl::OkStatus();
}

}  // namespace containerbuilder::service
