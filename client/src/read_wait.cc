#include "read_wait.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <iterator>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"

namespace containerbuilder::client {

absl::StatusOr<std::unique_ptr<const ReadWait>> ReadWait::Create(
    int fd, const std::stop_token& stop) {
  UniqueFd stop_fd(::eventfd(0, EFD_CLOEXEC));
  if (!stop_fd.valid()) return absl::ErrnoToStatus(errno, "cannot wait");
  return absl::WrapUnique(new ReadWait(fd, std::move(stop_fd), stop));
}

ReadWait::ReadWait(int fd, UniqueFd stop_fd, const std::stop_token& stop)
    : fd_(fd),
      stop_fd_(std::move(stop_fd)),
      callback_(stop, [this] { ::eventfd_write(stop_fd_.get(), 1); }) {}

bool ReadWait::Wait() const {
  pollfd fds[] = {{fd_, POLLIN, 0}, {stop_fd_.get(), POLLIN, 0}};
  while (::poll(fds, std::size(fds), -1) < 0 && errno == EINTR) {
  }
  return fds[1].revents == 0;
}

}  // namespace containerbuilder::client
