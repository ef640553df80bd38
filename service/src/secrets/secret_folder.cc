#include "secrets/secret_folder.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/canonical_hash.h"
#include "base/file_error.h"
#include "base/new_file.h"
#include "base/status_macros.h"

namespace containerbuilder::service {
namespace {

bool IsInMemory(const std::string& folder) {
  struct statfs info = {};
  return statfs(folder.c_str(), &info) == 0 &&
         (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

// In a parent that others may write to, they may have made one of that name.
bool IsPrivate(const struct stat& info) {
  return S_ISDIR(info.st_mode) && info.st_uid == geteuid() &&
         (info.st_mode & 0077) == 0;
}

// A folder that is ours alone.
absl::Status MakePrivate(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) == 0) return absl::OkStatus();
  if (errno != EEXIST) return FileError(errno, folder);
  struct stat info = {};
  if (lstat(folder.c_str(), &info) != 0) return FileError(errno, folder);
  if (!IsPrivate(info)) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder,
                     " is there, and is not a folder of this user's "
                     "with mode 0700; remove it"));
  }
  return absl::OkStatus();
}

// Takes away what an earlier run left in a folder of its own, and the folder
// where that may be.
absl::Status Sweep(const std::string& folder) {
  struct stat info = {};
  if (lstat(folder.c_str(), &info) != 0 || !IsPrivate(info)) {
    return absl::OkStatus();
  }
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error);
       !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    std::filesystem::remove_all(entry->path(), error);
    if (error) break;
  }
  if (error) return absl::ErrnoToStatus(error.value(), folder);
  rmdir(folder.c_str());
  return absl::OkStatus();
}

std::string ReadNote(const std::string& note) {
  std::string folder;
  std::ifstream file(note);
  std::getline(file, folder, '\0');
  return folder;
}

// Needs no sync: with the machine the memory goes.
absl::Status WriteNote(const std::string& note, const std::string& folder) {
  if (ReadNote(note) == folder) return absl::OkStatus();
  const std::string made = note + ".new";
  unlink(made.c_str());
  CONTAINERBUILDER_RETURN_IF_ERROR(WriteNewFile(made, folder, made));
  if (rename(made.c_str(), note.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, note);
}

}  // namespace

absl::StatusOr<SecretFolder> SecretFolder::Take(
    const std::vector<std::string>& parents, const std::string& state_dir) {
  std::error_code error;
  const std::string state = std::filesystem::canonical(state_dir, error);
  if (error) return absl::ErrnoToStatus(error.value(), state_dir);
  const std::string name = absl::StrCat(
      "container-builder-", absl::BytesToHexString(Sha256(state).substr(0, 8)));
  // By its name alone: a state folder that was copied has another's note.
  const std::string note = state + "/secret_folder";
  const std::filesystem::path last = ReadNote(note);
  if (last.filename() == name) CONTAINERBUILDER_RETURN_IF_ERROR(Sweep(last));
  for (const std::string& parent : parents) {
    CONTAINERBUILDER_RETURN_IF_ERROR(Sweep(absl::StrCat(parent, "/", name)));
  }
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
    CONTAINERBUILDER_RETURN_IF_ERROR(WriteNote(note, folder.path_));
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
    const std::string path = absl::StrCat(folder, "/", file.name);
    CONTAINERBUILDER_RETURN_IF_ERROR(WriteNewFile(path, file.content, path));
  }
  std::move(undo).Cancel();
  return absl::OkStatus();
}

void SecretFolder::Remove(absl::string_view id) const {
  std::error_code ignored;
  std::filesystem::remove_all(build_path(id), ignored);
}

}  // namespace containerbuilder::service
