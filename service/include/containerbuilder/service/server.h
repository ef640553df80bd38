#ifndef CONTAINERBUILDER_SERVICE_SERVER_H_
#define CONTAINERBUILDER_SERVICE_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "containerbuilder/service/server_options.h"

namespace containerbuilder::service {

// A ContainerBuilder service inside this process: the RPCs of the contract,
// grpc.health.v1 and reflection on each address. It changes nothing of the
// process's own settings: signals, umask and the like are the program's.
// Reflection describes what is linked into the program: for grpcurl to know
// grpc.health.v1 and google.rpc's error details, that must be their generated
// code, too.
//
// Thread-safe.
class Server {
 public:
  // Listens when it returns. INVALID_ARGUMENT names the option that is wrong;
  // other errors name what could not be done, such as an address in use.
  // Blocks up to some seconds for a first look at nerdctl and BuildKit, and
  // while it takes up what an earlier server left in options.state_dir: what
  // still runs of its builds is ended, and those that waited wait again.
  static absl::StatusOr<std::unique_ptr<Server>> Create(ServerOptions options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Shuts down.
  ~Server();

  // The bound addresses in the order of options.listen, with real ports.
  const std::vector<std::string>& addresses() const;

  // Takes over what may change while the server runs; the other options stay
  // as they are, whatever these say:
  //
  //   max_running_builds, max_queued_builds, max_builds_per_caller,
  //   max_calls_per_second, drain_timeout: from now on
  //   max_connections, max_connections_per_peer: for new connections
  //   retain_age, retain_builds, retain_bytes: at the next retention_interval
  //   max_blob_store_bytes, max_blob_store_bytes_per_caller, max_blob_bytes,
  //   upload_ttl: from now on
  //   what the files hold that tls_cert, tls_key, tls_client_ca and
  //   callers_file name (which is also looked at every second)
  //
  // INVALID_ARGUMENT names the option that is wrong, and nothing has changed.
  absl::Status Reload(const ServerOptions& options);

  // Refuses new builds, leaves those that wait to the next server, and gives
  // those that run options.drain_timeout; then stops them, waits until nothing
  // of them is left and their callers have been told, and ends all calls. A
  // caller that does not read is not waited for longer than ten seconds. Any
  // number of times.
  void Shutdown();

  // Shutdown, under way or to come, gives running builds no more time, neither
  // to end nor to clean up. Returns at once; from any thread.
  void HastenShutdown();

 private:
  class State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_SERVER_H_
