#ifndef CONTAINERBUILDER_CLI_BUILD_FLAGS_H_
#define CONTAINERBUILDER_CLI_BUILD_FLAGS_H_

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "containerbuilder/nerdctl_build_flags.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::cli {

// A flag as it was given; a switch has `true` or `false`.
struct GivenFlag {
  NerdctlBuildFlag flag;
  std::string value;
};

struct CommandLine {
  std::vector<GivenFlag> flags;        // in their order
  std::vector<std::string> arguments;  // what is no flag
};

// Takes the arguments of `nerdctl build` apart exactly as nerdctl does, whose
// parser is Go's spf13/pflag: `-qf FILE`, `-tNAME`, `-t=NAME`,
// `--no-cache=false`, a value that begins with `-`, flags after the context.
// CLI11 reads some of these otherwise. `own` are further flags of the command.
absl::StatusOr<CommandLine> SplitCommandLine(
    std::span<const std::string> arguments,
    std::span<const NerdctlBuildFlag> own);

// Whether the switch of that name is on.
bool IsOn(const CommandLine& line, std::string_view name);

// What nerdctl would find around it if it ran where the caller is.
struct Surroundings {
  std::string folder;
  std::function<std::optional<std::string>(const std::string& name)>
      environment;
};

// What the service needs to run the same build elsewhere: absolute paths, and
// `--build-arg NAME` with its value. Flags that nerdctl does not know are left
// out.
absl::StatusOr<v1::BuildOptions> MakeBuildOptions(
    const CommandLine& line, const Surroundings& surroundings);

// The flags, one per line.
std::string FlagsHelp(std::span<const NerdctlBuildFlag> flags);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_BUILD_FLAGS_H_
