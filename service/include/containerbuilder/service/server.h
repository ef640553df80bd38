#ifndef CONTAINERBUILDER_SERVICE_SERVER_H_
#define CONTAINERBUILDER_SERVICE_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "containerbuilder/service/server_options.h"

namespace containerbuilder::service {

// A ContainerBuilder service inside this process: the RPCs of the contract,
// grpc.health.v1 and reflection on each address. It changes nothing of the
// process's own settings: signals, umask and the like are the program's.
//
// Thread-safe.
class Server {
 public:
  // Listens when it returns. INVALID_ARGUMENT names the option that is wrong;
  // other errors name what could not be done, such as an address in use.
  // Blocks up to some seconds for a first look at nerdctl and BuildKit.
  static absl::StatusOr<std::unique_ptr<Server>> Create(ServerOptions options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Shuts down.
  ~Server();

  // The bound addresses in the order of options.listen, with real ports.
  const std::vector<std::string>& addresses() const;

  // Refuses new builds, stops those that run, waits until nothing of them is
  // left and their callers have been told, then ends all calls; a caller that
  // does not read is not waited for longer than five seconds. Any number of
  // times.
  void Shutdown();

 private:
  class State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_SERVER_H_
