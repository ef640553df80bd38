#ifndef CONTAINERBUILDER_RPC_LISTEN_ADDRESS_H_
#define CONTAINERBUILDER_RPC_LISTEN_ADDRESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace containerbuilder::service {

// One address of ServerOptions.listen.
struct ListenAddress {
  std::string setting;      // as messages have it: `--listen=ADDRESS`
  std::string socket_path;  // of a unix socket; empty for TCP
  std::string host;         // of TCP, as written
  int port = 0;
  bool loopback = false;

  bool is_unix() const { return !socket_path.empty(); }
};

// INVALID_ARGUMENT says what an address looks like.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// The sockets that listen at an address; more than one where a host's name has
// several addresses. Takes the file of a unix socket away at its end.
class BoundAddress {
 public:
  // A unix socket is made with mode 0600, its folder, where it is missing, with
  // 0700. One that nobody listens on is replaced. A port or socket that another
  // program listens on is ALREADY_EXISTS: nothing is shared.
  static absl::StatusOr<BoundAddress> Bind(const ListenAddress& address);
  BoundAddress(BoundAddress&& other) noexcept;
  BoundAddress& operator=(BoundAddress&&) = delete;
  ~BoundAddress();

  // As ServerOptions.listen has it, with the real port.
  const std::string& address() const { return address_; }
  // Non-blocking, and listening.
  const std::vector<UniqueFd>& sockets() const { return sockets_; }

 private:
  BoundAddress() = default;
  absl::Status BindUnix(const std::string& path, const std::string& setting);
  absl::Status BindTcp(const ListenAddress& address);

  std::string address_;
  std::vector<UniqueFd> sockets_;
  std::string socket_path_;  // to take away, while the file is this one
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_LISTEN_ADDRESS_H_
