#include "color.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "surroundings.h"

namespace containerbuilder::cli {
namespace {

constexpr std::string_view kGood[] = {"OK", "HEALTHY", "SUCCEEDED"};
constexpr std::string_view kOdd[] = {"WARNING", "DEGRADED", "CANCELLED",
                                     "CANCELLING", "INTERRUPTED"};
constexpr std::string_view kBad[] = {"FAILED", "UNHEALTHY", "TIMED_OUT",
                                     "EXPIRED"};

}  // namespace

bool IsTerminal(int fd) {
  return ::isatty(fd) == 1 && Variable("TERM") != "dumb";
}

bool HasColors(int fd) {
  if (Variable("CLICOLOR_FORCE").value_or("0") != "0") return true;
  return !Variable("NO_COLOR") && IsTerminal(fd);
}

std::string Colored(std::string_view state) {
  const auto is_one_of = [state](const auto& states) {
    return std::ranges::find(states, state) != std::end(states);
  };
  const char* const color = is_one_of(kGood)  ? "32"
                            : is_one_of(kOdd) ? "33"
                            : is_one_of(kBad) ? "31"
                                              : nullptr;
  if (color == nullptr) return std::string(state);
  return absl::StrCat("\x1b[", color, "m", std::string(state), "\x1b[0m");
}

}  // namespace containerbuilder::cli
