#ifndef CONTAINERBUILDER_CLI_COMMAND_LINE_H_
#define CONTAINERBUILDER_CLI_COMMAND_LINE_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "containerbuilder/nerdctl_build_flags.h"

// How every command takes its arguments apart: as nerdctl does.
namespace containerbuilder::cli {

// A flag: one of nerdctl's, or of our own.
struct Flag : NerdctlBuildFlag {
  using Choices = std::vector<std::string> (*)();
  // What its value may be; null: what a list cannot say.
  Choices choices = nullptr;
  // The variable that it is taken from where it is not given; empty: none.
  std::string_view variable = "";
};

// A flag of our own.
constexpr Flag OwnFlag(Flag::Kind kind, std::string_view name, char shorthand,
                       std::string_view help, Flag::Choices choices = nullptr) {
  return {{name, shorthand, kind, Flag::Path::kNone, "", help}, choices};
}
inline constexpr Flag kHelpFlag =
    OwnFlag(Flag::Kind::kSwitch, "help", 'h', "Print this help");
// Of commands that print what a build prints.
inline constexpr Flag kRawFlag =
    OwnFlag(Flag::Kind::kSwitch, "raw", '\0',
            "Leave all control sequences in what a terminal gets");

// A flag as it was given; a switch has `true` or `false`.
struct GivenFlag {
  Flag flag;
  std::string value;
};

struct CommandLine {
  std::vector<GivenFlag> flags;        // in their order
  std::vector<std::string> arguments;  // what is no flag
};

// Takes arguments apart exactly as nerdctl does, whose parser is Go's
// spf13/pflag: `-qf FILE`, `-tNAME`, `-t=NAME`, `--no-cache=false`, a value
// that begins with `-`, flags after the context. With `kLast` the first
// argument ends the flags, and all that follows it are arguments.
enum class Arguments { kAnywhere, kLast };
absl::StatusOr<CommandLine> SplitCommandLine(
    std::span<const std::string> arguments, std::span<const Flag> known,
    Arguments place = Arguments::kAnywhere);

// Whether the switch of that name is on.
bool IsOn(const CommandLine& line, std::string_view name);

// What was given last for the flag of that name; nothing where it was not.
std::optional<std::string> ValueOf(const CommandLine& line,
                                   std::string_view name);
// All that was given for it, in order.
std::vector<std::string> ValuesOf(const CommandLine& line,
                                  std::string_view name);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_COMMAND_LINE_H_
