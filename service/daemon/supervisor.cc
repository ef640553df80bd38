#include "daemon/supervisor.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <ctime>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace containerbuilder::daemon {

Supervisor::Supervisor(absl::Span<const std::string> environment) {
  constexpr absl::string_view kVariable = "NOTIFY_SOCKET=";
  for (const std::string& entry : environment) {
    if (absl::StartsWith(entry, kVariable)) {
      socket_ = entry.substr(kVariable.size());
    }
  }
}

void Supervisor::Ready() const { Tell("READY=1"); }

void Supervisor::Reloading() const {
  // With the time, by which systemd tells it from an earlier one.
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  Tell(
      absl::StrCat("RELOADING=1\nMONOTONIC_USEC=",
                   absl::ToInt64Microseconds(absl::DurationFromTimespec(now))));
}

void Supervisor::Stopping() const { Tell("STOPPING=1"); }

void Supervisor::Tell(const std::string& state) const {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (socket_.empty() || socket_.size() >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  // One that begins with @ is abstract: the name begins with a NUL.
  if (socket_[0] == '@') address.sun_path[0] = '\0';
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
         reinterpret_cast<const sockaddr*>(&address), size);
  close(fd);
}

}  // namespace containerbuilder::daemon
