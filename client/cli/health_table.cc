#include "health_table.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "color.h"
#include "exit_code.h"
#include "format.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

std::string StateName(const std::string& name) {
  return std::string(absl::StripPrefix(name, "STATE_"));
}

std::string StateName(const v1::HealthCheck& check) {
  return StateName(v1::HealthCheck::State_Name(check.state()));
}

}  // namespace

std::string HealthTable(const v1::HealthResponse& health, bool colors) {
  std::size_t name_width = 0;
  std::size_t state_width = 0;
  for (const v1::HealthCheck& check : health.checks()) {
    name_width = std::max(name_width, check.name().size() + 2);
    state_width = std::max(state_width, StateName(check).size() + 2);
  }
  const std::string indent(name_width + state_width, ' ');

  std::string table;
  for (const v1::HealthCheck& check : health.checks()) {
    const std::string state = StateName(check);
    const std::string row = absl::StrCat(
        check.name(), std::string(name_width - check.name().size(), ' '),
        colors ? Colored(state) : state,
        std::string(state_width - state.size(), ' '), check.message());
    absl::StrAppend(&table, absl::StripTrailingAsciiWhitespace(row), "\n");
    for (absl::string_view line :
         absl::StrSplit(check.hint(), '\n', absl::SkipEmpty())) {
      absl::StrAppend(&table, indent, line, "\n");
    }
  }
  const std::string verdict =
      StateName(v1::HealthResponse::State_Name(health.state()));
  return absl::StrCat(table, colors ? Colored(verdict) : verdict, "\n");
}

int PrintHealth(const v1::HealthResponse& health, bool json) {
  const int exit_code = PrintResult(
      json ? JsonLine(health) : HealthTable(health, HasColors(STDOUT_FILENO)));
  if (exit_code != kSucceeded) return exit_code;
  const bool serves = health.state() == v1::HealthResponse::STATE_HEALTHY ||
                      health.state() == v1::HealthResponse::STATE_DEGRADED;
  return serves ? kSucceeded : kFailed;
}

}  // namespace containerbuilder::cli
