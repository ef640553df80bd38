#ifndef CONTAINERBUILDER_BUILD_ARTIFACTS_H_
#define CONTAINERBUILDER_BUILD_ARTIFACTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/copy_budget.h"
#include "build/staging.h"
#include "containerbuilder/v1/container_builder.pb.h"

// What builds of uploaded contexts made, in `artifacts/{n}` of their folders.
namespace containerbuilder::service {

// `builds/{id}/artifacts/{n}`, and the parts of such a name.
struct ArtifactName {
  std::string build;
  std::string number;

  static std::optional<ArtifactName> Parse(absl::string_view name);
  std::string ToString() const;
};

std::string ArtifactPath(absl::string_view build_folder,
                         absl::string_view number);

// Takes what the build made from its staging folder into its own: whole and on
// disk when this returns. What nerdctl did not write is left out. CANCELLED, or
// what went wrong, in words for the build's failure.
absl::StatusOr<std::vector<v1::Artifact>> KeepArtifacts(
    const StagingPlan& plan, const std::string& build_folder,
    const std::string& build_name, const CopyLimits& limits);

// They are none: the build did not succeed.
void DropArtifacts(const std::string& build_folder);

// What they take of the disk.
std::int64_t ArtifactBytes(const v1::Build& build);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_ARTIFACTS_H_
