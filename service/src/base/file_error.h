#ifndef CONTAINERBUILDER_BASE_FILE_ERROR_H_
#define CONTAINERBUILDER_BASE_FILE_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// What went wrong with files of others' choice: NOT_FOUND, RESOURCE_EXHAUSTED
// for a full disk, PERMISSION_DENIED for a name that leads nowhere or out, else
// INTERNAL.
absl::Status FileError(int error, absl::string_view what);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_FILE_ERROR_H_
