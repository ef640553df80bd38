#include "read_wait.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <iterator>
#include <system_error>

namespace containerbuilder::client {
namespace {

int MakeEvent() {
  const int fd = ::eventfd(0, EFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category());
  return fd;
}

}  // namespace

ReadWait::ReadWait(int fd, const std::stop_token& stop)
    : fd_(fd),
      stop_fd_(MakeEvent()),
      callback_(stop, [this] { ::eventfd_write(stop_fd_.get(), 1); }) {}

bool ReadWait::Wait() const {
  pollfd fds[] = {{fd_, POLLIN, 0}, {stop_fd_.get(), POLLIN, 0}};
  while (::poll(fds, std::size(fds), -1) < 0 && errno == EINTR) {
  }
  return fds[1].revents == 0;
}

}  // namespace containerbuilder::client
