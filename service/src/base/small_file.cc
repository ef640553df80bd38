#include "base/small_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace containerbuilder::service {

absl::StatusOr<std::string> ReadSmallFile(absl::string_view setting,
                                          const std::string& path,
                                          FileReaders readers) {
  const std::string name = absl::StrCat(setting, "=", path);
  const auto wrong = [&name](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", what));
  };
  // Opening a pipe would wait for somebody to write to it.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, name);
  const absl::Cleanup close_it = [fd] { close(fd); };
  struct stat found = {};
  if (fstat(fd, &found) != 0) return absl::ErrnoToStatus(errno, name);
  if (!S_ISREG(found.st_mode)) return wrong("is no regular file");
  if ((found.st_uid != 0 && found.st_uid != geteuid()) ||
      (found.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return wrong(
        "others may write it; chown it to the service's user or root "
        "and say chmod go-w");
  }
  if (readers == FileReaders::kOwner && (found.st_mode & S_IROTH) != 0) {
    return wrong("everybody may read it; say chmod o-r");
  }
  // One more, to tell a file that is too large.
  std::string content(limits::kMaxSmallFileBytes + 1, '\0');
  std::size_t size = 0;
  while (size < content.size()) {
    const ssize_t got = read(fd, &content[size], content.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, name);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > limits::kMaxSmallFileBytes) {
    return wrong(
        absl::StrCat("is larger than ", limits::kMaxSmallFileBytes, " bytes"));
  }
  content.resize(size);
  return content;
}

}  // namespace containerbuilder::service
