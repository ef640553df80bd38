#ifndef CONTAINERBUILDER_CLI_LOCAL_FILES_H_
#define CONTAINERBUILDER_CLI_LOCAL_FILES_H_

#include <cstddef>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "leftovers.h"

namespace containerbuilder::cli {

// All of a file, which is called `what` in errors: NOT_FOUND where it is not
// there, INVALID_ARGUMENT where it cannot be read or has more than `most`
// bytes.
absl::StatusOr<std::string> ReadLocalFile(const std::string& path,
                                          absl::string_view what,
                                          std::size_t most);

// The same of a descriptor; CANCELLED when it is to stop first.
absl::StatusOr<std::string> ReadDescriptor(int fd, absl::string_view what,
                                           std::size_t most,
                                           const std::stop_token& stop = {});

// As a file that nerdctl writes: made with mode 0644, or its content replaced.
absl::Status WriteLocalFile(const std::string& path, absl::string_view bytes);

// A new private folder below TMPDIR.
absl::StatusOr<Leftover> MakeTemporaryFolder(Leftovers& leftovers);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_LOCAL_FILES_H_
