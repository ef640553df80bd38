#include "daemon/settings.h"

#include <cstddef>
#include <filesystem>
#include <system_error>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "daemon/field.h"
#include "daemon/settings_file.h"
#include "daemon/settings_table.h"

namespace containerbuilder::daemon {
namespace {

using Command = CommandLine::Command;

template <typename... Parts>
absl::Status UsageError(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::StatusOr<Command> ParseCommand(absl::Span<const std::string> words) {
  if (words.empty()) return Command::kServe;
  if (words.size() == 2 && words[0] == "config") {
    if (words[1] == "default") return Command::kDefault;
    if (words[1] == "show") return Command::kShow;
    if (words[1] == "man") return Command::kMan;
  }
  return UsageError(absl::StrJoin(words, " "),
                    ": the only commands are config default, config show and "
                    "config man; see --help");
}

// Takes one setting over from a flag or a variable.
void Take(const Setting& setting, absl::string_view text,
          const std::string& source, LoadedSettings& loaded,
          std::vector<std::string>& problems) {
  const absl::Status taken = ParseText(text, setting.field(loaded.options));
  if (taken.ok()) {
    loaded.sources[std::string(setting.key)] = source;
  } else {
    problems.push_back(absl::StrCat(source, "=", text, ": ", taken.message()));
  }
}

void TakeVariables(absl::Span<const std::string> environment,
                   LoadedSettings& loaded, std::vector<std::string>& problems) {
  for (const std::string& entry : environment) {
    if (!absl::StartsWith(entry, kVariablePrefix)) continue;
    const std::string name = entry.substr(0, entry.find('='));
    if (name == VariableOf("config")) continue;
    const std::string key =
        absl::AsciiStrToLower(absl::StripPrefix(name, kVariablePrefix));
    const Setting* setting = FindSetting(key);
    if (setting == nullptr || name != VariableOf(key)) {
      problems.push_back(
          absl::StrCat(name,
                       ": there is no such setting; unset the variable, or see "
                       "`container-builderd --help` for those there are"));
      continue;
    }
    Take(*setting, absl::string_view(entry).substr(name.size() + 1), name,
         loaded, problems);
  }
}

// The file to read; empty: none.
std::string ConfigOf(const CommandLine& line,
                     absl::Span<const std::string> environment,
                     const std::string& usual_config) {
  if (!line.config.empty()) return line.config;
  const std::string assignment = VariableOf("config") + "=";
  for (const std::string& entry : environment) {
    if (absl::StartsWith(entry, assignment) &&
        entry.size() > assignment.size()) {
      return entry.substr(assignment.size());
    }
  }
  // One that may not be looked at is read, which tells of it.
  std::error_code error;
  const bool exists = std::filesystem::exists(usual_config, error);
  return exists || error ? usual_config : "";
}

}  // namespace

std::string VariableOf(absl::string_view key) {
  return absl::StrCat(kVariablePrefix, absl::AsciiStrToUpper(key));
}

// A parser of our own: CLI11's takes the next argument for the value of
// `--nerdctl=`, which a script's unset variable makes of it.
absl::StatusOr<CommandLine> ParseCommandLine(
    absl::Span<const std::string> arguments) {
  CommandLine line;
  DaemonOptions defaults;
  std::vector<std::string> words;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (argument == "-h" || argument == "--help") {
      line.command = Command::kHelp;
      return line;
    }
    if (argument == "--version") {
      line.command = Command::kVersion;
      return line;
    }
    if (!absl::ConsumePrefix(&argument, "--")) {
      words.emplace_back(argument);
      continue;
    }
    const std::size_t equals = argument.find('=');
    const std::string key(argument.substr(0, equals));
    const Setting* setting = FindSetting(key);
    if (setting == nullptr && key != "config") {
      return UsageError("--", key, ": there is no such setting; see --help");
    }
    std::string value;
    if (equals != absl::string_view::npos) {
      value = std::string(argument.substr(equals + 1));
    } else if (setting != nullptr &&
               std::holds_alternative<bool*>(setting->field(defaults))) {
      value = "true";
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return UsageError("--", key, ": a value is missing; write --", key,
                        "=VALUE");
    }
    if (key == "config") {
      line.config = value;
    } else {
      line.flags.emplace_back(key, value);
    }
  }
  absl::StatusOr<Command> command = ParseCommand(words);
  if (!command.ok()) return command.status();
  line.command = *command;
  return line;
}

absl::StatusOr<LoadedSettings> LoadSettings(
    const CommandLine& line, absl::Span<const std::string> environment,
    const std::string& usual_config) {
  LoadedSettings loaded;
  std::vector<std::string> problems;
  const std::string config = ConfigOf(line, environment, usual_config);
  if (!config.empty()) {
    ReadSettingsFile(config, loaded.options, loaded.sources, problems);
    loaded.has_file = !loaded.sources.empty();
  }
  TakeVariables(environment, loaded, problems);
  for (const auto& [key, value] : line.flags) {
    Take(*FindSetting(key), value, absl::StrCat("--", key), loaded, problems);
  }
  if (!problems.empty()) {
    return absl::InvalidArgumentError(absl::StrJoin(problems, "; "));
  }
  return loaded;
}

absl::Status CheckReload(const LoadedSettings& running,
                         const LoadedSettings& fresh) {
  if (!running.has_file || fresh.has_file) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the file of settings is gone or empty; write it again, or restart the "
      "service to have the defaults");
}

std::vector<std::string> KeepWhatNeedsRestart(DaemonOptions& running,
                                              DaemonOptions& fresh) {
  std::vector<std::string> changed;
  for (const Setting& setting : Settings()) {
    if (setting.reload == Reload::kYes) continue;
    const Field now = setting.field(running);
    const Field then = setting.field(fresh);
    // Not ToText: members of a list may hold commas.
    if (ToToml(now) != ToToml(then)) changed.emplace_back(setting.key);
    Copy(now, then);
  }
  return changed;
}

}  // namespace containerbuilder::daemon
