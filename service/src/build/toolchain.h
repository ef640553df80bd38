#ifndef CONTAINERBUILDER_BUILD_TOOLCHAIN_H_
#define CONTAINERBUILDER_BUILD_TOOLCHAIN_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "build/host.h"
#include "process/process_runner.h"

namespace containerbuilder::service {

// The operator's settings of nerdctl's surroundings; they reach nerdctl as its
// environment variables. Empty: the service's own variable of that name, else
// nerdctl's default.
struct ToolchainOptions {
  std::string nerdctl;               // path; empty: looked up on PATH
  std::string containerd_address;    // CONTAINERD_ADDRESS
  std::string containerd_namespace;  // CONTAINERD_NAMESPACE
  std::string buildkit_host;         // BUILDKIT_HOST
  std::string snapshotter;           // CONTAINERD_SNAPSHOTTER
  // How long a program may take to tell its version and the like.
  absl::Duration probe_timeout = limits::kProbeTimeout;
};

// The first executable regular file of that name on `path`, a PATH value, as
// Python's shutil.which finds it; a name with a slash is taken as it is.
// Relative entries are relative to the process's working folder.
std::optional<std::string> FindProgram(absl::string_view name,
                                       absl::string_view path);

// The first version in what a program prints, `1.7.7` of `nerdctl version
// v1.7.7`; empty where there is none.
std::string FindVersion(absl::string_view text);

// Flags of a nerdctl command, by name without dashes; true: the next argument
// is its value.
using FlagMap = std::map<std::string, bool, std::less<>>;

// The flags that a command's `--help` lists.
FlagMap ParseFlags(absl::string_view help);

// What the installed nerdctl can do, read from its `--version` and
// `build --help`.
struct NerdctlInfo {
  std::string path;     // absolute
  std::string version;  // `1.7.7`; empty where it did not tell
  // Flags of `nerdctl build`; empty where it did not tell, which says nothing
  // about what it has.
  FlagMap flags;
  // Why something is empty, in a sentence; empty where it answered as it
  // should.
  std::string problem;
};

// The programs that a build runs. Thread-safe.
class Toolchain {
 public:
  // `runner` must outlive it.
  Toolchain(ToolchainOptions options, Host host, ProcessRunner* runner);

  const ToolchainOptions& options() const { return options_; }
  const Host& host() const { return host_; }

  // A program on the PATH of Environment(), absolute. Looks every time: it may
  // be installed meanwhile.
  std::optional<std::string> Find(absl::string_view name) const;

  // nerdctl's absolute path. NERDCTL_NOT_FOUND or NERDCTL_NOT_EXECUTABLE
  // (errors.h), whose message ends with InstallHint(). Looks every time.
  absl::StatusOr<std::string> FindNerdctl() const;

  // Where to read how nerdctl is set up on this platform.
  std::string InstallHint() const;

  // Asks nerdctl once and again when the file changed (inode, size, mtime);
  // what it could not tell is asked every time, but for
  // limits::kSlowAnswerFreshness. Simultaneous callers share an answer. Blocks
  // up to twice probe_timeout. Errors of FindNerdctl; NERDCTL_NOT_EXECUTABLE
  // where it cannot be run or does not answer.
  absl::StatusOr<NerdctlInfo> Nerdctl();

  // What a short program prints to stdout. `argv[0]` is its absolute path.
  // DEADLINE_EXCEEDED where it does not end within probe_timeout, UNKNOWN
  // where it exits with an error of its own, else why it cannot be run. The
  // message is a sentence for people, with the end of what the program said.
  absl::StatusOr<std::string> Ask(const std::vector<std::string>& argv) const;

  // The whole environment of nerdctl and of probes: PATH, HOME,
  // XDG_RUNTIME_DIR as the service has them, and the options above. Sorted by
  // name.
  std::vector<std::string> Environment() const;

  // A variable of Environment(); empty where it is not set.
  std::string Variable(absl::string_view name) const;

 private:
  absl::StatusOr<NerdctlInfo> AskNerdctl(const std::string& path) const;

  const ToolchainOptions options_;
  const Host host_;
  ProcessRunner* const runner_;
  const std::map<std::string, std::string, std::less<>> environment_;

  absl::Mutex mutex_;
  // Somebody asks nerdctl, without holding the mutex.
  bool asking_ ABSL_GUARDED_BY(mutex_) = false;
  // What was answered last, and by which file.
  std::string identity_ ABSL_GUARDED_BY(mutex_);
  absl::StatusOr<NerdctlInfo> answer_ ABSL_GUARDED_BY(mutex_);
  // By the host's uptime: until then it holds though it tells too little.
  absl::Duration believed_until_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_TOOLCHAIN_H_
