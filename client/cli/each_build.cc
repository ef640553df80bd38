#include "each_build.h"

#include "command.h"
#include "exit_code.h"
#include "terminal.h"
#include "values.h"

namespace containerbuilder::cli {

int ForEachBuild(
    absl::string_view command, const client::ClientOptions& options,
    const CommandLine& line,
    const std::function<absl::StatusOr<std::string>(const std::string& name)>&
        act) {
  const auto names = NamesOf(line);
  if (!names.ok()) return WrongUsage(names.status().message(), command);

  int exit_code = kSucceeded;
  for (const std::string& name : *names) {
    const auto output = act(name);
    if (!output.ok()) {
      PrintError(output.status(), options);
      if (exit_code == kSucceeded) exit_code = ExitCode(output.status().code());
      continue;
    }
    const int code = PrintResult(*output);
    if (code != kSucceeded) return code;
  }
  return exit_code;
}

}  // namespace containerbuilder::cli
