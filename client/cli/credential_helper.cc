#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "docker_config.h"
#include "local_files.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

constexpr std::size_t kMaxAnswer = 1024 * 1024;

// Both ends of a pipe, closed with this.
struct Pipe {
  Pipe() { valid = ::pipe2(ends.data(), O_CLOEXEC) == 0; }
  ~Pipe() {
    Close(0);
    Close(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void Close(std::size_t end) {
    if (ends[end] >= 0) ::close(ends[end]);
    ends[end] = -1;
  }

  std::array<int, 2> ends = {-1, -1};
  bool valid = false;
};

// Starts it with these as its standard input and output, and signals as they
// are by default; 0, else an errno.
int Spawn(const std::string& program, const std::string& action, int input,
          int output, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  sigset_t to_default;
  sigemptyset(&to_default);
  sigaddset(&to_default, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &to_default);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string name = program;
  std::string argument = action;
  std::array<char*, 3> argv = {name.data(), argument.data(), nullptr};
  const int error = ::posix_spawnp(&pid, program.c_str(), &actions, &attributes,
                                   argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

absl::StatusOr<std::string> RunCredentialHelper(const std::string& name,
                                                const std::string& action,
                                                const std::string& input) {
  const std::string program = absl::StrCat("docker-credential-", name);
  if (name.find('/') != std::string::npos) {
    return absl::InvalidArgumentError("not a helper's name");
  }
  if (input.size() > PIPE_BUF) {
    return absl::InvalidArgumentError("its input is too long");
  }
  Pipe to;
  Pipe from;
  pid_t pid = 0;
  const int error = to.valid && from.valid
                        ? Spawn(program, action, to.ends[0], from.ends[1], pid)
                        : errno;
  if (error != 0) {
    return absl::NotFoundError(std::generic_category().message(error));
  }
  // Into the pipe while this holds both of its ends: a helper that is gone
  // without having read it is heard all the same.
  (void)Write(to.ends[1], input);
  to.Close(0);
  to.Close(1);
  from.Close(1);
  auto answer = ReadDescriptor(from.ends[0], program, kMaxAnswer);
  from.Close(0);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) return absl::UnknownError("it failed");
  return answer;
}

}  // namespace containerbuilder::cli
