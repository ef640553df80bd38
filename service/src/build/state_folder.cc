#include "build/state_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/failpoint.h"
#include "base/remove_tree.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace containerbuilder::service {
namespace {

constexpr absl::string_view kNamePrefix = "builds/";

// An id becomes the name of a folder. Those of NewBuildId have 26 characters.
bool IsId(absl::string_view text) {
  constexpr std::size_t kMaxIdBytes = 64;
  return !text.empty() && text.size() <= kMaxIdBytes &&
         absl::c_all_of(text, absl::ascii_isalnum);
}

absl::Status ToStatus(const std::error_code& error, absl::string_view what) {
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(), what);
}

// What is no id might name another folder.
absl::Status CheckId(absl::string_view id) {
  if (IsId(id)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("\"", id, "\" is no id"));
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && chmod(path.c_str(), 0700) != 0) {
    error = std::error_code(errno, std::generic_category());
  }
  return ToStatus(error, path);
}

// That nobody but this user has had a hand in what is there, or will have. Who
// could put a link or a file there would choose what the service reads, and
// where it writes.
absl::Status Claim(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return ToStatus(error, path);
  struct stat found;
  if (lstat(path.c_str(), &found) != 0) {
    return absl::ErrnoToStatus(errno, path);
  }
  if (S_ISLNK(found.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path,
        " is a link, which others may have made; name the folder itself"));
  }
  const UniqueFd folder(
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid() || fstat(folder.get(), &found) != 0) {
    return absl::ErrnoToStatus(errno, path);
  }
  if (found.st_uid != geteuid()) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " belongs to user ", found.st_uid, ", and the service runs as ",
        geteuid(), "; name a folder of its own, or chown it"));
  }
  if ((found.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " has mode ", absl::StrFormat("%04o", found.st_mode & 07777),
        ": others may have put files there; name another folder, or look what "
        "is in it and chmod it to 0700"));
  }
  if (fchmod(folder.get(), 0700) != 0) {
    return absl::ErrnoToStatus(errno, path);
  }
  return absl::OkStatus();
}

// Has its names on disk.
absl::Status SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, path);
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return error == 0 ? absl::OkStatus() : absl::ErrnoToStatus(error, path);
}

}  // namespace

std::string BuildName(absl::string_view id) {
  return absl::StrCat(kNamePrefix, id);
}

std::string BuildId(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, kNamePrefix) || !IsId(name)) return "";
  return std::string(name);
}

void ClearWork(const std::string& build_folder) {
  // What stays goes with the build's folder.
  RemoveTree(build_folder + "/tmp");
  RemoveTree(absl::StrCat(build_folder, kStagingFolder));
}

absl::StatusOr<StateFolder> StateFolder::Take(const std::string& path) {
  const std::string setting = absl::StrCat("--state_dir=", path);
  if (path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(setting, ": name a folder for the service's state"));
  }
  // TMPDIR and the like are told to programs that run elsewhere.
  std::error_code error;
  std::string absolute = std::filesystem::absolute(path, error).string();
  CONTAINERBUILDER_RETURN_IF_ERROR(ToStatus(error, setting));
  // With a slash behind it a link would be followed.
  while (absolute.size() > 1 && absolute.back() == '/') absolute.pop_back();
  if (const absl::Status claimed = Claim(absolute); !claimed.ok()) {
    return absl::Status(claimed.code(),
                        absl::StrCat("--state_dir: ", claimed.message()));
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(FolderLock lock,
                                    FolderLock::Take(absolute));
  for (const char* folder : {"/builds", "/new", "/trash"}) {
    CONTAINERBUILDER_RETURN_IF_ERROR(MakeFolder(absolute + folder));
  }
  return StateFolder(absolute, std::move(lock));
}

std::string StateFolder::build_path(absl::string_view id) const {
  return absl::StrCat(path_, "/builds/", id);
}

absl::StatusOr<std::string> StateFolder::MakeBuild(absl::string_view id) const {
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckId(id));
  std::error_code error;
  std::string path = absl::StrCat(path_, "/new/", id);
  std::filesystem::create_directory(path, error);
  if (!error) std::filesystem::create_directory(path + "/tmp", error);
  if (!error) return path;
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
  return ToStatus(error, absl::StrCat("making ", path));
}

absl::Status StateFolder::PublishBuild(absl::string_view id) const {
  const std::string path = absl::StrCat(path_, "/new/", id);
  if (std::rename(path.c_str(), build_path(id).c_str()) != 0) {
    return absl::ErrnoToStatus(errno, path);
  }
  return SyncFolder(path_ + "/builds");
}

absl::Status StateFolder::DiscardBuild(absl::string_view id) const {
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckId(id));
  const std::string path = build_path(id);
  const std::string trash = absl::StrCat(path_, "/trash/", id);
  // Another call may be at it.
  const bool is_ours = std::rename(path.c_str(), trash.c_str()) == 0;
  if (!is_ours && errno != ENOENT) return absl::ErrnoToStatus(errno, path);
  // Before the record goes: a folder that the power's end brings back without
  // one would be taken for a build that was lost.
  if (is_ours) {
    CONTAINERBUILDER_RETURN_IF_ERROR(SyncFolder(path_ + "/trash"));
    CONTAINERBUILDER_RETURN_IF_ERROR(SyncFolder(path_ + "/builds"));
  }
  CONTAINERBUILDER_FAILPOINT("folder-in-trash");
  std::error_code error;
  if (is_ours) error = RemoveTree(trash);
  if (!error) error = RemoveTree(absl::StrCat(path_, "/new/", id));
  return ToStatus(error, trash);
}

std::vector<std::string> StateFolder::ClearLeftovers() const {
  std::vector<std::string> kept;
  for (const char* folder : {"/new", "/trash"}) {
    std::error_code error;
    const std::string path = path_ + folder;
    std::filesystem::directory_iterator entry(path, error);
    for (; !error && entry != std::filesystem::directory_iterator();
         entry.increment(error)) {
      const std::string left = entry->path().string();
      if (const std::error_code failed = RemoveTree(left)) {
        kept.push_back(absl::StrCat(left, ": ", failed.message()));
      }
    }
    if (error) kept.push_back(absl::StrCat(path, ": ", error.message()));
  }
  return kept;
}

absl::StatusOr<std::vector<std::string>> StateFolder::FindBuilds() const {
  std::vector<std::string> ids;
  std::error_code error;
  const std::string builds = path_ + "/builds";
  std::filesystem::directory_iterator entry(builds, error);
  for (; !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    std::string id = entry->path().filename().string();
    if (IsId(id)) ids.push_back(std::move(id));
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(ToStatus(error, builds));
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace containerbuilder::service
