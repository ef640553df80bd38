#ifndef CONTAINERBUILDER_BUILD_TREE_COPY_H_
#define CONTAINERBUILDER_BUILD_TREE_COPY_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/copy_budget.h"
#include "base/unique_fd.h"

namespace containerbuilder::service {

// Opens `path` beneath `folder`, whatever anybody does to names meanwhile: no
// link and no `..` leads out of it, and none of /proc's links anywhere.
absl::StatusOr<UniqueFd> OpenBeneath(int folder, const std::string& path,
                                     int flags);
// The same where `path` has no link in it either: a place that was looked at
// may have become one that leads elsewhere beneath `folder`.
absl::StatusOr<UniqueFd> OpenWithoutLinks(int folder, const std::string& path,
                                          int flags);

// Copies files and folders between descriptors, and never by a name that
// somebody may have changed. Contents, names, times and the nine bits of mode
// stay, folders stay open to their owner; links stay links and are not
// followed; setuid bits and extended attributes go; what is no file, folder or
// link is refused. One copier counts for all that it copies.
//
// Errors: those of FileError and CopyBudget, INVALID_ARGUMENT something that is
// not copied.
class TreeCopier {
 public:
  struct Limits : CopyLimits {
    // Folders that are neither read nor filled wherever they are met.
    std::vector<std::pair<dev_t, ino_t>> closed = {};
  };

  // `replace`: the targets may have such names already; files and links are
  // put in their places at once, folders are filled.
  TreeCopier(const Limits& limits, bool replace);

  // `from`, open for reading, to the name `name` in the folder `to`.
  absl::Status CopyFile(int from, int to, const std::string& name);
  // All that is in the folder `from` into the folder `to`.
  absl::Status CopyFolder(int from, int to);

 private:
  absl::Status CopyEntries(int from, int to, int depth);
  absl::Status CopyEntry(int from, int to, const std::string& name, int depth);
  absl::Status CopyLink(int from, int to, const std::string& name,
                        const struct stat& info);
  absl::Status CopyBytes(int from, int to);
  // Gives what was made its name, or takes it away again where that failed.
  absl::Status PutInPlace(absl::Status made, int folder,
                          const std::string& name) const;

  CopyBudget budget_;
  const std::vector<std::pair<dev_t, ino_t>> closed_;
  const bool replace_;
  // What is made with `replace` has this name until it is whole.
  const std::string new_name_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_TREE_COPY_H_
