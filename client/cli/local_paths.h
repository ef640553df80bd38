#ifndef CONTAINERBUILDER_CLI_LOCAL_PATHS_H_
#define CONTAINERBUILDER_CLI_LOCAL_PATHS_H_

#include <string>
#include <string_view>

#include "containerbuilder/nerdctl_build_flags.h"

namespace containerbuilder::cli {

// `path` as seen from `folder`. Not normalised, because `link/..` is not `.`.
// Empty stays empty: it names nothing.
std::string MakeAbsolute(std::string_view folder, std::string_view path);

// The flag's value with the paths in it made absolute, found as nerdctl and
// BuildKit find them. The rest stays byte for byte, and so does a value that
// does not parse: nerdctl will say what is wrong with it.
std::string MakePathsAbsolute(const NerdctlBuildFlag& flag,
                              std::string_view folder, std::string_view value);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_LOCAL_PATHS_H_
