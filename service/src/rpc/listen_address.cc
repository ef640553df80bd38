#include "rpc/listen_address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/limits.h"
#include "base/status_macros.h"

namespace containerbuilder::service {
namespace {

constexpr int kSocketFlags = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

// Somebody has a listening socket there, if only with a full queue.
bool IsLive(const sockaddr_un& address) {
  const UniqueFd fd(socket(AF_UNIX, kSocketFlags, 0));
  if (!fd.valid()) return true;  // nothing is taken away on a guess
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)) == 0 ||
         errno == EAGAIN;
}

absl::Status InUse(const std::string& setting) {
  return absl::AlreadyExistsError(
      absl::StrCat(setting, ": in use; another service listens there"));
}

// Takes away the socket of a server that is dead.
absl::Status RemoveStale(const std::string& path, const sockaddr_un& address,
                         const std::string& setting) {
  struct stat found = {};
  if (lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? absl::OkStatus()
                           : absl::ErrnoToStatus(errno, setting);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat(setting, ": exists and is no socket"));
  }
  if (IsLive(address)) return InUse(setting);
  if (unlink(path.c_str()) != 0) return absl::ErrnoToStatus(errno, setting);
  return absl::OkStatus();
}

// The addresses of a host to listen on.
absl::StatusOr<std::shared_ptr<addrinfo>> Resolve(
    const ListenAddress& address) {
  std::string host = address.host;
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(
      host.c_str(), absl::StrCat(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat(address.setting, ": ", gai_strerror(error)));
  }
  return std::shared_ptr<addrinfo>(found, freeaddrinfo);
}

// The resolver may name an address twice.
bool IsRepeated(const addrinfo* first, const addrinfo* host) {
  for (; first != host; first = first->ai_next) {
    if (first->ai_addrlen == host->ai_addrlen &&
        std::memcmp(first->ai_addr, host->ai_addr, host->ai_addrlen) == 0) {
      return true;
    }
  }
  return false;
}

int PortOf(const UniqueFd& fd) {
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return 0;
  }
  return ntohs(bound.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
}

}  // namespace

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  ListenAddress address;
  address.setting = absl::StrCat("--listen=", text);
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "unix:")) {
    absl::ConsumePrefix(&rest, "//");
    if (!absl::StartsWith(rest, "/") ||
        rest.size() >= sizeof(sockaddr_un::sun_path)) {
      return absl::InvalidArgumentError(absl::StrCat(
          address.setting, ": a socket's path is absolute and shorter than ",
          sizeof(sockaddr_un::sun_path), " bytes"));
    }
    address.socket_path = std::string(rest);
    return address;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(text.substr(colon + 1), &address.port) ||
      address.port < 0 || address.port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat(address.setting,
                     ": write unix:///path/to.sock or host:port (port 0 picks "
                     "a free one)"));
  }
  address.host = std::string(text.substr(0, colon));
  // Not every name that begins with 127 is of this machine.
  address.loopback =
      address.host == "localhost" || address.host == "[::1]" ||
      (absl::StartsWith(address.host, "127.") &&
       address.host.find_first_not_of("0123456789.") == std::string::npos);
  return address;
}

absl::StatusOr<BoundAddress> BoundAddress::Bind(const ListenAddress& address) {
  BoundAddress bound;
  CONTAINERBUILDER_RETURN_IF_ERROR(
      address.is_unix() ? bound.BindUnix(address.socket_path, address.setting)
                        : bound.BindTcp(address));
  return bound;
}

BoundAddress::BoundAddress(BoundAddress&& other) noexcept
    : address_(std::move(other.address_)),
      sockets_(std::move(other.sockets_)),
      socket_path_(std::exchange(other.socket_path_, "")),
      device_(other.device_),
      inode_(other.inode_) {}

BoundAddress::~BoundAddress() {
  if (socket_path_.empty()) return;
  struct stat found = {};
  // Another server may have put its own there.
  if (lstat(socket_path_.c_str(), &found) == 0 && found.st_dev == device_ &&
      found.st_ino == inode_) {
    unlink(socket_path_.c_str());
  }
}

absl::Status BoundAddress::BindUnix(const std::string& path,
                                    const std::string& setting) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno,
                               absl::StrCat(setting, ": making ", folder));
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  CONTAINERBUILDER_RETURN_IF_ERROR(RemoveStale(path, address, setting));
  UniqueFd fd(socket(AF_UNIX, kSocketFlags, 0));
  // The file is made with the socket's own mode, so that it is never wider.
  if (!fd.valid() || fchmod(fd.get(), 0600) != 0) {
    return absl::ErrnoToStatus(errno, setting);
  }
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0) {
    return errno == EADDRINUSE ? InUse(setting)
                               : absl::ErrnoToStatus(errno, setting);
  }
  struct stat made = {};
  if (lstat(path.c_str(), &made) != 0) {
    return absl::ErrnoToStatus(errno, setting);
  }
  socket_path_ = path;
  device_ = made.st_dev;
  inode_ = made.st_ino;
  if (listen(fd.get(), limits::kBacklog) != 0) {
    return absl::ErrnoToStatus(errno, setting);
  }
  sockets_.push_back(std::move(fd));
  address_ = absl::StrCat("unix://", path);
  return absl::OkStatus();
}

absl::Status BoundAddress::BindTcp(const ListenAddress& address) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::shared_ptr<addrinfo> hosts,
                                    Resolve(address));
  int port = address.port;
  for (addrinfo* host = hosts.get(); host != nullptr; host = host->ai_next) {
    if (IsRepeated(hosts.get(), host)) continue;
    sockaddr_storage local = {};
    std::memcpy(&local, host->ai_addr, host->ai_addrlen);
    // One port for all of them.
    if (host->ai_family == AF_INET6) {
      reinterpret_cast<sockaddr_in6&>(local).sin6_port = htons(port);
    } else {
      reinterpret_cast<sockaddr_in&>(local).sin_port = htons(port);
    }
    UniqueFd fd(socket(host->ai_family, kSocketFlags, 0));
    // A kernel without IPv6 has names for it all the same.
    if (!fd.valid() && errno == EAFNOSUPPORT) continue;
    const int on = 1;
    if (!fd.valid() ||
        setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) {
      return absl::ErrnoToStatus(errno, address.setting);
    }
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&local),
             host->ai_addrlen) != 0 ||
        listen(fd.get(), limits::kBacklog) != 0) {
      if (errno == EADDRNOTAVAIL) continue;
      return errno == EADDRINUSE ? InUse(address.setting)
                                 : absl::ErrnoToStatus(errno, address.setting);
    }
    port = PortOf(fd);
    sockets_.push_back(std::move(fd));
  }
  if (sockets_.empty()) {
    return absl::UnavailableError(
        absl::StrCat(address.setting, ": this machine has no such address"));
  }
  address_ = absl::StrCat(address.host, ":", port);
  return absl::OkStatus();
}

}  // namespace containerbuilder::service
