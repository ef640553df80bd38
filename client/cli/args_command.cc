#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "build_flags.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "format.h"
#include "progress.h"
#include "terminal.h"
#include "values.h"

namespace containerbuilder::cli {
namespace {

constexpr char kText[] =
    R"(Prints the command that `build` would run for the same flags, and starts
nothing. What `build` would refuse is told on standard error.

The command is quoted for a shell and passwords in it are masked. With --null
the arguments after `nerdctl build` are printed exactly, each ended by a NUL.
)";

constexpr char kExamples[] =
    R"(  container-builder args -t app:dev .
  container-builder args --null -t app:dev . | xargs -0 nerdctl build
)";

constexpr char kExitCodes[] =
    R"(64 + the gRPC code when the service refused or is gone.
)";

std::vector<std::string> LineOrJson() { return {"line", "json"}; }

constexpr Flag kOwnFlags[] = {
    OwnFlag(Flag::Kind::kText, "format", '\0',
            "line (default), or json: arguments, line and warnings",
            LineOrJson),
    kHelpFlag,
    OwnFlag(Flag::Kind::kSwitch, "null", '0',
            "Print exact arguments, NUL after each"),
};

constexpr FlagGroup kGroups[] = {
    {"Flags", kOwnFlags},
    {"nerdctl's flags", kNerdctlFlags},
};

int Run(const client::ClientOptions& options, const CommandLine& given) {
  const Surroundings surroundings = SurroundingsHere();
  CommandLine line = given;
  const auto json = IsJson(line, "line");
  if (!json.ok()) return WrongUsage(json.status().message(), "args");
  if (*json && IsOn(line, "null")) {
    return WrongUsage("--null does not go with --format=json", "args");
  }
  const absl::Status progress = SettleProgress(surroundings, line);
  if (!progress.ok()) return WrongUsage(progress.message(), "args");
  const auto build_options = MakeBuildOptions(line, surroundings);
  if (!build_options.ok()) {
    return WrongUsage(build_options.status().message(), "args");
  }

  const auto answer = client::Client(options).ConstructArgs(*build_options);
  if (!answer.ok()) {
    PrintError(answer.status(), options);
    return ExitCode(answer.status().code());
  }
  if (*json) return PrintResult(JsonLine(*answer));
  for (const std::string& warning : answer->warnings()) {
    PrintMessage(absl::StrCat("warning: ", warning));
  }
  if (!IsOn(line, "null")) return PrintResult(answer->command_line() + '\n');
  std::string arguments;
  for (const std::string& argument : answer->args()) {
    arguments.append(argument).push_back('\0');
  }
  return PrintResult(arguments);
}

}  // namespace

constexpr Command kArgsCommand = {
    .name = "args",
    .summary = "Print the command that build would run",
    .synopsis = "[flags] PATH",
    .argument = Command::Argument::kContext,
    .text = kText,
    .examples = kExamples,
    .exit_codes = kExitCodes,
    .flags = kGroups,
    .run = Run,
};

}  // namespace containerbuilder::cli
