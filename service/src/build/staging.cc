#include "build/staging.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errors.h"
#include "base/file_error.h"
#include "base/new_file.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "blobs/tree.h"

namespace containerbuilder::service {
namespace {

absl::StatusOr<UniqueFd> OpenFolder(const std::string& path) {
  UniqueFd folder(
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) return FileError(errno, path);
  return folder;
}

// The part of `path` before its last name, and that name.
std::pair<std::string, std::string> SplitPath(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

// The setting that a message of TreeCopier names; none for the depth.
absl::string_view LimitOf(absl::string_view message) {
  for (const char* setting : {"--max_staged_bytes", "--max_staged_files"}) {
    if (absl::StrContains(message, setting)) return setting;
  }
  return "";
}

// As the caller is told it.
absl::Status ForField(const absl::Status& status, absl::string_view field) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return status;
    case absl::StatusCode::kOutOfRange:
      return errors::TooLarge(
          field,
          absl::StrCat("what untrusted callers name is copied before it is "
                       "used, and this is too much: ",
                       status.message(), "; leave out what is not needed"),
          LimitOf(status.message()));
    case absl::StatusCode::kFailedPrecondition:
      return errors::TooLarge(field,
                              absl::StrCat("a file of this kind has at most ",
                                           status.message(), " bytes"),
                              "");
    case absl::StatusCode::kResourceExhausted:
      return errors::NoSpace(status.message());
    case absl::StatusCode::kCancelled:
      return errors::Draining();
    case absl::StatusCode::kInvalidArgument:
      return errors::PathNotAllowed(
          field,
          absl::StrCat("only regular files, folders and links are copied for "
                       "untrusted callers, and ",
                       status.message()),
          "");
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
      return errors::PathRefused(field, "what it names");
    default:
      return errors::Internal(absl::StrCat(field, ": ", status.message()));
  }
}

class InputStager {
 public:
  InputStager(const std::string& folder, BlobStore& blobs,
              const TreeCopier::Limits& limits)
      : folder_(folder),
        blobs_(blobs),
        limits_(limits),
        copier_(limits, /*replace=*/false) {}

  absl::Status Stage(const StagedInput& input) {
    switch (input.kind) {
      case StagedInput::Kind::kTree:
        return Unpack(input);
      case StagedInput::Kind::kText:
        return ForField(WriteText(input), input.field);
      default:
        return ForField(Copy(input), input.field);
    }
  }

 private:
  absl::Status Unpack(const StagedInput& input) {
    const std::string target = absl::StrCat(folder_, "/", input.name);
    CONTAINERBUILDER_RETURN_IF_ERROR(
        ForField(MakeFolders(target), input.field));
    const absl::StatusOr<UniqueFd> folder = OpenFolder(target);
    if (!folder.ok()) return ForField(folder.status(), input.field);
    // The policy has looked at it.
    const std::optional<Digest> digest = Digest::Parse(input.digest);
    return UnpackTree(blobs_, input.caller, *digest, folder->get(), limits_);
  }

  absl::Status WriteText(const StagedInput& input) {
    const std::string target = absl::StrCat(folder_, "/", input.name);
    CONTAINERBUILDER_RETURN_IF_ERROR(MakeFolders(SplitPath(target).first));
    return WriteNewFile(target, input.text, input.name);
  }

  absl::Status Copy(const StagedInput& input) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const UniqueFd root,
                                      OpenFolder(input.place.root));
    const std::string target = absl::StrCat(folder_, "/", input.name);
    if (input.kind == StagedInput::Kind::kFolder ||
        input.kind == StagedInput::Kind::kCache) {
      CONTAINERBUILDER_ASSIGN_OR_RETURN(
          const UniqueFd source, OpenWithoutLinks(root.get(), input.place.path,
                                                  O_RDONLY | O_DIRECTORY));
      CONTAINERBUILDER_RETURN_IF_ERROR(MakeFolders(target));
      CONTAINERBUILDER_ASSIGN_OR_RETURN(const UniqueFd copy,
                                        OpenFolder(target));
      return copier_.CopyFolder(source.get(), copy.get());
    }
    const auto [target_folder, name] = SplitPath(target);
    CONTAINERBUILDER_RETURN_IF_ERROR(MakeFolders(target_folder));
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const UniqueFd copies,
                                      OpenFolder(target_folder));
    CONTAINERBUILDER_RETURN_IF_ERROR(StageFile(
        root.get(), input.place.path, copies.get(), name, input.max_bytes));
    if (input.kind != StagedInput::Kind::kDockerfile) return absl::OkStatus();
    const absl::Status ignore = StageFile(
        root.get(), absl::StrCat(input.place.path, ".dockerignore"),
        copies.get(), absl::StrCat(name, ".dockerignore"), input.max_bytes);
    return absl::IsNotFound(ignore) ? absl::OkStatus() : ignore;
  }

  static absl::Status MakeFolders(const std::string& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    return error ? FileError(error.value(), path) : absl::OkStatus();
  }

  absl::Status StageFile(int root, const std::string& path, int to,
                         const std::string& name, std::int64_t max_bytes) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const UniqueFd source,
        OpenWithoutLinks(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
    struct stat info;
    if (max_bytes > 0 && fstat(source.get(), &info) == 0 &&
        info.st_size > max_bytes) {
      return absl::FailedPreconditionError(absl::StrCat(max_bytes));
    }
    return copier_.CopyFile(source.get(), to, name);
  }

  const std::string& folder_;
  BlobStore& blobs_;
  const TreeCopier::Limits& limits_;
  TreeCopier copier_;
};

