#ifndef CONTAINERBUILDER_SERVICE_ENGINE_OPTIONS_H_
#define CONTAINERBUILDER_SERVICE_ENGINE_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "containerbuilder/service/policy_options.h"

namespace spdlog {
class logger;
}  // namespace spdlog

namespace containerbuilder::service {

// How to run builds; ServerOptions adds how to serve them. Every field has a
// working default but state_dir. Errors name a field as container-builderd
// names its flag: `--state_dir`.
struct EngineOptions {
  // Builds, their logs and records are kept here, across restarts; made, mode
  // 0700, where it is missing. One engine alone may use it, of all processes.
  std::string state_dir;
  // What callers who are not trusted may do.
  PolicyOptions policy;

  // nerdctl's path; empty: looked up on PATH.
  std::string nerdctl;
  // nerdctl's surroundings, which reach it as CONTAINERD_ADDRESS,
  // CONTAINERD_NAMESPACE, BUILDKIT_HOST and CONTAINERD_SNAPSHOTTER. Empty: that
  // variable as this process has it, else nerdctl's own default.
  std::string containerd_address;
  std::string containerd_namespace;
  std::string buildkit_host;
  std::string snapshotter;

  // Builds that run at the same time, and that wait for their turn besides.
  // 0 running: as many as the machine has cores.
  int max_running_builds = 0;
  int max_queued_builds = 1000;
  // Of those, how many one caller may have who is no admin, so that the others
  // get their turn; 0: as many as there is room for.
  int max_builds_per_caller = 100;
  // How long builds may go on after Shutdown was called.
  absl::Duration drain_timeout = absl::Seconds(30);
  // Ended builds are forgotten with their logs, oldest first, when they are
  // older than this; and of the caller who has the most, when they are more
  // than this, or their logs and artifacts have more bytes than this.
  absl::Duration retain_age = absl::Hours(24 * 30);
  std::int64_t retain_builds = 10'000;
  std::int64_t retain_bytes = std::int64_t{20} << 30;
  // How often that is looked at.
  absl::Duration retention_interval = absl::Minutes(1);
  // A build that prints more is ended as FAILED, LOG_LIMIT.
  std::int64_t max_log_bytes = std::int64_t{1} << 30;
  // Where the disk of state_dir has less free, no build is taken, and one that
  // prints is ended as FAILED, NO_SPACE.
  std::int64_t min_free_bytes = std::int64_t{512} << 20;

  // Contents that callers elsewhere send for their contexts are kept for their
  // next build, up to so many bytes in all and of one caller; then those go
  // that were not used for the longest time. A context must fit into the
  // second.
  std::int64_t max_blob_store_bytes = std::int64_t{20} << 30;
  std::int64_t max_blob_store_bytes_per_caller = std::int64_t{5} << 30;
  // The largest single one.
  std::int64_t max_blob_bytes = std::int64_t{4} << 30;
  // What came of an upload that broke off is kept for so long.
  absl::Duration upload_ttl = absl::Hours(24);

  // A folder in memory (tmpfs) where secrets and credentials by value are while
  // their builds run. Empty: $XDG_RUNTIME_DIR, /run or /dev/shm, the first that
  // is in memory and may be written to; where none is, they are refused. What a
  // crash left is taken away at the next start, also where it was another.
  std::string secret_dir;
  // Builds of callers who are not trusted use the registry logins of this
  // process's user (~/.docker), and so what those may pull and
  // push. Builds that come with credentials use these alone in any case.
  bool share_registry_logins = false;

  // This process is a child subreaper and starts no children but through the
  // engine: reap descendants of builds that become its children.
  bool reap_orphans = false;
  // Where the log about builds goes: a line for each admission, cancel, end and
  // deletion, with the caller's name, and for what went wrong; null: nowhere.
  // Called on many threads at once.
  std::shared_ptr<spdlog::logger> logger;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_ENGINE_OPTIONS_H_
