#include "base/new_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "base/file_error.h"
#include "base/unique_fd.h"

namespace containerbuilder::service {

absl::Status WriteNewFile(const std::string& path, absl::string_view content,
                          absl::string_view name) {
  const UniqueFd file(open(path.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                           S_IRUSR | S_IWUSR));
  if (!file.valid()) return FileError(errno, name);
  while (!content.empty()) {
    const ssize_t put = write(file.get(), content.data(), content.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return FileError(errno, name);
    content.remove_prefix(static_cast<std::size_t>(put));
  }
  return absl::OkStatus();
}

}  // namespace containerbuilder::service
