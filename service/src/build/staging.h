#ifndef CONTAINERBUILDER_BUILD_STAGING_H_
#define CONTAINERBUILDER_BUILD_STAGING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "blobs/blob_store.h"
#include "build/roots.h"
#include "build/tree_copy.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// The uploaded context's folder in the staging folder.
inline constexpr absl::string_view kStagedContext = "context";

// Something that a build reads, put into its staging folder before it is
// admitted, and used from there. The first four are an untrusted caller's,
// copied from under a root.
struct StagedInput {
  enum class Kind {
    kFolder,
    kCache,  // a folder with no links in it
    kFile,
    kDockerfile,  // with the .dockerignore of its own, where there is one
    kText,        // what the request has by value
    kTree,        // an uploaded context
  };
  Kind kind;
  std::string field;  // of the request, for messages
  PlaceInRoot place = {};
  std::string name;            // the copy's, in the staging folder
  std::int64_t max_bytes = 0;  // of a file; 0: the build's limit alone
  std::string text = {};       // of kText
  std::string digest = {};     // of kTree, and whose blobs they are
  std::string caller = {};
};

// Something of the uploaded context that options name: used where it is.
struct ContextPart {
  enum class Kind { kFolder, kCache, kFile, kDockerfile };
  Kind kind;
  std::string field;
  std::string path;  // beneath kStagedContext
  std::int64_t max_bytes = 0;
};

// Something that it writes: made in the staging folder, and copied to under a
// root when the build has succeeded.
struct StagedOutput {
  enum class Kind { kFolder, kFile };
  Kind kind;
  std::string field;
  PlaceInRoot place;
  std::string name;
  // nerdctl would load this archive as an image, and misses it.
  bool is_archive = false;
};

// What a build of an uploaded context makes for DownloadArtifact.
struct StagedArtifact {
  v1::Artifact::Kind kind;
  std::string field;
  std::string filename;     // as the request has it
  std::string name;         // in the staging folder
  bool is_archive = false;  // as of StagedOutput
};

struct StagingPlan {
  std::vector<StagedInput> inputs = {};
  std::vector<StagedOutput> outputs = {};
  std::vector<ContextPart> context_parts = {};
  std::vector<StagedArtifact> artifacts = {};

  bool empty() const {
    return inputs.empty() && outputs.empty() && artifacts.empty();
  }
};

// Makes `folder` and puts the inputs into it; uploaded contexts are `blobs`'.
// Errors name the field: PATH_NOT_ALLOWED, TOO_LARGE, NO_SPACE, and those of
// UnpackTree.
absl::Status StageInputs(const StagingPlan& plan, const std::string& folder,
                         BlobStore& blobs, const TreeCopier::Limits& limits);

// Opens a folder for SyncStaged; it is there already.
absl::StatusOr<UniqueFd> OpenToSync(const std::string& folder);

// Puts what StageInputs made on disk, so that a build which waits finds it
// after a crash of the machine, too. `folder` is on that disk, and was opened
// before: only failures to write since then are told. NO_SPACE, INTERNAL.
absl::Status SyncStaged(const UniqueFd& folder);

// Copies the outputs from `folder` to their places. CANCELLED, or what went
// wrong, in words for the build's failure; outputs that were complete before
// stay.
absl::Status DeliverOutputs(const StagingPlan& plan, const std::string& folder,
                            const TreeCopier::Limits& limits);

// Whether the plan's archive is whole, as far as its end tells.
bool HasWholeArchive(const StagingPlan& plan, const std::string& folder);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_STAGING_H_
