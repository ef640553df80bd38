#ifndef CONTAINERBUILDER_PROCESS_PROCESSES_H_
#define CONTAINERBUILDER_PROCESS_PROCESSES_H_

#include <dirent.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

// What Linux tells of processes, and pidfds. A pid may mean another process at
// any time after its own was reaped; each function says what it does about it.
namespace containerbuilder::service {

// Stands for the process that has the pid now, for good; not valid where there
// is none.
UniqueFd OpenPidfd(pid_t pid);
bool SendSignal(const UniqueFd& pidfd, int signal);
// Whether what the pidfd stands for runs no more.
bool HasEnded(const UniqueFd& pidfd);

// errno says that there was no room to look, not that there is nothing.
bool OutOfResources(int error);

// Calls `visit` for every process; false and errno where they cannot be
// listed.
template <typename Visitor>
bool ForEachProcess(Visitor visit) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir("/proc"), closedir);
  if (folder == nullptr) return false;
  while (const dirent* entry = readdir(folder.get())) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(entry->d_name, &pid)) visit(pid);
  }
  return true;
}

// What /proc/PID/stat tells.
struct ProcessStat {
  char state = 0;
  pid_t group = 0;
  std::uint64_t start_ticks = 0;  // since boot
};
// Nothing and errno where there is no such process.
std::optional<ProcessStat> ReadProcessStat(pid_t pid);

// Whether the process is in the group and more than a zombie; true where that
// cannot be looked at for want of resources.
bool RunsInGroup(pid_t pid, pid_t group);

// Whether a member of the group runs. `member` keeps who was found, to be
// asked first the next time.
bool FindMember(pid_t group, pid_t& member);

// The environment that the process was started with, `NAME=VALUE` and a NUL
// each; nothing and errno where it cannot be read.
std::optional<std::string> ReadEnvironment(pid_t pid);

// Whether the process has a program: not so zombies and kernel threads. One
// that has but no environment may be between two programs, in execve.
bool HasProgram(pid_t pid);

enum class Marked {
  kNo,
  kYes,
  kUnsettled,   // it has a program, but no environment (yet)
  kUnreadable,  // for want of resources
};
// Whether `mark` is an entry of the process's environment.
Marked IsMarked(pid_t pid, absl::string_view mark);

// /proc/sys/kernel/random/boot_id: pids and ticks mean something within one
// boot only. Empty where it cannot be read.
std::string BootId();

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_PROCESS_PROCESSES_H_
