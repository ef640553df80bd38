#ifndef CONTAINERBUILDER_BASE_SMALL_FILE_H_
#define CONTAINERBUILDER_BASE_SMALL_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// Who else than its owner may be able to read a file.
enum class FileReaders { kOwner, kAnybody };

// Reads a file that the operator named by `setting`, as for its certificates.
// Errors name both. The file is a regular one of at most
// limits::kMaxSmallFileBytes; nobody but its owner and root may be able to
// write it, and with kOwner nobody outside its group to read it.
absl::StatusOr<std::string> ReadSmallFile(absl::string_view setting,
                                          const std::string& path,
                                          FileReaders readers);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_SMALL_FILE_H_
