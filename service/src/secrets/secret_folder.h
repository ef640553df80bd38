#ifndef CONTAINERBUILDER_SECRETS_SECRET_FOLDER_H_
#define CONTAINERBUILDER_SECRETS_SECRET_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// A file that a build is to find in its folder.
struct SecretFile {
  std::string name;  // one component, or two: `docker/config.json`
  std::string content;
};

// Where secrets are while builds run: files of mode 0600 in a folder of mode
// 0700 that is in memory, one of each service. What a crash left is gone when
// the next start has taken a folder, be it another one. Thread-safe.
class SecretFolder {
 public:
  // Takes the folder of the service whose state is in `state_dir`, the caller
  // having that for itself. It is made in the first of `parents` that is in
  // memory (tmpfs, ramfs) and lets us; FAILED_PRECONDITION where none does.
  // Where it was is noted in `state_dir`, so that an earlier one is found.
  static absl::StatusOr<SecretFolder> Take(
      const std::vector<std::string>& parents, const std::string& state_dir);

  const std::string& path() const { return path_; }
  // Where a build's files are, or would be.
  std::string build_path(absl::string_view id) const;

  // Writes a build's files, all or none.
  absl::Status Write(absl::string_view id,
                     const std::vector<SecretFile>& files) const;

  // They may be gone already.
  void Remove(absl::string_view id) const;

 private:
  explicit SecretFolder(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SECRETS_SECRET_FOLDER_H_
