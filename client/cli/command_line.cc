#include "command_line.h"

#include <algorithm>
#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "suggestion.h"

namespace containerbuilder::cli {
namespace {

using Kind = Flag::Kind;

// Errors are worded as pflag and nerdctl word them.
template <typename... Parts>
absl::Status UsageError(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", text, "\"");
}

// Go's strconv.ParseBool.
std::optional<bool> ParseBool(std::string_view text) {
  constexpr std::string_view kTrue[] = {"1", "t", "T", "TRUE", "true", "True"};
  constexpr std::string_view kFalse[] = {"0",     "f",     "F",
                                         "FALSE", "false", "False"};
  if (std::ranges::find(kTrue, text) != std::end(kTrue)) return true;
  if (std::ranges::find(kFalse, text) != std::end(kFalse)) return false;
  return std::nullopt;
}

class Splitter {
 public:
  Splitter(std::span<const std::string> arguments, std::span<const Flag> known,
           Arguments place)
      : rest_(arguments), known_(known), place_(place) {}

  absl::StatusOr<CommandLine> Split() {
    while (!rest_.empty()) {
      const std::string argument = Take();
      absl::Status status;
      if (argument.size() < 2 || argument[0] != '-') {
        line_.arguments.push_back(argument);
        if (place_ == Arguments::kLast) TakeTheRest();
      } else if (argument == "--") {
        TakeTheRest();
      } else if (argument[1] == '-') {
        status = TakeLong(argument);
      } else {
        status = TakeShort(argument);
      }
      if (!status.ok()) return status;
    }
    return std::move(line_);
  }

 private:
  std::string Take() {
    std::string argument = rest_.front();
    rest_ = rest_.subspan(1);
    return argument;
  }

  void TakeTheRest() {
    line_.arguments.insert(line_.arguments.end(), rest_.begin(), rest_.end());
    rest_ = {};
  }

  absl::Status TakeLong(const std::string& argument) {
    const std::string text = argument.substr(2);
    if (text[0] == '-' || text[0] == '=') {
      return UsageError("bad flag syntax: ", argument);
    }
    const std::size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const auto flag =
        std::ranges::find(known_, std::string_view(name), &Flag::name);
    if (flag == known_.end()) return UnknownFlag(name);
    if (equals != std::string::npos) return Set(*flag, text.substr(equals + 1));
    if (flag->kind == Kind::kSwitch) return Set(*flag, "true");
    if (!rest_.empty()) return Set(*flag, Take());
    return UsageError("flag needs an argument: --", name);
  }

  // One or more letters; a switch may be followed by further ones, any other
  // takes what follows as its value.
  absl::Status TakeShort(const std::string& argument) {
    for (std::string letters = argument.substr(1); !letters.empty();) {
      // pflag leaves these to Go's test runner.
      if (letters.starts_with("test.")) return absl::OkStatus();
      const auto flag = std::ranges::find(known_, letters[0], &Flag::shorthand);
      if (flag == known_.end()) {
        return UsageError("unknown shorthand flag: '", letters.substr(0, 1),
                          "' in -", letters);
      }
      const std::string following = letters.substr(1);
      const bool is_last = flag->kind != Kind::kSwitch ||
                           (following.size() > 1 && following[0] == '=');
      absl::Status status;
      if (following.size() > 1 && following[0] == '=') {
        status = Set(*flag, following.substr(1));
      } else if (flag->kind == Kind::kSwitch) {
        status = Set(*flag, "true");
      } else if (!following.empty()) {
        status = Set(*flag, following);
      } else if (!rest_.empty()) {
        status = Set(*flag, Take());
      } else {
        status = UsageError("flag needs an argument: '",
                            std::string(1, flag->shorthand), "' in -", letters);
      }
      if (!status.ok() || is_last) return status;
      letters = following;
    }
    return absl::OkStatus();
  }

  absl::Status Set(const Flag& flag, std::string value) {
    if (flag.kind == Kind::kSwitch) {
      const std::optional<bool> on = ParseBool(value);
      if (!on) {
        const std::string shorthand =
            flag.shorthand == '\0'
                ? ""
                : absl::StrCat("-", std::string(1, flag.shorthand), ", ");
        return UsageError("invalid argument ", Quoted(value), " for \"",
                          shorthand, "--", std::string(flag.name),
                          "\" flag: neither true nor false");
      }
      value = *on ? "true" : "false";
    }
    line_.flags.push_back({flag, std::move(value)});
    return absl::OkStatus();
  }

  absl::Status UnknownFlag(const std::string& name) const {
    if (name == "address") {
      return UsageError("unknown flag: --address; it goes before the command");
    }
    std::vector<std::string_view> names;
    for (const Flag& flag : known_) names.push_back(flag.name);
    const std::string meant(Suggestion(name, names));
    return UsageError("unknown flag: --", name,
                      meant.empty() ? "" : "; did you mean --", meant,
                      meant.empty() ? "" : "?");
  }

  std::span<const std::string> rest_;
  const std::span<const Flag> known_;
  const Arguments place_;
  CommandLine line_;
};

}  // namespace

absl::StatusOr<CommandLine> SplitCommandLine(
    std::span<const std::string> arguments, std::span<const Flag> known,
    Arguments place) {
  return Splitter(arguments, known, place).Split();
}

bool IsOn(const CommandLine& line, std::string_view name) {
  bool on = false;
  for (const GivenFlag& given : line.flags) {
    if (given.flag.name == name) on = given.value == "true";
  }
  return on;
}

std::optional<std::string> ValueOf(const CommandLine& line,
                                   std::string_view name) {
  std::optional<std::string> value;
  for (const GivenFlag& given : line.flags) {
    if (given.flag.name == name) value = given.value;
  }
  return value;
}

std::vector<std::string> ValuesOf(const CommandLine& line,
                                  std::string_view name) {
  std::vector<std::string> values;
  for (const GivenFlag& given : line.flags) {
    if (given.flag.name == name) values.push_back(given.value);
  }
  return values;
}

}  // namespace containerbuilder::cli
