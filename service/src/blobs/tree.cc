#include "blobs/tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/errors.h"
#include "base/file_error.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "blobs/directory.h"

namespace containerbuilder::service {
namespace {

constexpr absl::string_view kField = "spec.context_digest";

Digest DigestOf(const v1::BlobDigest& blob) {
  // ReadDirectory has looked at it.
  return *Digest::Parse(blob.digest());
}

// Sums that stay at the most that there is: a tree whose folders are each
// there many times has more files than a number can hold.
std::int64_t Sum(std::int64_t a, std::int64_t b) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  return a > kMost - b ? kMost : a + b;
}

absl::Status TooLarge(absl::string_view what, absl::string_view setting) {
  return errors::TooLarge(
      kField,
      absl::StrCat("the context has ", what,
                   "; leave out what is not needed, such as by .dockerignore"),
      setting);
}

// The blobs that are missing, each once.
class Missing {
 public:
  void Add(const Digest& digest) {
    if (!seen_.insert(digest).second) return;
    if (named_.size() < limits::kMaxMissingNamed) {
      named_.push_back(digest.ToString());
    }
  }
  absl::Status Error() const {
    if (seen_.empty()) return absl::OkStatus();
    return errors::BlobsMissing(named_, static_cast<int>(seen_.size()));
  }

 private:
  absl::flat_hash_set<Digest> seen_;
  std::vector<std::string> named_;
};

class TreeChecker {
 public:
  TreeChecker(const TreeSource& source, const CopyLimits& limits)
      : source_(source), limits_(limits) {}

  absl::StatusOr<TreeTotals> Check(const Digest& root) {
    if (!source_.has(root, -1)) {
      missing_.Add(root);
      return missing_.Error();
    }
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const Folder folder,
                                      CheckFolder(root, "", 0));
    if (folder.climb > 0) {
      return TreeInvalid(folder.climber,
                         "the link leads out of the context; links stay "
                         "within it");
    }
    CONTAINERBUILDER_RETURN_IF_ERROR(missing_.Error());
    return folder.totals;
  }

 private:
  // What is known of a folder with all that is beneath it.
  struct Folder {
    TreeTotals totals;
    int depth = 0;  // of folders beneath
    // The link that leads the most folders above this one, and how many.
    int climb = 0;
    std::string climber;
  };
  struct Child {
    std::string name;
    Digest digest;
    std::int64_t size;
  };

