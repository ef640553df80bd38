#include "unit/client/cutting_proxy.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <system_error>
#include <utility>

namespace containerbuilder::test_support {
namespace {

struct Pair {
  int client_fd;
  int service_fd;
  std::size_t left;  // bytes from the service until the cut
};

int Checked(int result) {
  if (result < 0) throw std::system_error(errno, std::generic_category());
  return result;
}

sockaddr_un Address(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

int Connect(const std::string& path) {
  const int fd = Checked(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = Address(path);
  Checked(::connect(fd, reinterpret_cast<const sockaddr*>(&address),
                    sizeof(address)));
  return fd;
}

// Passes on at most that many bytes; false at the end of the connection.
bool PassOn(int from, int to, std::size_t& left) {
  char buffer[4096];
  const ssize_t size = ::read(from, buffer, std::min(sizeof(buffer), left));
  if (size <= 0) return false;
  left -= static_cast<std::size_t>(size);
  for (ssize_t sent = 0; sent < size;) {
    const ssize_t now = ::send(
        to, buffer + sent, static_cast<std::size_t>(size - sent), MSG_NOSIGNAL);
    if (now <= 0) return false;
    sent += now;
  }
  return true;
}

// Passes on what is there; false when the connection is to be closed.
bool Serve(Pair& pair, short client_events, short service_events) {
  std::size_t unlimited = std::numeric_limits<std::size_t>::max();
  if (client_events != 0 &&
      !PassOn(pair.client_fd, pair.service_fd, unlimited)) {
    return false;
  }
  if (service_events != 0 &&
      !PassOn(pair.service_fd, pair.client_fd, pair.left)) {
    return false;
  }
  return pair.left > 0;
}

void Close(const Pair& pair) {
  ::close(pair.client_fd);
  ::close(pair.service_fd);
}

}  // namespace

CuttingProxy::CuttingProxy(std::string service_path,
                           std::vector<std::size_t> cuts)
    : service_path_(std::move(service_path)),
      cuts_(std::move(cuts)),
      listen_fd_(Checked(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))),
      stop_fd_(Checked(::eventfd(0, EFD_CLOEXEC))) {
  const sockaddr_un address = Address(path());
  Checked(::bind(listen_fd_, reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)));
  Checked(::listen(listen_fd_, 16));
  thread_ = std::jthread([this] { Run(); });
}

CuttingProxy::~CuttingProxy() {
  ::eventfd_write(stop_fd_, 1);
  thread_.join();
  ::close(listen_fd_);
  ::close(stop_fd_);
}

void CuttingProxy::Run() {
  std::vector<Pair> pairs;
  while (true) {
    std::vector<pollfd> fds = {{stop_fd_, POLLIN, 0}, {listen_fd_, POLLIN, 0}};
    for (const Pair& pair : pairs) {
      fds.push_back({pair.client_fd, POLLIN, 0});
      fds.push_back({pair.service_fd, POLLIN, 0});
    }
    ::poll(fds.data(), fds.size(), -1);
    if (fds[0].revents != 0) break;

    std::vector<Pair> kept;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (Serve(pairs[i], fds[2 + 2 * i].revents, fds[3 + 2 * i].revents)) {
        kept.push_back(pairs[i]);
      } else {
        Close(pairs[i]);
      }
    }
    pairs = std::move(kept);
    if (fds[1].revents != 0) {
      const auto number = static_cast<std::size_t>(connections_++);
      const int client_fd =
          Checked(::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC));
      const Pair pair = {client_fd, Connect(service_path_),
                         number < cuts_.size()
                             ? cuts_[number]
                             : std::numeric_limits<std::size_t>::max()};
      if (pair.left > 0) {
        pairs.push_back(pair);
      } else {
        Close(pair);
      }
    }
  }
  for (const Pair& pair : pairs) Close(pair);
}

}  // namespace containerbuilder::test_support
