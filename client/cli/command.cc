#include "command.h"

#include "absl/strings/str_cat.h"
#include "exit_code.h"
#include "terminal.h"

namespace containerbuilder::cli {

std::vector<Flag> FlagsOf(const Command& command) {
  std::vector<Flag> flags;
  for (const FlagGroup& group : command.flags) {
    flags.insert(flags.end(), group.flags.begin(), group.flags.end());
  }
  return flags;
}

int WrongUsage(absl::string_view text, absl::string_view command) {
  PrintMessage(text);
  PrintMessage(absl::StrCat("see: container-builder ", command,
                            command.empty() ? "" : " ", "--help"));
  return kWrongUsage;
}

}  // namespace containerbuilder::cli
