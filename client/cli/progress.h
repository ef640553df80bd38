#ifndef CONTAINERBUILDER_CLI_PROGRESS_H_
#define CONTAINERBUILDER_CLI_PROGRESS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "command_line.h"
#include "surroundings.h"

namespace containerbuilder::cli {

// What `--progress` may be.
std::vector<std::string> ProgressModes();

// Puts what nerdctl knows in the place of `--progress`. Where that is `auto` or
// not given, BUILDKIT_PROGRESS says what it is, as for buildctl. `quiet`, which
// nerdctl does not know, is its `--quiet`; `tty` is `plain`, because nerdctl
// has no terminal where it runs, and a warning is printed. An error where it is
// none of these.
absl::Status SettleProgress(const Surroundings& surroundings,
                            CommandLine& line);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_PROGRESS_H_