// The folder at `path` beneath `root`, made where it is missing.
absl::StatusOr<UniqueFd> MakeBeneath(const UniqueFd& root,
                                     const std::string& path) {
  std::string made;
  for (const absl::string_view part :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    const std::string above = made.empty() ? "." : made;
    absl::StrAppend(&made, made.empty() ? "" : "/", part);
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const UniqueFd folder,
        OpenWithoutLinks(root.get(), above, O_RDONLY | O_DIRECTORY));
    if (mkdirat(folder.get(), std::string(part).c_str(), 0777) != 0 &&
        errno != EEXIST) {
      return FileError(errno, made);
    }
  }
  return OpenWithoutLinks(root.get(), made.empty() ? "." : made,
                          O_RDONLY | O_DIRECTORY);
}

absl::Status Deliver(const StagedOutput& output, const std::string& source_path,
                     TreeCopier& copier) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const UniqueFd root,
                                    OpenFolder(output.place.root));
  if (output.kind == StagedOutput::Kind::kFolder) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const UniqueFd source,
                                      OpenFolder(source_path));
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const UniqueFd target,
                                      MakeBeneath(root, output.place.path));
    return copier.CopyFolder(source.get(), target.get());
  }
  const UniqueFd source(
      open(source_path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!source.valid()) return FileError(errno, "the output");
  const auto [folder, name] = SplitPath(output.place.path);
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const UniqueFd target,
                                    MakeBeneath(root, folder));
  return copier.CopyFile(source.get(), target.get(), name);
}

}  // namespace

absl::Status StageInputs(const StagingPlan& plan, const std::string& folder,
                         BlobStore& blobs, const TreeCopier::Limits& limits) {
  if (plan.empty()) return absl::OkStatus();
  std::error_code error;
  // For builds that read nothing but write.
  std::filesystem::create_directories(folder, error);
  for (const StagedOutput& output : plan.outputs) {
    const std::string path = absl::StrCat(folder, "/", output.name);
    if (error) break;
    std::filesystem::create_directories(
        output.kind == StagedOutput::Kind::kFolder ? path
                                                   : SplitPath(path).first,
        error);
  }
  for (const StagedArtifact& artifact : plan.artifacts) {
    if (error) break;
    std::filesystem::create_directories(
        SplitPath(absl::StrCat(folder, "/", artifact.name)).first, error);
  }
  if (error) {
    return ForField(FileError(error.value(), folder), "spec.options");
  }
  InputStager stager(folder, blobs, limits);
  for (const StagedInput& input : plan.inputs) {
    CONTAINERBUILDER_RETURN_IF_ERROR(stager.Stage(input));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenToSync(const std::string& folder) {
  absl::StatusOr<UniqueFd> opened = OpenFolder(folder);
  if (!opened.ok()) return ForField(opened.status(), "spec.options");
  return opened;
}

absl::Status SyncStaged(const UniqueFd& folder) {
  // All of the disk at once, and not file by file: a disk flushes its cache for
  // each of these, which takes a second for a thousand files, where this takes
  // some milliseconds. It waits for what others have written, too; that goes on
  // in the background anyway. To look at a restart whether the copies are whole
  // would need a digest of each.
  if (syncfs(folder.get()) == 0) return absl::OkStatus();
  return ForField(FileError(errno, "the copies"), "spec.options");
}

absl::Status DeliverOutputs(const StagingPlan& plan, const std::string& folder,
                            const TreeCopier::Limits& limits) {
  TreeCopier copier(limits, /*replace=*/true);
  for (const StagedOutput& output : plan.outputs) {
    const absl::Status delivered =
        Deliver(output, absl::StrCat(folder, "/", output.name), copier);
    if (!delivered.ok()) {
      return absl::Status(
          delivered.code(),
          absl::StrCat(output.field,
                       ": the output was made, but not copied to ",
                       "its place: ", delivered.message()));
    }
  }
  return absl::OkStatus();
}

bool HasWholeArchive(const StagingPlan& plan, const std::string& folder) {
  // A tar ends with two blocks of zeros; buildctl writes no other archives.
  constexpr int kEnd = 1024;
  const auto is_whole = [&](const auto& output) {
    if (!output.is_archive) return false;
    const UniqueFd file(open(absl::StrCat(folder, "/", output.name).c_str(),
                             O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    std::array<char, kEnd> end;
    struct stat info;
    return file.valid() && fstat(file.get(), &info) == 0 &&
           S_ISREG(info.st_mode) && info.st_size > kEnd &&
           pread(file.get(), end.data(), kEnd, info.st_size - kEnd) == kEnd &&
           absl::c_all_of(end, [](char byte) { return byte == '\0'; });
  };
  return absl::c_any_of(plan.outputs, is_whole) ||
         absl::c_any_of(plan.artifacts, is_whole);
}

}  // namespace containerbuilder::service
