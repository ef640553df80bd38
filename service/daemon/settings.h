#ifndef CONTAINERBUILDER_DAEMON_SETTINGS_H_
#define CONTAINERBUILDER_DAEMON_SETTINGS_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/daemon_options.h"

namespace containerbuilder::daemon {

inline constexpr absl::string_view kVariablePrefix = "CONTAINER_BUILDERD_";
// Read where it exists and no other file is named.
inline constexpr absl::string_view kUsualConfig =
    "/etc/container-builder/config.toml";

// The variable of a setting: CONTAINER_BUILDERD_STATE_DIR.
std::string VariableOf(absl::string_view key);

struct CommandLine {
  enum class Command { kServe, kHelp, kVersion, kDefault, kShow, kMan };

  Command command = Command::kServe;
  // Key and value of each flag, in their order.
  std::vector<std::pair<std::string, std::string>> flags;
  std::string config;  // --config; empty: not given
};

// What follows the program's name. Values are not looked at.
absl::StatusOr<CommandLine> ParseCommandLine(
    absl::Span<const std::string> arguments);

struct LoadedSettings {
  DaemonOptions options;
  // Where each value is from, by key: `--listen`, CONTAINER_BUILDERD_LISTEN or
  // `FILE:3`. One that is not there is the default.
  std::map<std::string, std::string> sources;
  // Whether a file has said any.
  bool has_file = false;
};

// A flag wins over a variable, that over the file, that over the default. The
// file is --config's, else CONTAINER_BUILDERD_CONFIG's, else `usual_config`
// where that exists. `environment` has entries NAME=VALUE.
//
// INVALID_ARGUMENT tells of everything that is wrong, also of values that do
// not count: a setting that does not exist, or a value that it cannot have.
absl::StatusOr<LoadedSettings> LoadSettings(
    const CommandLine& line, absl::Span<const std::string> environment,
    const std::string& usual_config = std::string(kUsualConfig));

// The rule that settings which are read again while a daemon runs with
// `running` break: a file that is gone, or has become empty, is a mistake or a
// full disk, and not a wish for the defaults.
absl::Status CheckReload(const LoadedSettings& running,
                         const LoadedSettings& fresh);

// Makes `fresh`, read again while a daemon runs with `running`, what that may
// take over: settings that need a restart stay as they are. The keys of those
// that would have changed.
std::vector<std::string> KeepWhatNeedsRestart(DaemonOptions& running,
                                              DaemonOptions& fresh);

}  // namespace containerbuilder::daemon

#endif  // CONTAINERBUILDER_DAEMON_SETTINGS_H_
