#include "containerbuilder/client/local_context.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "context_tree.h"
#include "ignore_matcher.h"
#include "sha256.h"
#include "unique_fd.h"

namespace containerbuilder::client {
namespace {

// Of folders in folders. A descriptor is open for each while it is read.
constexpr int kMaxDepth = 128;
constexpr std::size_t kMaxLinkTarget = 4095;
constexpr std::size_t kMaxDockerignore = 1024 * 1024;
constexpr std::size_t kReadSize = 256 * 1024;
constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;

constexpr char kWayOut[] =
    "; remove it, or leave it out with a line in .dockerignore";

absl::Status FileError(absl::string_view path, int error) {
  const std::string text = absl::StrCat(
      "cannot read \"", path, "\": ", std::generic_category().message(error));
  if (error == EACCES || error == EPERM) {
    return absl::PermissionDeniedError(absl::StrCat(text, kWayOut));
  }
  return absl::InvalidArgumentError(text);
}

absl::Status Stopped() {
  return absl::CancelledError("the reading of the context was stopped");
}

absl::Status CannotTravel(absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", path, "\" ", what, kWayOut));
}

bool IsGone(int error) { return error == ENOENT || error == ENOTDIR; }

std::int64_t Nanoseconds(const timespec& time) {
  return time.tv_sec * kNanosecondsPerSecond + time.tv_nsec;
}

void SetTime(const timespec& from, google::protobuf::Timestamp& to) {
  to.set_seconds(from.tv_sec);
  to.set_nanos(static_cast<std::int32_t>(from.tv_nsec));
}

void SetBlob(const std::string& digest, std::int64_t size,
             v1::BlobDigest& blob) {
  blob.set_digest(digest);
  blob.set_size_bytes(size);
}

// The names in a folder, sorted as bytes.
absl::StatusOr<std::vector<std::string>> NamesIn(int folder,
                                                 absl::string_view path) {
  const int fd = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FileError(path, errno);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), ::closedir);
  if (stream == nullptr) {
    const int error = errno;
    ::close(fd);
    return FileError(path, error);
  }
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  if (errno != 0) return FileError(path, errno);
  std::sort(names.begin(), names.end());
  return names;
}

// Where a link in the folder `path` (empty: the context) leads, stays within.
// Behind a name, which may be a link, nobody can tell what `..` is.
bool StaysWithin(std::string_view path, std::string_view target) {
  if (target.starts_with('/')) return false;
  std::int64_t depth =
      path.empty() ? 0 : 1 + std::count(path.begin(), path.end(), '/');
  bool has_name = false;
  while (!target.empty()) {
    const std::string_view part = target.substr(0, target.find('/'));
    target.remove_prefix(std::min(part.size() + 1, target.size()));
    if (part == "..") {
      if (has_name || --depth < 0) return false;
    } else if (!part.empty() && part != ".") {
      has_name = true;
    }
  }
  return true;
}

// Reads a context into a tree.
class Walker {
 public:
  Walker(const ContextOptions& options, std::string root, IgnoreMatcher matcher,
         LocalContext::Tree& tree)
      : options_(options),
        root_(std::move(root)),
        matcher_(std::move(matcher)),
        tree_(tree),
        buffer_(kReadSize, '\0') {}

  absl::Status Walk(int root) {
    auto directory = ReadFolder(root, "", {}, 0);
    if (!directory.ok()) return directory.status();
    tree_.root_digest = AddDirectory(directory->message).digest();
    return absl::OkStatus();
  }

 private:
  struct Folder {
    v1::Directory message;
    bool is_empty() const {
      return message.files_size() + message.directories_size() +
                 message.symlinks_size() ==
             0;
    }
  };
  // Of the folder that is read.
  struct Entry {
    int folder;
    std::string name;
    std::string path;  // from the context
    int depth;
    struct stat info = {};
  };

