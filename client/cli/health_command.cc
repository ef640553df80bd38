#include "commands.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "health_table.h"
#include "terminal.h"
#include "values.h"

namespace containerbuilder::cli {
namespace {

constexpr char kText[] =
    R"(Checks everything that a build needs, one row per part, with what to do about
what is missing. The last line is the verdict.
)";

constexpr char kExamples[] =
    R"(  container-builder health
  container-builder --address=build-host:50051 health
)";

int Run(const client::ClientOptions& options, const CommandLine& line) {
  const auto json = IsJson(line, "table");
  if (!json.ok()) return WrongUsage(json.status().message(), "health");
  const auto health = client::Client(options).Health();
  if (!health.ok()) {
    PrintError(health.status(), options);
    return ExitCode(health.status().code());
  }
  return PrintHealth(*health, *json);
}

}  // namespace

constexpr Command kHealthCommand = {
    .name = "health",
    .summary = "Check everything that a build needs",
    .synopsis = "[flags]",
    .argument = Command::Argument::kNothing,
    .text = kText,
    .examples = kExamples,
    .exit_codes = kHealthExitCodes,
    .flags = kHealthGroups,
    .run = Run,
};

}  // namespace containerbuilder::cli
