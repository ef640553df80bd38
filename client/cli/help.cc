#include "help.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "commands.h"
#include "global_flags.h"
#include "program.h"

namespace containerbuilder::cli {
namespace {

constexpr std::size_t kColumns = 80;

// `term`, and `text` beside it in lines that begin at `column`.
std::string Row(std::string term, std::size_t column, std::string_view text) {
  term.resize(std::max(term.size() + 1, column), ' ');
  std::string rows;
  bool is_first = true;
  for (absl::string_view word :
       absl::StrSplit(absl::string_view(text.data(), text.size()), ' ')) {
    if (!is_first && term.size() + 1 + word.size() > kColumns) {
      absl::StrAppend(&rows, term, "\n");
      term.assign(column, ' ');
      is_first = true;
    }
    absl::StrAppend(&term, is_first ? "" : " ", word);
    is_first = false;
  }
  return absl::StrCat(rows, term, "\n");
}

}  // namespace

std::string FlagUsage(const Flag& flag) {
  std::string usage;
  if (flag.shorthand != '\0') {
    usage = absl::StrCat("-", std::string(1, flag.shorthand), ", ");
  }
  absl::StrAppend(&usage, "--", std::string(flag.name));
  if (flag.kind == Flag::Kind::kText) usage += " string";
  if (flag.kind == Flag::Kind::kList) usage += " list";
  return usage;
}

std::string FlagsHelp(std::span<const Flag> flags) {
  std::string help;
  for (const Flag& flag : flags) {
    help += Row(
        absl::StrCat(flag.shorthand == '\0' ? "      " : "  ", FlagUsage(flag)),
        30, flag.help);
  }
  return help;
}

std::string CommandHelp(const Command& command) {
  std::string help = "Usage: container-builder [--address=ADDRESS] ";
  help.append(command.name);
  if (!command.synopsis.empty()) help.append(" ").append(command.synopsis);
  help.append("\n\n").append(command.text);
  help.append("\nExamples:\n").append(command.examples);
  help.append("\nExit code: ").append(command.exit_codes);
  for (const FlagGroup& group : command.flags) {
    help.append("\n").append(group.title).append(":\n");
    help += FlagsHelp(group.flags);
  }
  return help;
}

std::string ProgramHelp() {
  std::string help =
      "Usage: container-builder [--address=ADDRESS] COMMAND ...\n\n";
  help.append(kProgramSummary).append("\n");
  for (const CommandGroup& group : CommandGroups()) {
    if (group.title.empty()) continue;
    help.append("\n").append(group.title).append(":\n");
    for (const Command* command : group.commands) {
      help += Row("  " + std::string(command->name), 14, command->summary);
    }
  }
  help.append("\n`container-builder COMMAND --help` tells more.\n");
  help.append("\nExamples:\n").append(kProgramExamples);
  help.append("\nExit code: ").append(kProgramExitCodes);
  help.append("\nFlags, before the command:\n");
  help += FlagsHelp(GlobalFlags());
  help.append(
      "\nVariables: each of these flags may be one, CONTAINER_BUILDER_TLS_CA "
      "for\n--tls-ca; and\n");
  for (const ProgramVariable& variable : kProgramVariables) {
    help += Row("  " + std::string(variable.name), 28, variable.help);
  }
  return help;
}

}  // namespace containerbuilder::cli
