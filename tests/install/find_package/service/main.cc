// Serves builds in this process and has one made by the client library:
//
//   consumer FOLDER CONTEXT
//
// The socket and the server's state are in FOLDER. Prints what nerdctl prints.
#include <iostream>
#include <memory>
#include <string>

#include "containerbuilder/client/client.h"
#include "containerbuilder/service/server.h"

using containerbuilder::client::Client;
using containerbuilder::service::Server;
using containerbuilder::service::ServerOptions;
using containerbuilder::v1::BuildEvent;
using containerbuilder::v1::BuildOutput;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string folder = argv[1];
  ServerOptions options;
  options.listen = {"unix://" + folder + "/cb.sock"};
  options.state_dir = folder + "/state";
  const absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Create(options);
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }

  containerbuilder::v1::BuildRequest request;
  request.mutable_spec()->mutable_options()->set_context_path(argv[2]);
  Client client({.address = (*server)->addresses()[0]});
  for (const absl::StatusOr<BuildEvent>& event : client.Build(request)) {
    if (!event.ok()) {
      std::cerr << event.status() << "\n";
      return 1;
    }
    if (event->has_output()) {
      const bool is_error =
          event->output().stream() == BuildOutput::STREAM_STDERR;
      (is_error ? std::cerr : std::cout) << event->output().data();
    }
  }
  (*server)->Shutdown();
  return 0;
}
