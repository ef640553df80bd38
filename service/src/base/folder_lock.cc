#include "base/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace containerbuilder::service {

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/lock");
  FolderLock lock(
      open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock.fd_ < 0) return absl::ErrnoToStatus(errno, path);
  if (flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    return errno == EWOULDBLOCK
               ? absl::AlreadyExistsError(
                     absl::StrCat(folder,
                                  " is in use by another process; give each "
                                  "service a folder of its own"))
               : absl::ErrnoToStatus(errno, path);
  }
  return lock;
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace containerbuilder::service