  absl::StatusOr<Folder> CheckFolder(const Digest& digest,
                                     const std::string& path, int depth) {
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckDepth(depth));
    if (const auto known = folders_.find(digest); known != folders_.end()) {
      CONTAINERBUILDER_RETURN_IF_ERROR(CheckDepth(depth + known->second.depth));
      return known->second;
    }
    if (limits_.cancelled != nullptr && limits_.cancelled()) {
      return errors::Draining();
    }
    Folder folder;
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::vector<Child> children,
                                      ReadEntries(digest, path, folder));
    for (const Child& child : children) {
      const std::string child_path = PathInTree(path, child.name);
      if (!source_.has(child.digest, child.size)) {
        missing_.Add(child.digest);
        continue;
      }
      CONTAINERBUILDER_ASSIGN_OR_RETURN(
          const Folder below, CheckFolder(child.digest, child_path, depth + 1));
      folder.depth = std::max(folder.depth, below.depth + 1);
      Climb(folder, below.climb - 1, PathInTree(child.name, below.climber));
      CONTAINERBUILDER_RETURN_IF_ERROR(
          Count(folder, below.totals.entries, below.totals.bytes));
    }
    folders_.emplace(digest, folder);
    return folder;
  }

  // Takes in what is in the folder itself; answers its folders. The message is
  // gone then, however deep the tree goes.
  absl::StatusOr<std::vector<Child>> ReadEntries(const Digest& digest,
                                                 const std::string& path,
                                                 Folder& folder) {
    const absl::StatusOr<std::string> bytes = source_.read(digest);
    if (absl::IsNotFound(bytes.status())) {
      missing_.Add(digest);
      return std::vector<Child>();
    }
    CONTAINERBUILDER_RETURN_IF_ERROR(bytes.status());
    directory_bytes_ += static_cast<std::int64_t>(bytes->size());
    if (directory_bytes_ > limits::kMaxDirectoryBytesPerTree) {
      return TooLarge(
          absl::StrCat("Directories of more than ",
                       limits::kMaxDirectoryBytesPerTree, " bytes together"),
          "");
    }
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::int64_t entries,
                                      CountEntries(*bytes, path));
    CONTAINERBUILDER_RETURN_IF_ERROR(Count(folder, entries, 0));
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const v1::Directory directory,
                                      ReadDirectory(*bytes, path));
    for (const v1::Directory::File& file : directory.files()) {
      CONTAINERBUILDER_RETURN_IF_ERROR(
          Count(folder, 0, file.blob().size_bytes()));
      const Digest content = DigestOf(file.blob());
      if (!source_.has(content, file.blob().size_bytes())) {
        missing_.Add(content);
      }
    }
    for (const v1::Directory::Symlink& link : directory.symlinks()) {
      Climb(folder, ClimbOf(link.target()), link.name());
    }
    std::vector<Child> children;
    for (const v1::Directory::Subdirectory& child : directory.directories()) {
      children.push_back(
          {child.name(), DigestOf(child.blob()), child.blob().size_bytes()});
    }
    return children;
  }

  absl::Status Count(Folder& folder, std::int64_t entries,
                     std::int64_t bytes) const {
    folder.totals.entries = Sum(folder.totals.entries, entries);
    folder.totals.bytes = Sum(folder.totals.bytes, bytes);
    if (folder.totals.entries > limits_.max_files) {
      return TooLarge(absl::StrCat("more than ", limits_.max_files,
                                   " files (--max_staged_files)"),
                      "--max_staged_files");
    }
    if (folder.totals.bytes > limits_.max_bytes) {
      return TooLarge(absl::StrCat("more than ", limits_.max_bytes,
                                   " bytes (--max_staged_bytes)"),
                      "--max_staged_bytes");
    }
    return absl::OkStatus();
  }

  static void Climb(Folder& folder, int climb, absl::string_view climber) {
    if (climb <= folder.climb) return;
    folder.climb = climb;
    folder.climber = std::string(climber);
  }

  static absl::Status CheckDepth(int depth) {
    if (depth <= limits::kMaxStagedDepth) return absl::OkStatus();
    return TooLarge(
        absl::StrCat("folders more than ", limits::kMaxStagedDepth, " deep"),
        "");
  }

  const TreeSource& source_;
  const CopyLimits& limits_;
  absl::flat_hash_map<Digest, Folder> folders_;
  std::int64_t directory_bytes_ = 0;
  Missing missing_;
};

class Unpacker {
 public:
  Unpacker(BlobStore& store, absl::string_view caller, const CopyLimits& limits)
      : hold_(&store, caller), limits_(limits), budget_(limits) {}

