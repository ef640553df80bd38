#ifndef CONTAINERBUILDER_DAEMON_DAEMON_OPTIONS_H_
#define CONTAINERBUILDER_DAEMON_DAEMON_OPTIONS_H_

#include <string>

#include "containerbuilder/service/server_options.h"

namespace containerbuilder::daemon {

// How to run container-builderd: its server, and what is the process's own.
struct DaemonOptions {
  DaemonOptions() { server.state_dir = "/var/lib/container-builder"; }

  service::ServerOptions server;
  // The bound addresses are written here, one a line, when ready; empty:
  // nowhere.
  std::string address_file;
  // Neither this process nor what it starts can gain rights by a set-uid
  // program.
  bool no_new_privs = true;
};

}  // namespace containerbuilder::daemon

#endif  // CONTAINERBUILDER_DAEMON_DAEMON_OPTIONS_H_
