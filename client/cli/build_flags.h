#ifndef CONTAINERBUILDER_CLI_BUILD_FLAGS_H_
#define CONTAINERBUILDER_CLI_BUILD_FLAGS_H_

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "command_line.h"
#include "containerbuilder/nerdctl_build_flags.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "progress.h"
#include "surroundings.h"

namespace containerbuilder::cli {

// nerdctl's flags, in its order.
inline constexpr auto kNerdctlFlags = [] {
  std::array<Flag, kNerdctlBuildFlags.size()> flags;
  for (std::size_t i = 0; i < flags.size(); ++i) {
    Flag& flag = flags[i] = {kNerdctlBuildFlags[i]};
    if (flag.name == "allow") {
      flag.choices = [] {
        return std::vector<std::string>{"network.host", "security.insecure"};
      };
    } else if (flag.name == "network") {
      flag.choices = [] {
        return std::vector<std::string>{"default", "none", "host"};
      };
    } else if (flag.name == "progress") {
      flag.help =
          "Type of progress output (auto, plain, quiet, rawjson; tty is plain)";
      flag.choices = ProgressModes;
    }
  }
  return flags;
}();

// What the service needs to run the same build elsewhere: absolute paths, and
// `--build-arg NAME` with its value. Flags that nerdctl does not know are left
// out.
absl::StatusOr<v1::BuildOptions> MakeBuildOptions(
    const CommandLine& line, const Surroundings& surroundings);

// The folder, or `-`, that the command line has as its context; an error in
// nerdctl's words where it has none, or a URL.
absl::StatusOr<std::string> ContextOf(const CommandLine& line);

// Adds a flag of nerdctl's to the options; one that takes one value replaces
// what was given before.
void AddFlag(const Flag& flag, const std::string& value,
             v1::BuildOptions& options);

// nerdctl gives `--build-arg NAME` the value from its own environment and
// drops it where there is none.
std::optional<std::string> ResolveBuildArg(const std::string& build_arg,
                                           const Surroundings& surroundings);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_BUILD_FLAGS_H_
