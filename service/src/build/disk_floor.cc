#include "build/disk_floor.h"

#include <utility>

#include "absl/status/statusor.h"

namespace containerbuilder::service {

DiskFloor::DiskFloor(Host host, std::string folder, std::int64_t min_free_bytes)
    : host_(std::move(host)),
      folder_(std::move(folder)),
      min_free_bytes_(min_free_bytes) {}

std::int64_t DiskFloor::LackingBytes() const {
  const absl::StatusOr<std::uint64_t> free = host_.free_disk(folder_);
  const auto floor = static_cast<std::uint64_t>(min_free_bytes_);
  if (!free.ok() || *free >= floor) return 0;
  return static_cast<std::int64_t>(floor - *free);
}

}  // namespace containerbuilder::service
