#include "process/processes.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstddef>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace containerbuilder::service {
namespace {

// The whole of a small file; nothing and errno where it cannot be read.
std::optional<std::string> ReadFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return std::nullopt;
  std::string content;
  for (;;) {
    constexpr std::size_t kStep = 16 * 1024;
    const std::size_t old_size = content.size();
    content.resize(old_size + kStep);
    const ssize_t size = read(file.get(), &content[old_size], kStep);
    content.resize(old_size + std::max<ssize_t>(size, 0));
    if (size < 0) return std::nullopt;
    if (size == 0) return content;
  }
}

}  // namespace

// glibc 2.36 has functions for these two, but not declared for C++.
UniqueFd OpenPidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}
bool SendSignal(const UniqueFd& pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0;
}

bool HasEnded(const UniqueFd& pidfd) {
  pollfd event = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return poll(&event, 1, 0) == 1;
}

bool OutOfResources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM;
}

std::optional<ProcessStat> ReadProcessStat(pid_t pid) {
  const std::optional<std::string> text =
      ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!text.has_value()) return std::nullopt;
  // "pid (name) state ppid pgrp ..."; the name may hold anything. The start is
  // the 22nd.
  const std::size_t name_end = text->rfind(')');
  ProcessStat stat;
  if (name_end == std::string::npos ||
      std::sscanf(text->c_str() + name_end + 1,
                  " %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
                  "%*d %*d %*d %*d %" SCNu64,
                  &stat.state, &stat.group, &stat.start_ticks) != 3) {
    errno = ESRCH;
    return std::nullopt;
  }
  return stat;
}

bool RunsInGroup(pid_t pid, pid_t group) {
  const std::optional<ProcessStat> stat = ReadProcessStat(pid);
  if (!stat.has_value()) return OutOfResources(errno);
  return stat->group == group && stat->state != 'Z' && stat->state != 'X';
}

// kill() alone cannot tell: it sees zombies too, and those may be left to a
// parent that never looks after them.
bool FindMember(pid_t group, pid_t& member) {
  if (kill(-group, 0) != 0 && errno == ESRCH) return false;
  if (RunsInGroup(member, group)) return true;
  bool found = false;
  const bool listed = ForEachProcess([&](pid_t pid) {
    if (found || !RunsInGroup(pid, group)) return;
    member = pid;
    found = true;
  });
  return found || !listed;
}

std::optional<std::string> ReadEnvironment(pid_t pid) {
  return ReadFile(absl::StrCat("/proc/", pid, "/environ"));
}

bool HasProgram(pid_t pid) {
  char path;
  return readlink(absl::StrCat("/proc/", pid, "/exe").c_str(), &path, 1) > 0;
}

Marked IsMarked(pid_t pid, absl::string_view mark) {
  const std::optional<std::string> environment = ReadEnvironment(pid);
  if (!environment.has_value()) {
    return OutOfResources(errno) ? Marked::kUnreadable : Marked::kNo;
  }
  if (environment->empty()) {
    return HasProgram(pid) ? Marked::kUnsettled : Marked::kNo;
  }
  const std::string entry = absl::StrCat(mark, absl::string_view("\0", 1));
  std::size_t at = environment->find(entry);
  while (at != std::string::npos && at != 0 && (*environment)[at - 1] != '\0') {
    at = environment->find(entry, at + 1);
  }
  return at == std::string::npos ? Marked::kNo : Marked::kYes;
}

std::string BootId() {
  std::optional<std::string> id = ReadFile("/proc/sys/kernel/random/boot_id");
  if (!id.has_value()) return "";
  absl::StripAsciiWhitespace(&*id);
  return *std::move(id);
}

}  // namespace containerbuilder::service
