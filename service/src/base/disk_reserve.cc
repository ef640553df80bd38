#include "base/disk_reserve.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace containerbuilder::service {

DiskReserve::DiskReserve(std::string path, std::int64_t bytes)
    : path_(std::move(path)), bytes_(bytes) {}

absl::Status DiskReserve::Refill() {
  absl::MutexLock lock(&mutex_);
  if (held_) return absl::OkStatus();
  const int fd =
      open(path_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, path_);
  int error = 0;
  do {
    error = posix_fallocate(fd, 0, bytes_);
  } while (error == EINTR);
  close(fd);
  if (error != 0) {
    unlink(path_.c_str());  // with the part that there was room for
    return absl::ErrnoToStatus(
        error, absl::StrCat("reserving ", bytes_, " bytes in ", path_));
  }
  held_ = true;
  return absl::OkStatus();
}

void DiskReserve::Release() {
  absl::MutexLock lock(&mutex_);
  unlink(path_.c_str());
  held_ = false;
}

bool DiskReserve::held() const {
  absl::MutexLock lock(&mutex_);
  return held_;
}

}  // namespace containerbuilder::service
