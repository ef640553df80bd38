#ifndef CONTAINERBUILDER_BASE_DISK_RESERVE_H_
#define CONTAINERBUILDER_BASE_DISK_RESERVE_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace containerbuilder::service {

// Disk space put by, in a file that holds nothing, so that the last words of
// builds can still be written when the disk is full. Thread-safe; calls block
// for the disk. The file stays when this is destroyed.
class DiskReserve {
 public:
  // `bytes` in the file `path`, mode 0600. Holds nothing before Refill.
  DiskReserve(std::string path, std::int64_t bytes);
  DiskReserve(const DiskReserve&) = delete;
  DiskReserve& operator=(const DiskReserve&) = delete;

  // Takes what is missing. RESOURCE_EXHAUSTED where the disk does not have it:
  // nothing is held then.
  absl::Status Refill();

  // Gives all of it back to the disk, also what an earlier run put by.
  void Release();

  bool held() const;

 private:
  const std::string path_;
  const std::int64_t bytes_;
  mutable absl::Mutex mutex_;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_DISK_RESERVE_H_
