#include "each_build.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "command_line.h"
#include "commands.h"
#include "exit_code.h"
#include "terminal.h"
#include "values.h"

namespace containerbuilder::cli {

int ForEachBuild(
    absl::string_view command, absl::string_view help,
    const client::ClientOptions& options,
    std::span<const std::string> arguments,
    const std::function<absl::StatusOr<std::string>(const std::string& name)>&
        act) {
  const std::span<const Flag> flags(&kHelpFlag, 1);
  const auto line = SplitCommandLine(arguments, flags);
  if (!line.ok()) return WrongUsage(line.status().message(), command);
  if (IsOn(*line, "help")) {
    return PrintHelp(absl::StrCat(help, FlagsHelp(flags)));
  }
  const auto names = NamesOf(*line);
  if (!names.ok()) return WrongUsage(names.status().message(), command);

  int exit_code = kSucceeded;
  for (const std::string& name : *names) {
    const auto output = act(name);
    if (!output.ok()) {
      PrintError(output.status(), options);
      if (exit_code == kSucceeded) exit_code = ExitCode(output.status().code());
      continue;
    }
    const std::error_code error = Write(STDOUT_FILENO, *output);
    if (error) return WriteFailed(error);
  }
  return exit_code;
}

}  // namespace containerbuilder::cli
