#include "rpc/listen_address.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace containerbuilder::service {
namespace {

// Somebody accepts connections there.
bool IsLive(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const int connected =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  close(fd);
  return connected == 0;
}

}  // namespace

std::string ListenAddress::Target() const {
  return socket_path.empty() ? absl::StrCat(host, ":", port)
                             : absl::StrCat("unix:", socket_path);
}

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  ListenAddress address;
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "unix:")) {
    absl::ConsumePrefix(&rest, "//");
    if (!absl::StartsWith(rest, "/") ||
        rest.size() >= sizeof(sockaddr_un::sun_path)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--listen=", text, ": a socket's path is absolute and shorter than ",
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
        absl::StrCat("--listen=", text,
                     ": write unix:///path/to.sock or host:port (port 0 picks "
                     "a free one)"));
  }
  address.host = std::string(text.substr(0, colon));
  address.loopback = address.host == "localhost" || address.host == "[::1]" ||
                     absl::StartsWith(address.host, "127.");
  return address;
}

absl::Status PrepareSocket(const std::string& socket_path) {
  const std::string folder =
      std::filesystem::path(socket_path).parent_path().string();
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("making ", folder));
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());

  struct stat found = {};
  if (lstat(socket_path.c_str(), &found) != 0) {
    return errno == ENOENT ? absl::OkStatus()
                           : absl::ErrnoToStatus(errno, socket_path);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat(socket_path, " exists and is no socket"));
  }
  if (IsLive(address)) {
    return absl::AlreadyExistsError(
        absl::StrCat(socket_path, " is in use: another service listens on it"));
  }
  if (unlink(socket_path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, socket_path);
  }
  return absl::OkStatus();
}

}  // namespace containerbuilder::service
