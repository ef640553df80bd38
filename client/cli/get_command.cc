#include <unistd.h>

#include "absl/time/clock.h"
#include "color.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "format.h"
#include "terminal.h"
#include "values.h"

namespace containerbuilder::cli {
namespace {

constexpr char kText[] =
    R"(Tells of one build as it is now.
)";

constexpr char kExamples[] =
    R"(  container-builder get builds/01JDF3
  container-builder get 01JDF3 --format json | jq .failure
)";

constexpr char kExitCodes[] =
    R"(64 + the gRPC code when the service refused or is gone, so 69 where
there is no such build.
)";

constexpr Flag kFlags[] = {
    OwnFlag(Flag::Kind::kText, "format", '\0',
            "table (default), or json: the build in one line", TableOrJson),
    kHelpFlag,
};

constexpr FlagGroup kGroups[] = {{"Flags", kFlags}};

int Run(const client::ClientOptions& options, const CommandLine& line) {
  const auto json = IsJson(line, "table");
  if (!json.ok()) return WrongUsage(json.status().message(), "get");
  const auto name = NameOf(line);
  if (!name.ok()) return WrongUsage(name.status().message(), "get");

  const auto build = client::Client(options).GetBuild(*name);
  if (!build.ok()) {
    PrintError(build.status(), options);
    return ExitCode(build.status().code());
  }
  return PrintResult(
      *json ? JsonLine(*build)
            : BuildDetails(*build, absl::Now(), HasColors(STDOUT_FILENO)));
}

}  // namespace

constexpr Command kGetCommand = {
    .name = "get",
    .summary = "Tell of one build",
    .synopsis = "[flags] NAME",
    .argument = Command::Argument::kBuild,
    .text = kText,
    .examples = kExamples,
    .exit_codes = kExitCodes,
    .flags = kGroups,
    .run = Run,
};

}  // namespace containerbuilder::cli
