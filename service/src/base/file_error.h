#ifndef CONTAINERBUILDER_BASE_FILE_ERROR_H_
#define CONTAINERBUILDER_BASE_FILE_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// What went wrong with files of others' choice: NOT_FOUND, RESOURCE_EXHAUSTED
// for a full disk, PERMISSION_DENIED for a name that leads nowhere or out, else
// INTERNAL.
absl::Status FileError(int error, absl::string_view what);

// What callers are told where there is less room than DiskFloor keeps free.
inline constexpr absl::string_view kDiskIsFull =
    "the disk of the service's state folder is full but for what it keeps free "
    "(--min_free_bytes)";

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_FILE_ERROR_H_