  absl::Status Unpack(const Digest& root, int folder) {
    const TreeSource source = {
        [this](const Digest& digest, std::int64_t size) {
          return hold_.Add(digest, size);
        },
        [this](const Digest& digest) { return ReadWhole(digest); }};
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckTree(source, root, limits_).status());
    return MakeEntries(root, folder);
  }

 private:
  absl::Status MakeEntries(const Digest& digest, int folder) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const std::vector<v1::Directory::Subdirectory> children,
        MakeFilesAndLinks(digest, folder));
    for (const v1::Directory::Subdirectory& child : children) {
      CONTAINERBUILDER_RETURN_IF_ERROR(CountFile());
      const char* const name = child.name().c_str();
      if (mkdirat(folder, name, S_IRWXU) != 0) return Failed(errno, name);
      const UniqueFd made(openat(
          folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!made.valid()) return Failed(errno, name);
      CONTAINERBUILDER_RETURN_IF_ERROR(
          MakeEntries(DigestOf(child.blob()), made.get()));
      CONTAINERBUILDER_RETURN_IF_ERROR(Resemble(made.get(), child));
    }
    return absl::OkStatus();
  }

  // Answers the folder's folders; all else of it is gone.
  absl::StatusOr<std::vector<v1::Directory::Subdirectory>> MakeFilesAndLinks(
      const Digest& digest, int folder) {
    const absl::StatusOr<std::string> bytes = ReadWhole(digest);
    if (absl::IsNotFound(bytes.status())) return Vanished(digest);
    CONTAINERBUILDER_RETURN_IF_ERROR(bytes.status());
    v1::Directory directory;
    if (!directory.ParseFromString(*bytes)) {
      return errors::Internal("a Directory was read before, and is none now");
    }
    for (const v1::Directory::File& file : directory.files()) {
      CONTAINERBUILDER_RETURN_IF_ERROR(MakeFile(file, folder));
    }
    for (const v1::Directory::Symlink& link : directory.symlinks()) {
      CONTAINERBUILDER_RETURN_IF_ERROR(CountFile());
      const char* const name = link.name().c_str();
      if (symlinkat(link.target().c_str(), folder, name) != 0) {
        return Failed(errno, name);
      }
      const std::array<timespec, 2> times = Times(link);
      utimensat(folder, name, times.data(), AT_SYMLINK_NOFOLLOW);
    }
    return std::vector<v1::Directory::Subdirectory>(
        std::make_move_iterator(directory.mutable_directories()->begin()),
        std::make_move_iterator(directory.mutable_directories()->end()));
  }

  absl::Status MakeFile(const v1::Directory::File& file, int folder) {
    CONTAINERBUILDER_RETURN_IF_ERROR(CountFile());
    const Digest digest = DigestOf(file.blob());
    const absl::StatusOr<UniqueFd> blob = hold_.Open(digest);
    if (absl::IsNotFound(blob.status())) return Vanished(digest);
    if (!blob.ok()) return ForCaller(blob.status());
    const char* const name = file.name().c_str();
    const UniqueFd made(openat(
        folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
        S_IRUSR | S_IWUSR));
    if (!made.valid()) return Failed(errno, name);
    Sha256Stream hash;
    CONTAINERBUILDER_RETURN_IF_ERROR(
        CopyBytes(blob->get(), made.get(), file.blob().size_bytes(), hash));
    if (!(hash.Finish() == digest)) return Vanished(digest);
    if (file.has_modify_time()) return Resemble(made.get(), file);
    v1::Directory::File dated = file;
    dated.mutable_modify_time()->set_nanos(NanosOf(digest));
    return Resemble(made.get(), dated);
  }

  // For a file without a time, in place of 0. BuildKit keeps what an earlier
  // build sent, be it another caller's, where path, size, mode and time are the
  // same, and other contents would be those of 1970, too. Less than half a
  // second: that is 1970 also to who rounds.
  static std::int32_t NanosOf(const Digest& digest) {
    constexpr std::uint32_t kHalfSecond = 500'000'000;
    std::uint32_t number = 0;
    for (int i = 0; i < 4; ++i) number = number << 8 | digest.bytes()[i];
    return static_cast<std::int32_t>(number % kHalfSecond);
  }

  // No more than `size`: a blob that is longer is not itself.
  absl::Status CopyBytes(int from, int to, std::int64_t size,
                         Sha256Stream& hash) {
    bool by_kernel = true;  // which may share blocks
    for (std::int64_t left = size; left > 0;) {
      const ssize_t got =
          read(from, buffer_.data(),
               static_cast<std::size_t>(std::min<std::int64_t>(
                   left, static_cast<std::int64_t>(buffer_.size()))));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Failed(errno, "a blob");
      if (got == 0) return absl::OkStatus();  // cut short: the hash will tell
      const absl::string_view bytes(buffer_.data(),
                                    static_cast<std::size_t>(got));
      hash.Update(bytes);
      CONTAINERBUILDER_RETURN_IF_ERROR(ForCaller(budget_.CountBytes(got)));
      CONTAINERBUILDER_RETURN_IF_ERROR(
          PutBytes(from, size - left, to, bytes, by_kernel));
      left -= got;
    }
    return absl::OkStatus();
  }

  static absl::Status PutBytes(int from, std::int64_t offset, int to,
                               absl::string_view bytes, bool& by_kernel) {
    while (!bytes.empty()) {
      loff_t at = offset;
      ssize_t put =
          by_kernel ? copy_file_range(from, &at, to, nullptr, bytes.size(), 0)
                    : write(to, bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (by_kernel &&
          (put == 0 || (put < 0 && errno != ENOSPC && errno != EDQUOT))) {
        by_kernel = false;
        continue;
      }
      if (put < 0) return Failed(errno, "a file of the context");
      offset += put;
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
    return absl::OkStatus();
  }

  // A small blob; NOT_FOUND where it is gone or is not itself, and then it is
  // gone for good.
  absl::StatusOr<std::string> ReadWhole(const Digest& digest) {
    const absl::StatusOr<UniqueFd> file = hold_.Open(digest);
    if (absl::IsNotFound(file.status())) {
      hold_.Remove(digest);
      return file.status();
    }
    if (!file.ok()) return ForCaller(file.status());
    struct stat info;
    if (fstat(file->get(), &info) != 0) return Failed(errno, "a Directory");
    if (info.st_size > limits::kMaxDirectoryBytes) {
      return TooLarge(absl::StrCat("a Directory of more than ",
                                   limits::kMaxDirectoryBytes, " bytes"),
                      "");
    }
    std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
    std::size_t size = 0;
    while (size < bytes.size()) {
      const ssize_t got =
          read(file->get(), bytes.data() + size, bytes.size() - size);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Failed(errno, "a Directory");
      if (got == 0) break;
      size += static_cast<std::size_t>(got);
    }
    bytes.resize(size);
    if (Digest::Of(bytes) == digest) return bytes;
    hold_.Remove(digest);
    return absl::NotFoundError("the blob is damaged");
  }

  // The caller can send it again.
  absl::Status Vanished(const Digest& digest) {
    hold_.Remove(digest);
    Missing missing;
    missing.Add(digest);
    return missing.Error();
  }

  absl::Status CountFile() { return ForCaller(budget_.CountFile()); }

  static absl::Status ForCaller(const absl::Status& status) {
    switch (status.code()) {
      case absl::StatusCode::kOk:
        return status;
      case absl::StatusCode::kCancelled:
        return errors::Draining();
      case absl::StatusCode::kResourceExhausted:
        return errors::NoSpace(status.message());
      default:
        return errors::Internal(absl::StrCat(kField, ": ", status.message()));
    }
  }

  static absl::Status Failed(int error, absl::string_view what) {
    return ForCaller(FileError(error, what));
  }

  template <typename Entry>
  static std::array<timespec, 2> Times(const Entry& entry) {
    return {{{0, UTIME_OMIT},
             {entry.modify_time().seconds(), entry.modify_time().nanos()}}};
  }

  template <typename Entry>
  static absl::Status Resemble(int fd, const Entry& entry) {
    const std::array<timespec, 2> times = Times(entry);
    if (fchmod(fd, static_cast<mode_t>(entry.mode())) != 0 ||
        futimens(fd, times.data()) != 0) {
      return Failed(errno, "setting a mode");
    }
    return absl::OkStatus();
  }

  BlobStore::Hold hold_;
  const CopyLimits& limits_;
  CopyBudget budget_;
  std::array<char, 128 * 1024> buffer_;
};

}  // namespace

absl::StatusOr<TreeTotals> CheckTree(const TreeSource& source,
                                     const Digest& root,
                                     const CopyLimits& limits) {
  return TreeChecker(source, limits).Check(root);
}

absl::Status UnpackTree(BlobStore& store, absl::string_view caller,
                        const Digest& root, int folder,
                        const CopyLimits& limits) {
  const auto unpacker = std::make_unique<Unpacker>(store, caller, limits);
  return unpacker->Unpack(root, folder);
}

}  // namespace containerbuilder::service
