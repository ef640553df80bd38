#include "build/artifacts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/file_error.h"
#include "base/remove_tree.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "build/state_folder.h"

namespace containerbuilder::service {
namespace {

constexpr absl::string_view kFolder = "/artifacts";

absl::Status Sync(const UniqueFd& file, absl::string_view what) {
  if (!file.valid() || fsync(file.get()) != 0) return FileError(errno, what);
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& path) {
  return Sync(UniqueFd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
              "keeping an artifact");
}

// Fills in size and digest.
absl::Status Measure(const UniqueFd& file, CopyBudget& budget,
                     v1::Artifact& artifact) {
  CONTAINERBUILDER_RETURN_IF_ERROR(budget.CountFile());
  Sha256Stream hash;
  std::int64_t size = 0;
  std::array<char, 128 * 1024> buffer;
  while (true) {
    const ssize_t got = read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, "reading an artifact");
    if (got == 0) break;
    CONTAINERBUILDER_RETURN_IF_ERROR(budget.CountBytes(got));
    hash.Update({buffer.data(), static_cast<std::size_t>(got)});
    size += got;
  }
  artifact.set_size_bytes(size);
  artifact.set_digest(hash.Finish().ToString());
  return absl::OkStatus();
}

}  // namespace

std::optional<ArtifactName> ArtifactName::Parse(absl::string_view name) {
  constexpr absl::string_view kBetween = "/artifacts/";
  const std::size_t between = name.find(kBetween);
  if (between == absl::string_view::npos) return std::nullopt;
  ArtifactName parsed = {std::string(name.substr(0, between)),
                         std::string(name.substr(between + kBetween.size()))};
  if (BuildId(parsed.build).empty()) return std::nullopt;
  return parsed;
}

std::string ArtifactName::ToString() const {
  return absl::StrCat(build, "/artifacts/", number);
}

std::string ArtifactPath(absl::string_view build_folder,
                         absl::string_view number) {
  return absl::StrCat(build_folder, kFolder, "/", number);
}

absl::StatusOr<std::vector<v1::Artifact>> KeepArtifacts(
    const StagingPlan& plan, const std::string& build_folder,
    const std::string& build_name, const CopyLimits& limits) {
  std::vector<v1::Artifact> artifacts;
  if (plan.artifacts.empty()) return artifacts;
  const std::string folder = absl::StrCat(build_folder, kFolder);
  if (mkdir(folder.c_str(), S_IRWXU) != 0) {
    return FileError(errno, "keeping an artifact");
  }
  CopyBudget budget(limits);
  for (const StagedArtifact& staged : plan.artifacts) {
    const std::string source =
        absl::StrCat(build_folder, kStagingFolder, "/", staged.name);
    const UniqueFd file(
        open(source.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    if (!file.valid() && errno == ENOENT) continue;
    struct stat info;
    if (!file.valid() || fstat(file.get(), &info) != 0) {
      return FileError(errno, staged.field);
    }
    if (!S_ISREG(info.st_mode)) {
      return absl::InternalError(absl::StrCat(staged.field, ": is no file"));
    }
    const std::string number = absl::StrCat(artifacts.size() + 1);
    v1::Artifact artifact;
    artifact.set_name(ArtifactName{build_name, number}.ToString());
    artifact.set_kind(staged.kind);
    artifact.set_filename(staged.filename);
    CONTAINERBUILDER_RETURN_IF_ERROR(Measure(file, budget, artifact));
    CONTAINERBUILDER_RETURN_IF_ERROR(Sync(file, "keeping an artifact"));
    if (std::rename(source.c_str(),
                    ArtifactPath(build_folder, number).c_str()) != 0) {
      return FileError(errno, "keeping an artifact");
    }
    artifacts.push_back(std::move(artifact));
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(SyncFolder(folder));
  CONTAINERBUILDER_RETURN_IF_ERROR(SyncFolder(build_folder));
  CONTAINERBUILDER_FAILPOINT("artifacts-kept");
  return artifacts;
}

void DropArtifacts(const std::string& build_folder) {
  // What stays goes with the build's folder.
  RemoveTree(absl::StrCat(build_folder, kFolder));
}

std::int64_t ArtifactBytes(const v1::Build& build) {
  std::int64_t bytes = 0;
  for (const v1::Artifact& artifact : build.artifacts()) {
    bytes += artifact.size_bytes();
  }
  return bytes;
}

}  // namespace containerbuilder::service
