#ifndef CONTAINERBUILDER_BUILD_ROOTS_H_
#define CONTAINERBUILDER_BUILD_ROOTS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// A place beneath a root, as it may be opened with openat2: both with no links
// in them, when they were looked at.
struct PlaceInRoot {
  std::string root;
  std::string path;  // relative; `.` for the root itself
};

// Folders that the operator opens to callers. Thread-safe: it does not change.
class Roots {
 public:
  // Those of `folders` that exist; the rest open nothing. Nothing in `closed`
  // is ever under them: the service's own folders.
  Roots(const std::vector<std::string>& folders,
        const std::vector<std::string>& closed);

  // Whether `path`, absolute, is under a root by its text: as the operator
  // spells the root, or as that is with links resolved.
  bool Names(const std::string& path) const;

  // Where `path`, absolute, is, if it exists and is under a root: as it is
  // spelled and after links are resolved, and by both readings of `..`.
  std::optional<PlaceInRoot> Find(const std::string& path) const;

  // The same for what need not exist: of what does not, all above it that does
  // is under a root.
  std::optional<PlaceInRoot> FindNew(const std::string& path) const;

 private:
  struct Root {
    std::string name;      // as the operator wrote it, normalised
    std::string resolved;  // with no links left
  };

  // That of a path with no links in it.
  std::optional<PlaceInRoot> PlaceOf(const std::string& resolved) const;

  std::vector<Root> roots_;
  std::vector<std::string> closed_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_ROOTS_H_
