#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

constexpr char kHelp[] =
    R"(Usage: container-builder [--address=ADDRESS] args [flags] PATH

Prints the command that `build` would run for the same flags, and starts
nothing. What `build` would refuse is told on standard error.

The command is quoted for a shell and passwords in it are masked. With --null
the arguments after `nerdctl build` are printed exactly, each ended by a NUL.

Examples:
  container-builder args -t app:dev .
  container-builder args --null -t app:dev . | xargs -0 nerdctl build

Exit code: 64 + the gRPC code when the service refused or is gone.

Flags:
)";

constexpr Flag kOwnFlags[] = {
    kHelpFlag,
    OwnFlag(Flag::Kind::kSwitch, "null", '0',
            "Print exact arguments, NUL after each"),
};

}  // namespace

int RunArgs(const client::ClientOptions& options,
            std::span<const std::string> arguments) {
  const auto line = SplitBuildCommandLine(arguments, kOwnFlags);
  if (!line.ok()) return WrongUsage(line.status().message(), "args");
  if (IsOn(*line, "help")) {
    return PrintHelp(absl::StrCat(kHelp, FlagsHelp(kOwnFlags),
                                  "\nnerdctl's flags:\n",
                                  FlagsHelp(kNerdctlBuildFlags)));
  }
  const auto build_options = MakeBuildOptions(*line, SurroundingsHere());
  if (!build_options.ok()) {
    return WrongUsage(build_options.status().message(), "args");
  }

  const auto answer = client::Client(options).ConstructArgs(*build_options);
  if (!answer.ok()) {
    PrintError(answer.status(), options);
    return ExitCode(answer.status().code());
  }
  for (const std::string& warning : answer->warnings()) {
    PrintMessage(absl::StrCat("warning: ", warning));
  }
  std::string output;
  if (IsOn(*line, "null")) {
    for (const std::string& argument : answer->args()) {
      output.append(argument).push_back('\0');
    }
  } else {
    output = answer->command_line() + '\n';
  }
  const std::error_code error = Write(STDOUT_FILENO, output);
  return error ? WriteFailed(error) : kSucceeded;
}

}  // namespace containerbuilder::cli
