#ifndef CONTAINERBUILDER_CLI_COMMANDS_H_
#define CONTAINERBUILDER_CLI_COMMANDS_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"
#include "build_flags.h"
#include "containerbuilder/client/client_options.h"

// The commands. Each takes what follows its name on the command line and
// answers the program's exit code.
namespace containerbuilder::cli {

int RunArgs(const client::ClientOptions& options,
            std::span<const std::string> arguments);
int RunBuild(const client::ClientOptions& options,
             std::span<const std::string> arguments);
int RunCancel(const client::ClientOptions& options,
              std::span<const std::string> arguments);
int RunDelete(const client::ClientOptions& options,
              std::span<const std::string> arguments);
int RunGet(const client::ClientOptions& options,
           std::span<const std::string> arguments);
int RunHealth(const client::ClientOptions& options,
              std::span<const std::string> arguments);
int RunList(const client::ClientOptions& options,
            std::span<const std::string> arguments);
int RunWatch(const client::ClientOptions& options,
             std::span<const std::string> arguments);

// Says what is wrong and where the help is; answers kWrongUsage.
int WrongUsage(absl::string_view text, absl::string_view command = "");

// Writes the help that was asked for; answers the exit code.
int PrintHelp(std::string_view text);

// This process's. Throws where there is no working folder any more.
Surroundings SurroundingsHere();

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_COMMANDS_H_
