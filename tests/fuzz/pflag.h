#ifndef CONTAINERBUILDER_TESTS_FUZZ_PFLAG_H_
#define CONTAINERBUILDER_TESTS_FUZZ_PFLAG_H_

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "containerbuilder/nerdctl_build_flags.h"

namespace containerbuilder::fuzz {

// What nerdctl makes of the arguments of `nerdctl build`.
struct Reading {
  // Flags by their long names and values, in order; `true` for a bare switch.
  std::vector<std::pair<std::string, std::string>> flags;
  std::vector<std::string> arguments;
};

// Reads as pflag does, which nerdctl uses, but for shorthands: where one is, or
// pflag would have an error, there is no answer.
inline std::optional<Reading> ReadAsPflag(
    const std::vector<std::string>& arguments) {
  Reading reading;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument.size() < 2 || argument[0] != '-') {
      reading.arguments.push_back(argument);
      continue;
    }
    if (argument == "--") {
      reading.arguments.insert(
          reading.arguments.end(),
          arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1,
          arguments.end());
      break;
    }
    if (argument[1] != '-') return std::nullopt;
    const std::size_t equals = argument.find('=');
    const std::string name =
        argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const auto* flag =
        std::find_if(kNerdctlBuildFlags.begin(), kNerdctlBuildFlags.end(),
                     [&](const NerdctlBuildFlag& known) {
                       return known.since == "1.7" && known.name == name;
                     });
    if (flag == kNerdctlBuildFlags.end()) return std::nullopt;
    if (equals != std::string::npos) {
      reading.flags.emplace_back(name, argument.substr(equals + 1));
    } else if (flag->kind == NerdctlBuildFlag::Kind::kSwitch) {
      reading.flags.emplace_back(name, "true");
    } else if (i + 1 < arguments.size()) {
      reading.flags.emplace_back(name, arguments[++i]);
    } else {
      return std::nullopt;
    }
  }
  return reading;
}

}  // namespace containerbuilder::fuzz

#endif  // CONTAINERBUILDER_TESTS_FUZZ_PFLAG_H_
