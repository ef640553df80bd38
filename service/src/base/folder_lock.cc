#include "base/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace containerbuilder::service {
namespace {

std::string LockPath(const std::string& folder) { return folder + "/lock"; }

}  // namespace

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& folder) {
  const std::string path = LockPath(folder);
  FolderLock lock(
      folder,
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

absl::Status FolderLock::Check() const {
  struct stat ours;
  struct stat there;
  if (fstat(fd_, &ours) != 0 || lstat(LockPath(folder_).c_str(), &there) != 0 ||
      ours.st_dev != there.st_dev || ours.st_ino != there.st_ino) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder_, " has been removed, or another folder is in its place"));
  }
  if (access(folder_.c_str(), W_OK | X_OK) != 0) {
    return absl::ErrnoToStatus(errno, folder_);
  }
  return absl::OkStatus();
}

}  // namespace containerbuilder::service
