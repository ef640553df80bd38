#ifndef CONTAINERBUILDER_CLI_GLOBAL_FLAGS_H_
#define CONTAINERBUILDER_CLI_GLOBAL_FLAGS_H_

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "command_line.h"
#include "containerbuilder/client/client_options.h"

// The flags before the command: how to reach the service.
namespace containerbuilder::cli {

// What is sent with each call; from this variable where `--token-file` is not
// given.
inline constexpr char kTokenVariable[] = "CONTAINER_BUILDER_TOKEN";

std::span<const Flag> GlobalFlags();

// The whole command line; its arguments are the command and what follows.
absl::StatusOr<CommandLine> SplitProgramLine(
    std::span<const std::string> arguments);

// What the flags say, and, for those that are not given, their variables: only
// who calls the service needs these to be right. Reads `--token-file`.
absl::StatusOr<client::ClientOptions> ClientOptionsOf(const CommandLine& line);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_GLOBAL_FLAGS_H_
