#ifndef CONTAINERBUILDER_CLI_EXIT_CODE_H_
#define CONTAINERBUILDER_CLI_EXIT_CODE_H_

#include "absl/status/status.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::cli {

// Codes of our own are 64 and above or 2, so that what nerdctl answered (0, 1
// and what a build's program made of it) can be told from what befell us.
inline constexpr int kSucceeded = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

// 64 + the gRPC code.
int ExitCode(absl::StatusCode code);

// As a shell tells of a program that a signal ended: 128 + the signal.
int SignalExitCode(int signal);

// nerdctl's own where it is nerdctl that ended the build.
int ExitCode(const v1::Build& build);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_EXIT_CODE_H_
