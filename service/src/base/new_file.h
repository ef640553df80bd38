#ifndef CONTAINERBUILDER_BASE_NEW_FILE_H_
#define CONTAINERBUILDER_BASE_NEW_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// Makes the file `path`, which must not be there, for its owner alone (0600)
// and with this content. Errors are FileError's, and call it `name`.
absl::Status WriteNewFile(const std::string& path, absl::string_view content,
                          absl::string_view name);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_NEW_FILE_H_
