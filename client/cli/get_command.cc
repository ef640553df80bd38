#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "command_line.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "format.h"
#include "terminal.h"
#include "values.h"

namespace containerbuilder::cli {
namespace {

constexpr char kHelp[] =
    R"(Usage: container-builder [--address=ADDRESS] get [flags] NAME

Tells of one build as it is now.

Examples:
  container-builder get builds/01JDF3
  container-builder get 01JDF3 --format json | jq .failure

Exit code: 64 + the gRPC code when the service refused or is gone, so 69 where
there is no such build.

Flags:
)";

constexpr Flag kFlags[] = {
    OwnFlag(Flag::Kind::kText, "format", '\0',
            "table (default), or json: the build in one line"),
    kHelpFlag,
};

}  // namespace

int RunGet(const client::ClientOptions& options,
           std::span<const std::string> arguments) {
  const auto line = SplitCommandLine(arguments, kFlags);
  if (!line.ok()) return WrongUsage(line.status().message(), "get");
  if (IsOn(*line, "help")) {
    return PrintHelp(absl::StrCat(kHelp, FlagsHelp(kFlags)));
  }
  const auto json = IsJson(*line, "table");
  if (!json.ok()) return WrongUsage(json.status().message(), "get");
  const auto name = NameOf(*line);
  if (!name.ok()) return WrongUsage(name.status().message(), "get");

  const auto build = client::Client(options).GetBuild(*name);
  if (!build.ok()) {
    PrintError(build.status(), options);
    return ExitCode(build.status().code());
  }
  const std::error_code error =
      Write(STDOUT_FILENO,
            *json ? JsonLine(*build) : BuildDetails(*build, absl::Now()));
  return error ? WriteFailed(error) : kSucceeded;
}

}  // namespace containerbuilder::cli
