#include "cli/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace containerbuilder::test_support {
namespace {

constexpr int kDeadlineMs = 60'000;

void Check(int error, const char* what) {
  if (error != 0) throw std::system_error(error, std::generic_category(), what);
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Environment(
    std::map<std::string, std::string> variables) {
  variables.emplace("CONTAINER_BUILDER_ADDRESS", "");
  std::vector<std::string> result;
  for (const auto& [name, value] : variables) {
    result.push_back(name + "=" + value);
  }
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    if (!variables.contains(text.substr(0, text.find('=')))) {
      result.push_back(text);
    }
  }
  return result;
}

// Reads what is there; closes the pipe at its end.
void ReadSome(int& fd, std::string& text) {
  char buffer[65536];
  const ssize_t size = ::read(fd, buffer, sizeof(buffer));
  if (size > 0) {
    text.append(buffer, static_cast<std::size_t>(size));
  } else {
    ::close(std::exchange(fd, -1));
  }
}

}  // namespace

Program::Program(const Invocation& invocation) {
  int out[2];
  int err[2];
  if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) {
    Check(errno, "pipe2");
  }
  out_fd_ = out[0];
  err_fd_ = err[0];

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  posix_spawn_file_actions_addchdir_np(&actions, invocation.folder.c_str());

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
                                            POSIX_SPAWN_SETSIGDEF |
                                            POSIX_SPAWN_SETSIGMASK);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  for (const int signal : {SIGTERM, SIGPIPE, SIGINT}) {
    if (signal != SIGINT || !invocation.ignore_sigint) {
      sigaddset(&signals, signal);
    }
  }
  posix_spawnattr_setsigdefault(&attributes, &signals);

  std::vector<std::string> arguments = invocation.arguments;
  arguments.insert(arguments.begin(), invocation.program);
  std::vector<std::string> environment = Environment(invocation.environment);
  // What is ignored here is ignored there.
  struct sigaction before = {};
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  if (invocation.ignore_sigint) ::sigaction(SIGINT, &ignore, &before);
  const int error =
      ::posix_spawn(&pid_, invocation.program.c_str(), &actions, &attributes,
                    Pointers(arguments).data(), Pointers(environment).data());
  if (invocation.ignore_sigint) ::sigaction(SIGINT, &before, nullptr);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  ::close(out[1]);
  ::close(err[1]);
  Check(error, invocation.program.c_str());
  pid_fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  if (pid_fd_ < 0) Check(errno, "pidfd_open");
}

Program::~Program() {
  for (const int fd : {pid_fd_, out_fd_, err_fd_}) {
    if (fd >= 0) ::close(fd);
  }
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

void Program::WaitForOut(const std::string& text) {
  ReadUntil(true, [&] { return out_.find(text) != std::string::npos; });
}

void Program::WaitForErr(const std::string& text) {
  ReadUntil(false, [&] { return err_.find(text) != std::string::npos; });
}

void Program::Signal(int signal) const { ::kill(pid_, signal); }

void Program::CloseOut() { ::close(std::exchange(out_fd_, -1)); }

int Program::Wait() {
  ReadUntil(true, [] { return false; });
  return Reap();
}

int Program::WaitUnread() {
  ReadUntil(false, [] { return false; });
  return Reap();
}

void Program::ReadUntil(bool read_out, const std::function<bool()>& done) {
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(kDeadlineMs);
  while (!done() && ((read_out && out_fd_ >= 0) || err_fd_ >= 0)) {
    pollfd fds[] = {{read_out ? out_fd_ : -1, POLLIN, 0}, {err_fd_, POLLIN, 0}};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (::poll(fds, 2, std::max(0, static_cast<int>(left.count()))) == 0) {
      throw std::runtime_error("timed out; standard error: " + err_);
    }
    if (fds[0].revents != 0) ReadSome(out_fd_, out_);
    if (fds[1].revents != 0) ReadSome(err_fd_, err_);
  }
}

int Program::Reap() {
  pollfd ended{pid_fd_, POLLIN, 0};
  if (::poll(&ended, 1, kDeadlineMs) != 1) {
    throw std::runtime_error("did not end; standard error: " + err_);
  }
  int status = 0;
  ::waitpid(std::exchange(pid_, -1), &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

ProgramResult RunProgram(const Invocation& invocation) {
  Program program(invocation);
  const int exit_code = program.Wait();
  return {exit_code, program.out(), program.err()};
}

}  // namespace containerbuilder::test_support
