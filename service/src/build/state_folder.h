#ifndef CONTAINERBUILDER_BUILD_STATE_FOLDER_H_
#define CONTAINERBUILDER_BUILD_STATE_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/folder_lock.h"

namespace containerbuilder::service {

// `builds/{id}`, and back; empty where the name is none of ours.
std::string BuildName(absl::string_view id);
std::string BuildId(absl::string_view name);

// Where in a build's folder the copies are of what it reads and writes.
inline constexpr absl::string_view kStagingFolder = "/staging";

// Takes away what a build had in its folder for its run alone.
void ClearWork(const std::string& build_folder);

// The service's folder: `records.db`, and `builds/{id}/` with the journal of
// each build and, until it ends, its TMPDIR and what was staged for it. What
// has no whole folder yet is in `new/`, what is being removed in `trash/`:
// neither outlives a start. One process alone has it. Others keep there what is
// their own, as SecretFolder where it is. Thread-safe.
class StateFolder {
 public:
  // Makes it, mode 0700, where it is missing. ALREADY_EXISTS where another
  // process has it. FAILED_PRECONDITION where somebody else may have put
  // something there: it is a link, another user's, or others may write to it.
  static absl::StatusOr<StateFolder> Take(const std::string& path);

  // Whether it is still there and may be written to; the error says what has
  // become of it.
  absl::Status Check() const { return lock_.Check(); }

  const std::string& path() const { return path_; }
  std::string records_path() const { return path_ + "/records.db"; }
  std::string reserve_path() const { return path_ + "/reserve"; }
  std::string build_path(absl::string_view id) const;

  // Makes the folder of a new build, with `tmp` in it, and answers its path;
  // it is no build's yet.
  absl::StatusOr<std::string> MakeBuild(absl::string_view id) const;
  // Makes it the build's, at build_path: on disk when this returns OK.
  absl::Status PublishBuild(absl::string_view id) const;

  // Takes a build's folder away, at once or, after a crash, not at all; it may
  // be gone already, or not be published.
  absl::Status DiscardBuild(absl::string_view id) const;

  // Frees what a crash in DiscardBuild, or before PublishBuild, left. Answers
  // what it could not, and why: a later start may.
  std::vector<std::string> ClearLeftovers() const;

  // The ids of all builds that have a folder, sorted.
  absl::StatusOr<std::vector<std::string>> FindBuilds() const;

 private:
  StateFolder(std::string path, FolderLock lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  FolderLock lock_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_STATE_FOLDER_H_
