#ifndef CONTAINERBUILDER_BASE_FOLDER_LOCK_H_
#define CONTAINERBUILDER_BASE_FOLDER_LOCK_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace containerbuilder::service {

// The right to use a folder alone, among processes. The kernel takes it back
// however this process ends.
class FolderLock {
 public:
  // Locks `folder`/lock. ALREADY_EXISTS where another process holds it.
  static absl::StatusOr<FolderLock> Take(const std::string& folder);
  FolderLock(FolderLock&& other) noexcept
      : folder_(std::move(other.folder_)), fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

  // Whether the folder of that name is still the one that was locked, and may
  // be written to: somebody may have removed it, put another in its place or
  // made its disk read-only. The error says which.
  absl::Status Check() const;

 private:
  FolderLock(std::string folder, int fd)
      : folder_(std::move(folder)), fd_(fd) {}

  std::string folder_;
  int fd_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_FOLDER_LOCK_H_
