#include "secrets/secret_folder.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/canonical_hash.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace containerbuilder::service {
namespace {

bool IsInMemory(const std::string& folder) {
  struct statfs info = {};
  return statfs(folder.c_str(), &info) == 0 &&
         (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

// A folder that is ours alone: in a parent that others may write to, they may
// have made one of that name.
absl::Status MakePrivate(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) == 0) return absl::OkStatus();
  if (errno != EEXIST) return absl::ErrnoToStatus(errno, folder);
  struct stat info = {};
  if (lstat(folder.c_str(), &info) != 0) {
    return absl::ErrnoToStatus(errno, folder);
  }
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() ||
      (info.st_mode & 0077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder,
                     " is there, and is not a folder of this user's "
                     "with mode 0700; remove it"));
  }
  return absl::OkStatus();
}

absl::Status WriteFile(const std::string& path, absl::string_view content) {
  const UniqueFd file(open(path.c_str(),
                           O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
                           0600));
  if (!file.valid()) return absl::ErrnoToStatus(errno, path);
  while (!content.empty()) {
    const ssize_t written = write(file.get(), content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return absl::ErrnoToStatus(errno, path);
    }
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SecretFolder> SecretFolder::Take(
    const std::vector<std::string>& parents, const std::string& state_dir) {
  std::error_code error;
  const std::string state = std::filesystem::canonical(state_dir, error);
  if (error) return absl::ErrnoToStatus(error.value(), state_dir);
  const std::string name = absl::StrCat(
      "container-builder-", absl::BytesToHexString(Sha256(state).substr(0, 8)));
  std::vector<std::string> refusals;
  for (const std::string& parent : parents) {
    if (!IsInMemory(parent)) {
      refusals.push_back(absl::StrCat(parent, " is no folder in memory"));
      continue;
    }
    SecretFolder folder(absl::StrCat(parent, "/", name));
    const absl::Status made = MakePrivate(folder.path_);
    if (!made.ok()) {
      refusals.emplace_back(made.message());
      continue;
    }
    for (const auto& left :
         std::filesystem::directory_iterator(folder.path_, error)) {
      std::filesystem::remove_all(left.path(), error);
      if (error) return absl::ErrnoToStatus(error.value(), folder.path_);
    }
    return folder;
  }
  return absl::FailedPreconditionError(absl::StrJoin(refusals, "; "));
}

std::string SecretFolder::build_path(absl::string_view id) const {
  return absl::StrCat(path_, "/", id);
}

absl::Status SecretFolder::Write(absl::string_view id,
                                 const std::vector<SecretFile>& files) const {
  absl::Cleanup undo = [this, id] { Remove(id); };
  const std::string folder = build_path(id);
  CONTAINERBUILDER_RETURN_IF_ERROR(MakePrivate(folder));
  for (const SecretFile& file : files) {
    const std::size_t slash = file.name.rfind('/');
    if (slash != std::string::npos) {
      CONTAINERBUILDER_RETURN_IF_ERROR(
          MakePrivate(absl::StrCat(folder, "/", file.name.substr(0, slash))));
    }
    CONTAINERBUILDER_RETURN_IF_ERROR(
        WriteFile(absl::StrCat(folder, "/", file.name), file.content));
  }
  std::move(undo).Cancel();
  return absl::OkStatus();
}

void SecretFolder::Remove(absl::string_view id) const {
  std::error_code ignored;
  std::filesystem::remove_all(build_path(id), ignored);
}

}  // namespace containerbuilder::service
