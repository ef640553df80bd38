#include "base/remove_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

namespace containerbuilder::service {
namespace {

std::string PathOf(const UniqueFd& file) {
  return absl::StrCat("/proc/self/fd/", file.get());
}

std::error_code LastError() {
  return std::error_code(errno, std::generic_category());
}

// Opens a folder that its owner may list and change from now on; not valid,
// with errno, where it is none.
UniqueFd OpenUp(int parent, const std::string& name) {
  const UniqueFd named(openat(parent, name.c_str(),
                              O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!named.valid() || chmod(PathOf(named).c_str(), S_IRWXU) != 0) {
    return UniqueFd();
  }
  return UniqueFd(
      open(PathOf(named).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

std::vector<std::string> NamesIn(const UniqueFd& folder,
                                 std::error_code& error) {
  std::vector<std::string> names;
  std::filesystem::directory_iterator entry(PathOf(folder), error);
  for (; !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  return names;
}

// Takes away what is no folder, or an empty one; false where it is one that is
// not empty.
bool Unlink(const UniqueFd& folder, const std::string& name,
            std::error_code& error) {
  if (unlinkat(folder.get(), name.c_str(), 0) == 0) return true;
  if (errno == EISDIR) {
    if (unlinkat(folder.get(), name.c_str(), AT_REMOVEDIR) == 0) return true;
    if (errno == ENOTEMPTY) return false;
  }
  error = LastError();
  return true;
}

// Empties a tree without going into it: folders in folders are moved up, so
// that nothing is ever deeper than two, and few descriptors are open.
class Emptier {
 public:
  explicit Emptier(const UniqueFd& top) : top_(top) {}

  std::error_code Empty() {
    std::error_code error;
    std::int64_t before = 0;
    do {
      before = moved_;
      for (const std::string& name : NamesIn(top_, error)) {
        if (error) break;
        if (!Unlink(top_, name, error)) error = EmptyOne(name);
      }
    } while (!error && moved_ != before);
    return error;
  }

 private:
  std::error_code EmptyOne(const std::string& name) {
    const UniqueFd folder = OpenUp(top_.get(), name);
    if (!folder.valid()) return LastError();
    std::error_code error;
    for (const std::string& inner : NamesIn(folder, error)) {
      if (error) break;
      if (!Unlink(folder, inner, error)) error = MoveUp(folder, inner);
    }
    if (!error && unlinkat(top_.get(), name.c_str(), AT_REMOVEDIR) != 0) {
      error = LastError();
    }
    return error;
  }

  std::error_code MoveUp(const UniqueFd& from, const std::string& name) {
    // It is changed itself when it gets another parent.
    if (!OpenUp(from.get(), name).valid()) return LastError();
    do {
      const std::string free = absl::StrCat("removed-", ++moved_);
      if (renameat2(from.get(), name.c_str(), top_.get(), free.c_str(),
                    RENAME_NOREPLACE) == 0) {
        return std::error_code();
      }
    } while (errno == EEXIST);
    return LastError();
  }

  const UniqueFd& top_;
  std::int64_t moved_ = 0;
};

}  // namespace

std::error_code RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (!error) return error;
  const UniqueFd top = OpenUp(AT_FDCWD, path);
  if (!top.valid()) return LastError();
  error = Emptier(top).Empty();
  if (!error && rmdir(path.c_str()) != 0) error = LastError();
  return error;
}

}  // namespace containerbuilder::service
