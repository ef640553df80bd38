#ifndef CONTAINERBUILDER_SERVICE_SERVER_OPTIONS_H_
#define CONTAINERBUILDER_SERVICE_SERVER_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "containerbuilder/service/engine_options.h"

namespace containerbuilder::service {

// How to run a Server: the engine's options, and who is served where.
struct ServerOptions : EngineOptions {
  // `unix:///path/to.sock`, made with mode 0600, or `host:port`; port 0 picks
  // a free one.
  std::vector<std::string> listen = {
      "unix:///run/container-builder/container-builder.sock"};
  // Take addresses other than loopback, in the clear and without asking who
  // calls.
  bool insecure = false;
  // Callers on the unix socket may name any path and option of this machine.
  bool trust_local = true;

  // How often the answer of grpc.health.v1 is brought up to date.
  absl::Duration health_interval = absl::Seconds(5);
  // Between heartbeats on a stream where nothing happens.
  absl::Duration heartbeat_interval = absl::Seconds(15);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_SERVER_OPTIONS_H_
