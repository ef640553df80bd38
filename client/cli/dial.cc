#include "dial.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>

#include "unique_fd.h"

namespace containerbuilder::cli {
namespace {

constexpr int kPatienceMs = 5000;

int Dial(const sockaddr* address, socklen_t size) {
  const client::UniqueFd fd(::socket(
      address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  if (::connect(fd.get(), address, size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd connected{fd.get(), POLLOUT, 0};
  if (::poll(&connected, 1, kPatienceMs) <= 0) return ETIMEDOUT;
  int error = 0;
  socklen_t error_size = sizeof(error);
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &error_size);
  return error;
}

}  // namespace

int DialSocket(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return ENAMETOOLONG;
  std::copy(path.begin(), path.end(), address.sun_path);
  return Dial(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

DialResult DialHost(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  const std::string port = address.substr(colon + 1);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int name_error =
      ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (name_error != 0) {
    return {EHOSTUNREACH,
            name_error == EAI_SYSTEM ? "" : gai_strerror(name_error)};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(
      found, &::freeaddrinfo);
  int error = EHOSTUNREACH;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    error = Dial(at->ai_addr, at->ai_addrlen);
    if (error == 0) break;
  }
  return {error, ""};
}

}  // namespace containerbuilder::cli
