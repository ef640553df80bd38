#include "progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "containerbuilder/nerdctl_build_flags.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

constexpr char kAuto[] = "auto";

}  // namespace

std::vector<std::string> ProgressModes() {
  return {kAuto, "plain", "quiet", "rawjson", "tty"};
}

absl::Status SettleProgress(const Surroundings& surroundings,
                            CommandLine& line) {
  std::string source = "--progress";
  std::string mode = ValueOf(line, "progress").value_or(kAuto);
  if (mode == kAuto) {
    source = "BUILDKIT_PROGRESS";
    mode = surroundings.environment(source).value_or("");
    if (mode.empty() || mode == kAuto) return absl::OkStatus();
  }
  const std::vector<std::string> modes = ProgressModes();
  if (std::ranges::find(modes, mode) == modes.end()) {
    return absl::InvalidArgumentError(absl::StrCat(source, " is one of ",
                                                   absl::StrJoin(modes, ", "),
                                                   ", not \"", mode, "\""));
  }
  const bool is_given = source == "--progress";
  if (is_given && (mode == "plain" || mode == "rawjson")) {
    return absl::OkStatus();
  }
  std::erase_if(line.flags, [](const GivenFlag& given) {
    return given.flag.name == "progress";
  });
  if (mode == "quiet") {
    line.flags.push_back({{*FindNerdctlBuildFlag("quiet")}, "true"});
    return absl::OkStatus();
  }
  if (mode == "tty") {
    PrintMessage(absl::StrCat("warning: ", source,
                              "=tty is not there yet; printing plain"));
    mode = "plain";
  }
  line.flags.push_back({{*FindNerdctlBuildFlag("progress")}, mode});
  return absl::OkStatus();
}

}  // namespace containerbuilder::cli
