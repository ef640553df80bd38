#ifndef CONTAINERBUILDER_CLI_COMMANDS_H_
#define CONTAINERBUILDER_CLI_COMMANDS_H_

#include <span>
#include <string_view>

#include "command.h"

// Which commands there are, each in a file of its own.
namespace containerbuilder::cli {

extern const Command kArgsCommand;
extern const Command kBuildCommand;
extern const Command kCancelCommand;
extern const Command kCompleteCommand;
extern const Command kCompletionCommand;
extern const Command kDeleteCommand;
extern const Command kDoctorCommand;
extern const Command kGetCommand;
extern const Command kHealthCommand;
extern const Command kListCommand;
extern const Command kManCommand;
extern const Command kWatchCommand;

struct CommandGroup {
  std::string_view title;  // empty: for programs, and not shown
  std::span<const Command* const> commands;
};

std::span<const CommandGroup> CommandGroups();

// Null where there is none of that name.
const Command* FindCommand(std::string_view name);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_COMMANDS_H_
