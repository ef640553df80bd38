#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "command_line.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

constexpr char kHelp[] =
    R"(Usage: container-builder [--address=ADDRESS] health

Checks everything that a build needs, one row per part, with what to do about
what is missing. The last line is the verdict.

Exit code: 0 for HEALTHY and DEGRADED, 1 for UNHEALTHY, 64 + the gRPC code when
the service did not answer.

Examples:
  container-builder health
  container-builder --address=build-host:50051 health
)";

std::string StateName(const v1::HealthCheck& check) {
  return std::string(
      absl::StripPrefix(v1::HealthCheck::State_Name(check.state()), "STATE_"));
}

std::string Table(const v1::HealthResponse& health) {
  std::size_t name_width = 0;
  std::size_t state_width = 0;
  for (const v1::HealthCheck& check : health.checks()) {
    name_width = std::max(name_width, check.name().size() + 2);
    state_width = std::max(state_width, StateName(check).size() + 2);
  }
  const std::string indent(name_width + state_width, ' ');

  std::string table;
  for (const v1::HealthCheck& check : health.checks()) {
    std::string row = check.name();
    row.resize(name_width, ' ');
    row += StateName(check);
    row.resize(name_width + state_width, ' ');
    row += check.message();
    absl::StrAppend(&table, absl::StripTrailingAsciiWhitespace(row), "\n");
    for (absl::string_view line :
         absl::StrSplit(check.hint(), '\n', absl::SkipEmpty())) {
      absl::StrAppend(&table, indent, line, "\n");
    }
  }
  absl::StrAppend(&table,
                  absl::StripPrefix(
                      v1::HealthResponse::State_Name(health.state()), "STATE_"),
                  "\n");
  return table;
}

}  // namespace

int RunHealth(const client::ClientOptions& options,
              std::span<const std::string> arguments) {
  const auto line = SplitCommandLine(arguments, {&kHelpFlag, 1});
  if (!line.ok()) return WrongUsage(line.status().message(), "health");
  if (IsOn(*line, "help")) return PrintHelp(kHelp);
  if (!line->arguments.empty()) {
    return WrongUsage("health takes no arguments", "health");
  }

  const auto health = client::Client(options).Health();
  if (!health.ok()) {
    PrintError(health.status(), options);
    return ExitCode(health.status().code());
  }
  const std::error_code error = Write(STDOUT_FILENO, Table(*health));
  if (error) return WriteFailed(error);
  const bool serves = health->state() == v1::HealthResponse::STATE_HEALTHY ||
                      health->state() == v1::HealthResponse::STATE_DEGRADED;
  return serves ? kSucceeded : kFailed;
}

}  // namespace containerbuilder::cli
