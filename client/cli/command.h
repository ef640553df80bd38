#ifndef CONTAINERBUILDER_CLI_COMMAND_H_
#define CONTAINERBUILDER_CLI_COMMAND_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/string_view.h"
#include "command_line.h"
#include "containerbuilder/client/client_options.h"

// What a command is: all that its help, the manual page, the completion of
// shells and its call know of it.
namespace containerbuilder::cli {

struct FlagGroup {
  std::string_view title;
  std::span<const Flag> flags;
};

struct Command {
  // What its arguments name.
  enum class Argument { kNothing, kContext, kBuild, kBuilds, kShell, kAny };

  std::string_view name;
  std::string_view summary;   // in the list of commands
  std::string_view synopsis;  // what follows its name
  Argument argument;
  std::string_view text;        // paragraphs
  std::string_view examples;    // a line each, or more
  std::string_view exit_codes;  // of its own
  std::span<const FlagGroup> flags;
  // Takes the command line apart from `--help`, which is answered already;
  // answers the program's exit code.
  int (*run)(const client::ClientOptions& options, const CommandLine& line);
  bool calls_service = true;
};

// Where `--help` is all there is.
inline constexpr FlagGroup kHelpOnly[] = {{"Flags", {&kHelpFlag, 1}}};

// The flags of all groups.
std::vector<Flag> FlagsOf(const Command& command);

// Says what is wrong and where the help is; answers kWrongUsage.
int WrongUsage(absl::string_view text, absl::string_view command = "");

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_COMMAND_H_
