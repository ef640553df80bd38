#include "build/tree_copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "base/build_id.h"
#include "base/file_error.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "base/utf8.h"

namespace containerbuilder::service {
namespace {

absl::StatusOr<UniqueFd> OpenAt2(int folder, const std::string& path, int flags,
                                 std::uint64_t resolve) {
  open_how how = {};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  // The kernel says EAGAIN where a rename crossed a `..`.
  constexpr int kTries = 100;
  for (int i = 0; i < kTries; ++i) {
    const auto fd =
        syscall(SYS_openat2, folder, path.c_str(), &how, sizeof(how));
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return FileError(errno, path);
}

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

// At most one more than `most`. Names may change while they are read.
absl::StatusOr<std::vector<std::string>> NamesIn(int folder,
                                                 std::int64_t most) {
  const int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) return FileError(errno, "opening a folder");
  const std::unique_ptr<DIR, CloseFolder> stream(fdopendir(own));
  if (stream == nullptr) {
    const int error = errno;
    close(own);
    return FileError(error, "reading a folder");
  }
  std::vector<std::string> names;
  while (static_cast<std::int64_t>(names.size()) <= most) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) return FileError(errno, "reading a folder");
      break;
    }
    const absl::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

// Mode and time of change are as those of `from`; nobody needs the other time.
absl::Status Resemble(int fd, const struct stat& from, mode_t besides = 0) {
  constexpr mode_t kBits = S_IRWXU | S_IRWXG | S_IRWXO;
  const timespec times[] = {{0, UTIME_OMIT}, from.st_mtim};
  if (fchmod(fd, (from.st_mode & kBits) | besides) != 0 ||
      futimens(fd, times) != 0) {
    return FileError(errno, "setting a mode");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> OpenBeneath(int folder, const std::string& path,
                                     int flags) {
  return OpenAt2(folder, path, flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

absl::StatusOr<UniqueFd> OpenWithoutLinks(int folder, const std::string& path,
                                          int flags) {
  return OpenAt2(folder, path, flags,
                 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

TreeCopier::TreeCopier(const Limits& limits, bool replace)
    : budget_(limits),
      closed_(limits.closed),
      replace_(replace),
      // Its random part is enough; no time is told by it.
      new_name_(absl::StrCat(".", NewBuildId(absl::UnixEpoch()), ".new")) {}

absl::Status TreeCopier::CopyFile(int from, int to, const std::string& name) {
  CONTAINERBUILDER_RETURN_IF_ERROR(budget_.CountFile());
  struct stat info;
  if (fstat(from, &info) != 0) return FileError(errno, name);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", ToUtf8(name), "\" is no regular file"));
  }
  // What is sure to be too much is not begun.
  if (info.st_size > budget_.bytes_left()) {
    return budget_.CountBytes(info.st_size);
  }
  const std::string& made = replace_ ? new_name_ : name;
  const UniqueFd target(openat(
      to, made.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
      S_IRUSR | S_IWUSR));
  if (!target.valid()) return FileError(errno, name);
  absl::Status copied = CopyBytes(from, target.get());
  if (copied.ok()) copied = Resemble(target.get(), info);
  return PutInPlace(std::move(copied), to, name);
}

absl::Status TreeCopier::CopyBytes(int from, int to) {
  std::array<char, 128 * 1024> buffer;
  while (true) {
    const ssize_t got = read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, "reading a file");
    if (got == 0) return absl::OkStatus();
    // Counted as it comes: the file may grow.
    CONTAINERBUILDER_RETURN_IF_ERROR(budget_.CountBytes(got));
    for (ssize_t done = 0; done < got;) {
      const ssize_t put =
          write(to, buffer.data() + done, static_cast<std::size_t>(got - done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return FileError(errno, "writing a copy");
      done += put;
    }
  }
}

absl::Status TreeCopier::CopyFolder(int from, int to) {
  CONTAINERBUILDER_RETURN_IF_ERROR(CopyEntries(from, to, 0));
  struct stat info;
  // A folder that was there is somebody's as it is.
  if (replace_ || fstat(from, &info) != 0) return absl::OkStatus();
  return Resemble(to, info, S_IRWXU);
}

absl::Status TreeCopier::CopyEntries(int from, int to, int depth) {
  struct stat info;
  for (const int folder : {from, to}) {
    if (fstat(folder, &info) != 0) return FileError(errno, "a folder");
    if (absl::c_linear_search(closed_,
                              std::make_pair(info.st_dev, info.st_ino))) {
      return absl::InvalidArgumentError("the service's own folder is in it");
    }
  }
  if (depth > limits::kMaxStagedDepth) {
    return absl::OutOfRangeError(absl::StrCat(
        "it has folders more than ", limits::kMaxStagedDepth, " deep"));
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                                    NamesIn(from, budget_.files_left()));
  for (const std::string& name : names) {
    CONTAINERBUILDER_RETURN_IF_ERROR(CopyEntry(from, to, name, depth));
  }
  return absl::OkStatus();
}

absl::Status TreeCopier::CopyEntry(int from, int to, const std::string& name,
                                   int depth) {
  struct stat info;
  if (fstatat(from, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return FileError(errno, name);
  }
  if (S_ISLNK(info.st_mode)) return CopyLink(from, to, name, info);
  if (S_ISDIR(info.st_mode)) {
    CONTAINERBUILDER_RETURN_IF_ERROR(budget_.CountFile());
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const UniqueFd source,
        OpenWithoutLinks(from, name, O_RDONLY | O_DIRECTORY));
    const bool is_new = mkdirat(to, name.c_str(), S_IRWXU) == 0;
    if (!is_new && !(replace_ && errno == EEXIST)) {
      return FileError(errno, name);
    }
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const UniqueFd target,
        OpenWithoutLinks(to, name, O_RDONLY | O_DIRECTORY));
    CONTAINERBUILDER_RETURN_IF_ERROR(
        CopyEntries(source.get(), target.get(), depth + 1));
    // Whoever clears up must be able to.
    return is_new ? Resemble(target.get(), info, S_IRWXU) : absl::OkStatus();
  }
  if (S_ISREG(info.st_mode)) {
    // Not to wait for a FIFO that has taken its place.
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const UniqueFd source,
        OpenWithoutLinks(from, name, O_RDONLY | O_NONBLOCK | O_NOCTTY));
    return CopyFile(source.get(), to, name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", ToUtf8(name), "\" is no file, folder or link"));
}

absl::Status TreeCopier::CopyLink(int from, int to, const std::string& name,
                                  const struct stat& info) {
  CONTAINERBUILDER_RETURN_IF_ERROR(budget_.CountFile());
  std::array<char, PATH_MAX> target;
  const ssize_t size =
      readlinkat(from, name.c_str(), target.data(), target.size() - 1);
  if (size < 0) return FileError(errno, name);
  target[static_cast<std::size_t>(size)] = '\0';
  const std::string& made = replace_ ? new_name_ : name;
  if (symlinkat(target.data(), to, made.c_str()) != 0) {
    return FileError(errno, name);
  }
  const timespec times[] = {{0, UTIME_OMIT}, info.st_mtim};
  utimensat(to, made.c_str(), times, AT_SYMLINK_NOFOLLOW);
  return PutInPlace(absl::OkStatus(), to, name);
}

absl::Status TreeCopier::PutInPlace(absl::Status made, int folder,
                                    const std::string& name) const {
  if (!replace_) return made;
  if (made.ok() &&
      renameat(folder, new_name_.c_str(), folder, name.c_str()) != 0) {
    made = FileError(errno, name);
  }
  if (!made.ok()) unlinkat(folder, new_name_.c_str(), 0);
  return made;
}

}  // namespace containerbuilder::service
