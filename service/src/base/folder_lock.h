#ifndef CONTAINERBUILDER_BASE_FOLDER_LOCK_H_
#define CONTAINERBUILDER_BASE_FOLDER_LOCK_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace containerbuilder::service {

// The right to use a folder alone, among processes. The kernel takes it back
// however this process ends.
class FolderLock {
 public:
  // Locks `folder`/lock. ALREADY_EXISTS where another process holds it.
  static absl::StatusOr<FolderLock> Take(const std::string& folder);
  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_FOLDER_LOCK_H_
