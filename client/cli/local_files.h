#ifndef CONTAINERBUILDER_CLI_LOCAL_FILES_H_
#define CONTAINERBUILDER_CLI_LOCAL_FILES_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace containerbuilder::cli {

// All of a file, which is called `what` in errors: NOT_FOUND where it is not
// there, INVALID_ARGUMENT where it cannot be read or has more than `most`
// bytes.
absl::StatusOr<std::string> ReadLocalFile(const std::string& path,
                                          absl::string_view what,
                                          std::size_t most);

// The same of a descriptor.
absl::StatusOr<std::string> ReadDescriptor(int fd, absl::string_view what,
                                           std::size_t most);

// As a file that nerdctl writes: made with mode 0644, or its content replaced.
absl::Status WriteLocalFile(const std::string& path, absl::string_view bytes);

// A private folder below TMPDIR, which is gone with this.
class TemporaryFolder {
 public:
  static absl::StatusOr<TemporaryFolder> Create();
  TemporaryFolder(TemporaryFolder&& other) noexcept;
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept;
  ~TemporaryFolder();

  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path);
  std::string path_;  // empty: none
};

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_LOCAL_FILES_H_
