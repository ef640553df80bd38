#ifndef CONTAINERBUILDER_RPC_LISTEN_ADDRESS_H_
#define CONTAINERBUILDER_RPC_LISTEN_ADDRESS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// One address of ServerOptions.listen.
struct ListenAddress {
  std::string socket_path;  // of a unix socket; empty for TCP
  std::string host;         // of TCP, as written
  int port = 0;
  bool loopback = false;

  // As gRPC takes it.
  std::string Target() const;
};

// INVALID_ARGUMENT says what an address looks like.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// Makes the socket's folder, mode 0700, where it is missing, and removes a
// socket that nobody listens on. gRPC would take a live one away silently:
// ALREADY_EXISTS instead.
absl::Status PrepareSocket(const std::string& socket_path);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_LISTEN_ADDRESS_H_