  absl::StatusOr<Folder> ReadFolder(int fd, const std::string& path,
                                    const IgnoreMatcher::FolderMatches& parent,
                                    int depth) {
    const auto names = NamesIn(fd, path.empty() ? root_ : path);
    if (!names.ok()) return names.status();
    Folder folder;
    for (const std::string& name : *names) {
      if (options_.stop.stop_requested()) return Stopped();
      Entry entry = {
          fd, name, path.empty() ? name : absl::StrCat(path, "/", name), depth};
      if (::fstatat(fd, name.c_str(), &entry.info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (IsGone(errno)) continue;
        return FileError(entry.path, errno);
      }
      const auto match = matcher_.Matches(entry.path, parent);
      if (!match.ok()) return match.status();
      const absl::Status status =
          S_ISDIR(entry.info.st_mode) ? AddFolder(entry, *match, folder.message)
          : match->is_ignored         ? absl::OkStatus()
                                      : AddOther(entry, folder.message);
      if (!status.ok()) return status;
    }
    return folder;
  }

  absl::Status AddFolder(const Entry& entry, const IgnoreMatcher::Match& match,
                         v1::Directory& parent) {
    if (match.is_ignored && !matcher_.MayTakeBackBelow(entry.path)) {
      return absl::OkStatus();
    }
    if (entry.depth == kMaxDepth) {
      return CannotTravel(
          entry.path, absl::StrCat("is deeper than ", kMaxDepth, " folders"));
    }
    const UniqueFd fd(
        ::openat(entry.folder, entry.name.c_str(),
                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) {
      if (IsGone(errno)) return absl::OkStatus();
      if (match.is_ignored && errno == EACCES) return absl::OkStatus();
      return FileError(entry.path, errno);
    }
    const auto folder =
        ReadFolder(fd.get(), entry.path, match.of_folder, entry.depth + 1);
    if (!folder.ok()) return folder.status();
    // One that is ignored is there for what is taken back below it.
    if (match.is_ignored && folder->is_empty()) return absl::OkStatus();
    v1::Directory::Subdirectory& directory = *parent.add_directories();
    directory.set_name(entry.name);
    *directory.mutable_blob() = AddDirectory(folder->message);
    directory.set_mode(entry.info.st_mode & 0777);
    SetTime(entry.info.st_mtim, *directory.mutable_modify_time());
    return absl::OkStatus();
  }

  absl::Status AddOther(const Entry& entry, v1::Directory& parent) {
    switch (entry.info.st_mode & S_IFMT) {
      case S_IFREG:
      case S_IFSOCK:
        return AddFile(entry, parent);
      case S_IFLNK:
        return AddLink(entry, parent);
      case S_IFIFO:
        return CannotTravel(entry.path, "is a named pipe");
      default:
        return CannotTravel(entry.path, "is a device");
    }
  }

  absl::Status AddFile(const Entry& entry, v1::Directory& parent) {
    ContextBlob blob;
    std::string digest;
    struct stat info = entry.info;
    if (S_ISSOCK(info.st_mode)) {
      digest = Sha256Digest("");
    } else {
      const UniqueFd fd(
          ::openat(entry.folder, entry.name.c_str(),
                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (!fd.valid() || ::fstat(fd.get(), &info) != 0) {
        if (IsGone(errno)) return absl::OkStatus();
        return FileError(entry.path, errno);
      }
      if (!S_ISREG(info.st_mode)) return FileChanged(entry.path);
      auto hashed = Hash(fd.get(), entry.path, info);
      if (!hashed.ok()) return hashed.status();
      digest = *std::move(hashed);
      blob.size = info.st_size;
      blob.path = absl::StrCat(root_, "/", entry.path);
      blob.stamp = FileStamp::Of(info);
    }
    ++tree_.files;
    v1::Directory::File& file = *parent.add_files();
    file.set_name(entry.name);
    SetBlob(digest, blob.size, *file.mutable_blob());
    file.set_mode(info.st_mode & 0777);
    SetTime(info.st_mtim, *file.mutable_modify_time());
    tree_.blobs.try_emplace(std::move(digest), std::move(blob));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Hash(int fd, const std::string& path,
                                   const struct stat& before) {
    Sha256 sha256;
    std::int64_t size = 0;
    while (true) {
      const ssize_t count = ::read(fd, buffer_.data(), buffer_.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return FileError(path, errno);
      if (count == 0) break;
      if (options_.stop.stop_requested()) return Stopped();
      sha256.Update({buffer_.data(), static_cast<std::size_t>(count)});
      size += count;
      tree_.bytes += count;
      Report();
    }
    struct stat after = {};
    if (::fstat(fd, &after) != 0) return FileError(path, errno);
    if (size != before.st_size ||
        FileStamp::Of(after) != FileStamp::Of(before)) {
      return FileChanged(path);
    }
    return sha256.Digest();
  }

  absl::Status AddLink(const Entry& entry, v1::Directory& parent) {
    std::string target(kMaxLinkTarget + 1, '\0');
    const ssize_t size = ::readlinkat(entry.folder, entry.name.c_str(),
                                      target.data(), target.size());
    if (size < 0) {
      if (IsGone(errno)) return absl::OkStatus();
      return FileError(entry.path, errno);
    }
    target.resize(static_cast<std::size_t>(size));
    if (target.size() > kMaxLinkTarget) {
      return CannotTravel(entry.path, "is a link with too long a target");
    }
    const std::size_t slash = entry.path.rfind('/');
    const std::string folder =
        slash == std::string::npos ? "" : entry.path.substr(0, slash);
    if (!StaysWithin(folder, target)) {
      return CannotTravel(
          entry.path,
          absl::StrCat("is a link out of the context, to \"", target, "\""));
    }
    v1::Directory::Symlink& link = *parent.add_symlinks();
    link.set_name(entry.name);
    link.set_target(std::move(target));
    SetTime(entry.info.st_mtim, *link.mutable_modify_time());
    return absl::OkStatus();
  }

  v1::BlobDigest AddDirectory(const v1::Directory& message) {
    ContextBlob blob;
    // Without maps and unknown fields there is one way to write it.
    message.SerializeToString(&blob.bytes);
    blob.size = static_cast<std::int64_t>(blob.bytes.size());
    std::string digest = Sha256Digest(blob.bytes);
    v1::BlobDigest result;
    SetBlob(digest, blob.size, result);
    tree_.blobs.try_emplace(std::move(digest), std::move(blob));
    return result;
  }

  void Report() const {
    if (options_.progress) {
      options_.progress({.files = tree_.files, .bytes = tree_.bytes});
    }
  }

  const ContextOptions& options_;
  const std::string root_;
  IgnoreMatcher matcher_;
  LocalContext::Tree& tree_;
  std::string buffer_;
};

// The context's own ignore file; empty where it has none.
absl::StatusOr<std::string> ReadDockerignore(int root) {
  const UniqueFd fd(::openat(root, ".dockerignore", O_RDONLY | O_CLOEXEC));
  std::string text;
  if (!fd.valid()) {
    if (errno == ENOENT) return text;
    return FileError(".dockerignore", errno);
  }
  std::string buffer(kReadSize, '\0');
  while (true) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError(".dockerignore", errno);
    if (count == 0) return text;
    text.append(buffer, 0, static_cast<std::size_t>(count));
    if (text.size() > kMaxDockerignore) {
      return absl::InvalidArgumentError(".dockerignore is over 1 MiB");
    }
  }
}

}  // namespace

FileStamp FileStamp::Of(const struct stat& file) {
  return {file.st_dev, file.st_ino, file.st_size, Nanoseconds(file.st_mtim),
          Nanoseconds(file.st_ctim)};
}

absl::Status FileChanged(const std::string& path) {
  return absl::AbortedError(
      absl::StrCat("\"", path, "\" changed while it was read; try again"));
}

absl::StatusOr<LocalContext> LocalContext::Read(const std::string& folder,
                                                const ContextOptions& options) {
  const UniqueFd root(
      ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return FileError(folder, errno);
  std::string ignored;
  if (options.dockerignore.has_value()) {
    ignored = *options.dockerignore;
  } else {
    auto text = ReadDockerignore(root.get());
    if (!text.ok()) return text.status();
    ignored = *std::move(text);
  }
  auto matcher = IgnoreMatcher::Parse(ignored);
  if (!matcher.ok()) return matcher.status();
  auto tree = std::make_unique<Tree>();
  const absl::Status status =
      Walker(options, folder, *std::move(matcher), *tree).Walk(root.get());
  if (!status.ok()) return status;
  return LocalContext(std::move(tree));
}

LocalContext::LocalContext(std::unique_ptr<const Tree> tree)
    : tree_(std::move(tree)) {}
LocalContext::LocalContext(LocalContext&&) noexcept = default;
LocalContext& LocalContext::operator=(LocalContext&&) noexcept = default;
LocalContext::~LocalContext() = default;

const std::string& LocalContext::digest() const { return tree_->root_digest; }
std::int64_t LocalContext::files() const { return tree_->files; }
std::int64_t LocalContext::bytes() const { return tree_->bytes; }

}  // namespace containerbuilder::client
