#ifndef CONTAINERBUILDER_CLI_PROGRAM_H_
#define CONTAINERBUILDER_CLI_PROGRAM_H_

#include <string_view>

// What is told of the program as a whole.
namespace containerbuilder::cli {

inline constexpr std::string_view kProgramSummary =
    "Builds container images with a ContainerBuilder service.";

inline constexpr std::string_view kProgramExamples =
    R"(  container-builder build -t app:dev .
  container-builder list --state running
  container-builder --address=build-host:50051 health
)";

inline constexpr std::string_view kProgramExitCodes =
    R"(0 success; 2 wrong usage; 64 + the gRPC code of a call that the
service refused or did not answer; 130 Ctrl-C; 143 SIGTERM. `build` and `watch`
have more.
)";

struct ProgramVariable {
  std::string_view name;
  std::string_view help;
};
// Beside those of the flags.
inline constexpr ProgramVariable kProgramVariables[] = {
    {"CONTAINER_BUILDER_TOKEN", "The token itself, where there is no file"},
    {"DOCKER_CONFIG", "The folder of Docker's configuration: whose logins"},
    {"BUILDKIT_PROGRESS", "What --progress=auto is, as for buildctl"},
    {"SOURCE_DATE_EPOCH", "Sent with a build"},
    {"NO_COLOR", "Not empty: no colours; terminals get some otherwise"},
    {"CLICOLOR_FORCE", "Neither empty nor 0: colours anywhere"},
    {"TMPDIR", "Where a context from standard input is unpacked"},
};

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_PROGRAM_H_
