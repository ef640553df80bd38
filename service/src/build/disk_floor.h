#ifndef CONTAINERBUILDER_BUILD_DISK_FLOOR_H_
#define CONTAINERBUILDER_BUILD_DISK_FLOOR_H_

#include <cstdint>
#include <string>

#include "build/host.h"

namespace containerbuilder::service {

// Whether a folder's disk has more free than must be kept free. Thread-safe.
class DiskFloor {
 public:
  DiskFloor(Host host, std::string folder, std::int64_t min_free_bytes);

  // Also where the disk cannot be looked at: writing will tell.
  bool HasRoom() const { return LackingBytes() == 0; }
  // What is to become free before there is room; 0 where there is.
  std::int64_t LackingBytes() const;

 private:
  const Host host_;
  const std::string folder_;
  const std::int64_t min_free_bytes_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_DISK_FLOOR_H_
