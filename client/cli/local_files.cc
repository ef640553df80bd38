#include "local_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "read_wait.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

absl::Status Failed(absl::string_view what, int error) {
  const std::string text =
      absl::StrCat(what, ": ", std::generic_category().message(error));
  if (error == ENOENT) return absl::NotFoundError(text);
  return absl::InvalidArgumentError(text);
}

}  // namespace

absl::StatusOr<std::string> ReadLocalFile(const std::string& path,
                                          absl::string_view what,
                                          std::size_t most) {
  const std::string name = absl::StrCat(what, " \"", path, "\"");
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Failed(absl::StrCat("cannot read ", name), errno);
  auto bytes = ReadDescriptor(fd, name, most);
  ::close(fd);
  return bytes;
}

absl::StatusOr<std::string> ReadDescriptor(int fd, absl::string_view what,
                                           std::size_t most,
                                           const std::stop_token& stop) {
  const auto wait = client::ReadWait::Create(fd, stop);
  if (!wait.ok()) return wait.status();
  std::string bytes;
  std::string buffer(std::size_t{64} * 1024, '\0');
  while (true) {
    if (!(*wait)->Wait()) {
      return absl::CancelledError(absl::StrCat("stopped reading ", what));
    }
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return Failed(absl::StrCat("cannot read ", what), errno);
    if (count == 0) return bytes;
    bytes.append(buffer, 0, static_cast<std::size_t>(count));
    if (bytes.size() > most) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " has more than ", most, " bytes"));
    }
  }
}

absl::Status WriteLocalFile(const std::string& path, absl::string_view bytes) {
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return Failed(absl::StrCat("cannot write \"", path, "\""), errno);
  const std::error_code error = Write(fd, {bytes.data(), bytes.size()});
  if (::close(fd) != 0 || error) {
    return Failed(absl::StrCat("cannot write \"", path, "\""),
                  error ? error.value() : errno);
  }
  return absl::OkStatus();
}

absl::StatusOr<Leftover> MakeTemporaryFolder(Leftovers& leftovers) {
  std::error_code error;
  const auto parent = std::filesystem::temp_directory_path(error);
  if (error) return Failed("no folder for temporary files", error.value());
  std::string path = (parent / "container-builder.XXXXXX").string();
  int failure = 0;
  Leftover folder(leftovers, [&]() -> std::string {
    if (::mkdtemp(path.data()) != nullptr) return path;
    failure = errno;
    return "";
  });
  if (failure == 0) return folder;
  return Failed(absl::StrCat("cannot make \"", path, "\""), failure);
}

}  // namespace containerbuilder::cli
