#ifndef CONTAINERBUILDER_BUILD_NERDCTL_ARGS_H_
#define CONTAINERBUILDER_BUILD_NERDCTL_ARGS_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// How texts that name something that exists become absolute. The rules are
// those of Python's os.path.exists and os.path.abspath.
struct PathRules {
  // The service's working folder, absolute: what relative paths start from.
  std::string working_folder;
  // Whether that path, as the caller wrote it, counts as existing for him.
  std::function<bool(const std::string& path)> exists;
};

// os.path.exists in `working_folder`: stat through links; any error, an
// embedded NUL or an over-long name means no.
bool PathExists(const std::string& path, const std::string& working_folder);

// os.path.join: `path` itself where it is absolute.
std::string JoinPath(absl::string_view folder, absl::string_view path);

// os.path.abspath: joined to `working_folder` and normalised by text alone;
// exactly two leading slashes stay, links are not followed.
std::string AbsolutePath(absl::string_view path,
                         absl::string_view working_folder);

// `path`, relative, normalised by text; nothing where it leads above where it
// starts at some point on its way. `.` where it leads nowhere.
std::optional<std::string> PathBeneath(absl::string_view path);

// A flag of `nerdctl build` as it stands on the command line.
struct WrittenFlag {
  std::string name;                 // without dashes
  std::string field;                // its value's path in the caller's request
  bool bare = false;                // `--name` with nothing after it
  std::vector<std::string> values;  // or `--name VALUE` for each
};

// What `options` write, in order; options that write nothing are left out.
// Pure but for `rules.exists`. OPTION_INVALID (errors.h) where the reference
// raises NotImplementedError: pairs outside the six parameters that take them.
// `field_prefix` is the path of `options` in the caller's request, such as
// `spec.options`.
absl::StatusOr<std::vector<WrittenFlag>> WriteFlags(
    const v1::BuildOptions& options, const PathRules& rules,
    absl::string_view field_prefix);

// What follows `nerdctl build` on the command line; no context means `.`.
std::vector<std::string> Arguments(absl::Span<const WrittenFlag> flags,
                                   absl::string_view context);

// Both in one: argument for argument what BentoML's construct_build_args
// answers; TOO_LARGE where that takes more than limits::kMaxConstructedBytes.
absl::StatusOr<std::vector<std::string>> ConstructArgs(
    const v1::BuildOptions& options, const PathRules& rules,
    absl::string_view field_prefix);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_NERDCTL_ARGS_H_
