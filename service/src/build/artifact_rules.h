#ifndef CONTAINERBUILDER_BUILD_ARTIFACT_RULES_H_
#define CONTAINERBUILDER_BUILD_ARTIFACT_RULES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "build/nerdctl_args.h"
#include "build/staging.h"

// What a build of an uploaded context writes to files comes back as artifacts:
// its flags are made to write into the staging folder.
namespace containerbuilder::service {

// Whether such a flag may be among those that come back.
bool MayComeBack(absl::string_view flag);

// Whether this value of `output` does. False, too, for what buildctl would not
// read.
bool OutputComesBack(absl::string_view value);

// Puts what the flag writes on the plan, and the place in `staging_folder` into
// its value; other flags stay as they are.
absl::Status RedirectToArtifacts(const std::string& staging_folder,
                                 WrittenFlag& flag, StagingPlan& plan);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_ARTIFACT_RULES_H_
