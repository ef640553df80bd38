#ifndef CONTAINERBUILDER_BUILD_TOOLCHAIN_H_
#define CONTAINERBUILDER_BUILD_TOOLCHAIN_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "build/host.h"
#include "process/process_runner.h"

namespace containerbuilder::service {

// The operator's settings of nerdctl's surroundings; they reach nerdctl as its
// environment variables. Empty: not set, nerdctl's own default.
struct ToolchainOptions {
  std::string nerdctl;               // path; empty: looked up on PATH
  std::string containerd_address;    // CONTAINERD_ADDRESS
  std::string containerd_namespace;  // CONTAINERD_NAMESPACE
  std::string buildkit_host;         // BUILDKIT_HOST
  std::string snapshotter;           // CONTAINERD_SNAPSHOTTER
};

// The first executable regular file of that name on `path`, a PATH value, as
// Python's shutil.which finds it; a name with a slash is taken as it is.
std::optional<std::string> FindProgram(absl::string_view name,
                                       absl::string_view path);

// What the installed nerdctl can do, read from its `--version` and
// `build --help`.
struct NerdctlInfo {
  std::string path;     // absolute
  std::string version;  // `1.7.7`; empty where it did not tell
  // Flags of `nerdctl build`, by name without dashes; true: takes a value.
  std::map<std::string, bool, std::less<>> flags;
};

// The programs that a build runs. Thread-safe.
class Toolchain {
 public:
  // `runner` must outlive it.
  Toolchain(ToolchainOptions options, Host host, ProcessRunner* runner);

  const ToolchainOptions& options() const { return options_; }
  const Host& host() const { return host_; }

  // nerdctl's absolute path. NERDCTL_NOT_FOUND or NERDCTL_NOT_EXECUTABLE
  // (errors.h), with a hint. Looks every time: it may be installed meanwhile.
  absl::StatusOr<std::string> FindNerdctl() const;

  // Asks nerdctl once and again when the file changed (inode, size, mtime).
  // Blocks up to twice limits::kProbeTimeout. Errors of FindNerdctl;
  // NERDCTL_NOT_EXECUTABLE where it cannot be run or gives no usable answer.
  absl::StatusOr<NerdctlInfo> Nerdctl();

  // The whole environment of nerdctl and of probes: PATH, HOME,
  // XDG_RUNTIME_DIR as the service has them, and the options above. Sorted by
  // name.
  std::vector<std::string> Environment() const;

 private:
  const ToolchainOptions options_;
  const Host host_;
  ProcessRunner* const runner_;
  absl::Mutex mutex_;
  std::string nerdctl_identity_ ABSL_GUARDED_BY(mutex_);
  NerdctlInfo nerdctl_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_TOOLCHAIN_H_
