#ifndef CONTAINERBUILDER_CLI_HELP_H_
#define CONTAINERBUILDER_CLI_HELP_H_

#include <span>
#include <string>

#include "command.h"

// What `--help` prints.
namespace containerbuilder::cli {

std::string ProgramHelp();
std::string CommandHelp(const Command& command);

// How a flag is written, with the kind of its value as pflag has it: `-t,
// --tag list`.
std::string FlagUsage(const Flag& flag);

// The flags, one below the other.
std::string FlagsHelp(std::span<const Flag> flags);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_HELP_H_
