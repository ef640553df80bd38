#include "build_flags.h"

#include <algorithm>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "local_paths.h"
#include "suggestion.h"

namespace containerbuilder::cli {
namespace {

using Kind = NerdctlBuildFlag::Kind;

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
  Splitter(std::span<const std::string> arguments,
           std::span<const NerdctlBuildFlag> own)
      : rest_(arguments),
        known_(kNerdctlBuildFlags.begin(), kNerdctlBuildFlags.end()) {
    known_.insert(known_.end(), own.begin(), own.end());
  }

  absl::StatusOr<CommandLine> Split() {
    while (!rest_.empty()) {
      const std::string argument = Take();
      absl::Status status;
      if (argument.size() < 2 || argument[0] != '-') {
        line_.arguments.push_back(argument);
      } else if (argument == "--") {
        line_.arguments.insert(line_.arguments.end(), rest_.begin(),
                               rest_.end());
        rest_ = {};
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

  absl::Status TakeLong(const std::string& argument) {
    const std::string text = argument.substr(2);
    if (text[0] == '-' || text[0] == '=') {
      return UsageError("bad flag syntax: ", argument);
    }
    const std::size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const auto flag = std::ranges::find(known_, std::string_view(name),
                                        &NerdctlBuildFlag::name);
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
      const auto flag =
          std::ranges::find(known_, letters[0], &NerdctlBuildFlag::shorthand);
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

  absl::Status Set(const NerdctlBuildFlag& flag, std::string value) {
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
    for (const NerdctlBuildFlag& flag : known_) names.push_back(flag.name);
    const std::string meant(Suggestion(name, names));
    return UsageError("unknown flag: --", name,
                      meant.empty() ? "" : "; did you mean --", meant,
                      meant.empty() ? "" : "?");
  }

  std::span<const std::string> rest_;
  std::vector<NerdctlBuildFlag> known_;
  CommandLine line_;
};

absl::Status CheckContext(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return UsageError("context needs to be specified");
  if (arguments.size() > 1) {
    return UsageError("exactly one context needs to be specified, not ",
                      arguments.size(), ": \"",
                      absl::StrJoin(arguments, "\", \""), "\"");
  }
  const std::string& context = arguments.front();
  if (context.empty()) return UsageError("unsupported build context: \"\"");
  if (context == "-") {
    return UsageError(
        "unsupported build context: \"-\": a context cannot be "
        "read from standard input; name a folder");
  }
  if (context.find("://") != std::string::npos) {
    return UsageError("unsupported build context: ", Quoted(context),
                      ": a context cannot be a URL; name a folder");
  }
  return absl::OkStatus();
}

// Where the value of that flag goes; made where it is not there yet.
v1::OptionValue* ValueOf(std::string_view name, v1::BuildOptions& options) {
  if (name == "build-arg") return options.mutable_build_arg();
  if (name == "cache-from") return options.mutable_cache_from();
  if (name == "cache-to") return options.mutable_cache_to();
  if (name == "label") return options.mutable_label();
  if (name == "output") return options.mutable_output();
  if (name == "secret") return options.mutable_secret();
  for (v1::Option& option : *options.mutable_options()) {
    if (option.name() == name) return option.mutable_value();
  }
  v1::Option* option = options.add_options();
  option->set_name(std::string(name));
  return option->mutable_value();
}

// nerdctl gives `--build-arg NAME` the value from its own environment and
// drops it where there is none.
std::optional<std::string> ResolveBuildArg(const std::string& build_arg,
                                           const Surroundings& surroundings) {
  if (build_arg.empty() || build_arg.find('=') != std::string::npos) {
    return build_arg;
  }
  const auto value = surroundings.environment(build_arg);
  if (!value) return std::nullopt;
  return absl::StrCat(build_arg, "=", *value);
}

}  // namespace

absl::StatusOr<CommandLine> SplitCommandLine(
    std::span<const std::string> arguments,
    std::span<const NerdctlBuildFlag> own) {
  return Splitter(arguments, own).Split();
}

bool IsOn(const CommandLine& line, std::string_view name) {
  bool on = false;
  for (const GivenFlag& given : line.flags) {
    if (given.flag.name == name) on = given.value == "true";
  }
  return on;
}

absl::StatusOr<v1::BuildOptions> MakeBuildOptions(
    const CommandLine& line, const Surroundings& surroundings) {
  absl::Status status = CheckContext(line.arguments);
  if (!status.ok()) return status;

  v1::BuildOptions options;
  options.set_context_path(
      MakeAbsolute(surroundings.folder, line.arguments.front()));
  bool file_is_stdin = false;
  for (const auto& [flag, given] : line.flags) {
    if (FindNerdctlBuildFlag(flag.name) == nullptr) continue;
    if (flag.kind == Kind::kSwitch) {
      ValueOf(flag.name, options)->set_flag(given == "true");
      continue;
    }
    if (flag.name == "file") file_is_stdin = given == "-";
    std::optional<std::string> value =
        MakePathsAbsolute(flag, surroundings.folder, given);
    if (flag.name == "build-arg") value = ResolveBuildArg(given, surroundings);
    if (!value) continue;
    v1::ValueList& values = *ValueOf(flag.name, options)->mutable_values();
    if (flag.kind == Kind::kText) values.clear_values();
    values.add_values(*std::move(value));
  }
  if (file_is_stdin) {
    return UsageError(
        "unsupported Dockerfile: \"-\": a Dockerfile cannot be "
        "read from standard input; name a file");
  }
  return options;
}

std::string FlagsHelp(std::span<const NerdctlBuildFlag> flags) {
  constexpr std::size_t kHelpColumn = 30;
  std::string help;
  for (const NerdctlBuildFlag& flag : flags) {
    std::string line =
        flag.shorthand == '\0'
            ? "      "
            : absl::StrCat("  -", std::string(1, flag.shorthand), ", ");
    absl::StrAppend(&line, "--", std::string(flag.name));
    if (flag.kind == Kind::kText) line += " string";
    if (flag.kind == Kind::kList) line += " list";
    line.resize(std::max(line.size() + 1, kHelpColumn), ' ');
    absl::StrAppend(&help, line, std::string(flag.help), "\n");
  }
  return help;
}

}  // namespace containerbuilder::cli
