#ifndef CONTAINERBUILDER_CLI_BUILD_FLAGS_H_
#define CONTAINERBUILDER_CLI_BUILD_FLAGS_H_

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "command_line.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::cli {

// SplitCommandLine with nerdctl's flags, and `own` as further ones.
absl::StatusOr<CommandLine> SplitBuildCommandLine(
    std::span<const std::string> arguments, std::span<const Flag> own);

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
