#ifndef CONTAINERBUILDER_PROCESS_PROCESS_RUNNER_H_
#define CONTAINERBUILDER_PROCESS_PROCESS_RUNNER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace containerbuilder::service {

// What to execute. Nothing is looked up, expanded or inherited.
struct Command {
  // Absolute path of the file to execute.
  std::string program;
  // argv, with argv[0].
  std::vector<std::string> argv;
  // The whole environment, `NAME=VALUE` each.
  std::vector<std::string> environment;
  // Absolute.
  std::string working_folder;
  // The entry of `environment` that no other command has. Descendants that
  // left the process group are found by it; empty: they are not looked for.
  std::string mark;
};

enum class OutputStream { kStdout, kStderr };

// How a program ended.
struct ExitStatus {
  int exit_code = 0;    // 0 where a signal ended it
  int term_signal = 0;  // 0 where it exited
  // Something had to be ended by SIGKILL: at the end of a Stop's grace, or
  // because it outlived the program.
  bool killed = false;
};

// Told what a process does. The calls are serialized and come from the
// runner's threads; none comes after OnExit. They must not block for long:
// the process waits in its pipes meanwhile.
class ProcessListener {
 public:
  virtual ~ProcessListener() = default;
  // Called first, within Start.
  virtual void OnStart(std::int64_t pid) = 0;
  // Some bytes, at most limits::kMaxOutputChunkBytes, valid during the call.
  virtual void OnOutput(OutputStream stream, absl::string_view data) = 0;
  // Both pipes are read to their end or given up, and nothing of the process
  // group nor any marked descendant runs any more.
  virtual void OnExit(const ExitStatus& status) = 0;
};

// A running process group. Destroying the last reference does not stop it.
class Process {
 public:
  virtual ~Process() = default;
  // Sends SIGTERM to the group and, after `grace`, SIGKILL to whatever of it
  // is left. Returns at once; the end is told by OnExit. Any number of times
  // from any thread; an earlier end of grace wins.
  virtual void Stop(absl::Duration grace) = 0;
};

// Starts programs, each in a session and process group of its own, stdin from
// /dev/null, stdout and stderr in two pipes, no other descriptor inherited.
class ProcessRunner {
 public:
  virtual ~ProcessRunner() = default;
  // Blocks until the program is executed, well under a millisecond; call it
  // off the I/O threads. NOT_FOUND, PERMISSION_DENIED and so on, by errno,
  // where it cannot be; `listener` hears nothing then.
  virtual absl::StatusOr<std::shared_ptr<Process>> Start(
      const Command& command, std::shared_ptr<ProcessListener> listener) = 0;
};

// What a short program printed.
struct CapturedOutput {
  std::string stdout_data;
  std::string stderr_data;
  ExitStatus status;
};

// Runs a short program to its end, keeping at most
// limits::kMaxProbeOutputBytes of each stream. Blocks: never call it on the
// runner's own threads. DEADLINE_EXCEEDED after `timeout`, when the program
// has been killed, or could not be within limits::kKillTimeout, by a clock that
// nobody sets.
absl::StatusOr<CapturedOutput> RunToEnd(ProcessRunner& runner,
                                        const Command& command,
                                        absl::Duration timeout);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_PROCESS_PROCESS_RUNNER_H_
