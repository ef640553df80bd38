#include "local_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
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
                                           std::size_t most) {
  std::string bytes;
  std::string buffer(std::size_t{64} * 1024, '\0');
  while (true) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
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

absl::StatusOr<TemporaryFolder> TemporaryFolder::Create() {
  std::error_code error;
  auto folder = std::filesystem::temp_directory_path(error);
  if (error) return Failed("no folder for temporary files", error.value());
  std::string path = (folder / "container-builder.XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) {
    return Failed(absl::StrCat("cannot make \"", path, "\""), errno);
  }
  return TemporaryFolder(std::move(path));
}

TemporaryFolder::TemporaryFolder(std::string path) : path_(std::move(path)) {}

TemporaryFolder::TemporaryFolder(TemporaryFolder&& other) noexcept
    : path_(std::exchange(other.path_, "")) {}

TemporaryFolder& TemporaryFolder::operator=(TemporaryFolder&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

TemporaryFolder::~TemporaryFolder() {
  if (path_.empty()) return;
  std::error_code ignored;
  // What is in it may have been made unwritable.
  for (std::filesystem::recursive_directory_iterator at(path_, ignored), end;
       at != end; at.increment(ignored)) {
    if (at->is_directory(ignored) && !at->is_symlink(ignored)) {
      std::filesystem::permissions(at->path(),
                                   std::filesystem::perms::owner_all,
                                   std::filesystem::perm_options::add, ignored);
    }
  }
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace containerbuilder::cli
