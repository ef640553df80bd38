#ifndef CONTAINERBUILDER_BUILD_STAGING_H_
#define CONTAINERBUILDER_BUILD_STAGING_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "build/roots.h"
#include "build/tree_copy.h"

namespace containerbuilder::service {

// Something that an untrusted caller's build reads: copied from under a root
// before the build is admitted, and used from there.
struct StagedInput {
  enum class Kind {
    kFolder,
    kFile,
    kDockerfile,  // with the .dockerignore of its own, where there is one
  };
  Kind kind;
  std::string field;  // of the request, for messages
  PlaceInRoot place;
  std::string name;            // the copy's, in the staging folder
  std::int64_t max_bytes = 0;  // of a file; 0: the build's limit alone
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

struct StagingPlan {
  std::vector<StagedInput> inputs;
  std::vector<StagedOutput> outputs;
};

// Makes `folder` and copies the inputs into it. Errors name the field:
// PATH_NOT_ALLOWED, TOO_LARGE, NO_SPACE (errors.h).
absl::Status StageInputs(const StagingPlan& plan, const std::string& folder,
                         const TreeCopier::Limits& limits);

// Copies the outputs from `folder` to their places. CANCELLED, or what went
// wrong, in words for the build's failure; outputs that were complete before
// stay.
absl::Status DeliverOutputs(const StagingPlan& plan, const std::string& folder,
                            const TreeCopier::Limits& limits);

// Whether the plan's archive is whole, as far as its end tells.
bool HasWholeArchive(const StagingPlan& plan, const std::string& folder);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_STAGING_H_
