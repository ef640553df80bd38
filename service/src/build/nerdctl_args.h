#ifndef CONTAINERBUILDER_BUILD_NERDCTL_ARGS_H_
#define CONTAINERBUILDER_BUILD_NERDCTL_ARGS_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// How texts that name something that exists become absolute. The rules are
// those of Python's os.path.exists and os.path.abspath.
struct PathRules {
  // The service's working folder, absolute: what relative paths start from.
  std::string working_folder;
  // Whether that absolute path counts as existing for this caller.
  std::function<bool(const std::string& absolute_path)> exists;
};

// os.path.exists of an absolute path: stat through links; any error, an
// embedded NUL or an over-long name means no.
bool PathExists(const std::string& absolute_path);

// os.path.abspath: joined to `working_folder` and normalised by text alone;
// exactly two leading slashes stay, links are not followed.
std::string AbsolutePath(absl::string_view path,
                         absl::string_view working_folder);

// What follows `nerdctl build` on the command line, argument for argument as
// BentoML's construct_build_args writes it. Pure but for `rules.exists`.
// OPTION_INVALID (errors.h) where the reference raises NotImplementedError:
// pairs outside the six parameters that take them. `field_prefix` is the path
// of `options` in the caller's request, such as `spec.options`.
absl::StatusOr<std::vector<std::string>> ConstructArgs(
    const v1::BuildOptions& options, const PathRules& rules,
    absl::string_view field_prefix);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_NERDCTL_ARGS_H_
