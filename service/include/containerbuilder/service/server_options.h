#ifndef CONTAINERBUILDER_SERVICE_SERVER_OPTIONS_H_
#define CONTAINERBUILDER_SERVICE_SERVER_OPTIONS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace spdlog {
class logger;
}  // namespace spdlog

namespace containerbuilder::service {

// How to run a Server. Every field has a working default but state_dir.
struct ServerOptions {
  // `unix:///path/to.sock`, made with mode 0600, or `host:port`; port 0 picks
  // a free one.
  std::vector<std::string> listen = {
      "unix:///run/container-builder/container-builder.sock"};
  // Builds keep their logs here; one server alone may use it.
  std::string state_dir;
  // Take addresses other than loopback, in the clear and without asking who
  // calls.
  bool insecure = false;
  // Callers on the unix socket may name any path and option of this machine.
  bool trust_local = true;
  // Folders of this machine that other callers may read from and write to.
  std::vector<std::string> read_roots;
  std::vector<std::string> write_roots;

  // nerdctl's path; empty: looked up on PATH.
  std::string nerdctl;
  // nerdctl's surroundings, which reach it as CONTAINERD_ADDRESS,
  // CONTAINERD_NAMESPACE, BUILDKIT_HOST and CONTAINERD_SNAPSHOTTER. Empty: that
  // variable as this process has it, else nerdctl's own default.
  std::string containerd_address;
  std::string containerd_namespace;
  std::string buildkit_host;
  std::string snapshotter;

  // How often the answer of grpc.health.v1 is brought up to date.
  absl::Duration health_interval = absl::Seconds(5);
  // Between heartbeats on a stream where nothing happens.
  absl::Duration heartbeat_interval = absl::Seconds(15);

  // This process is a child subreaper and starts no children but through the
  // server: reap descendants of builds that become its children.
  bool reap_orphans = false;
  // Where the server's own log goes; null: nowhere.
  std::shared_ptr<spdlog::logger> logger;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_SERVER_OPTIONS_H_
