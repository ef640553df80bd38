#ifndef CONTAINERBUILDER_CLI_HEALTH_TABLE_H_
#define CONTAINERBUILDER_CLI_HEALTH_TABLE_H_

#include <string>

#include "command.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "values.h"

// What `health` and `doctor` print.
namespace containerbuilder::cli {

// The exit codes of both, and their flags.
inline constexpr char kHealthExitCodes[] =
    R"(0 for HEALTHY and DEGRADED, 1 for UNHEALTHY, 64 + the gRPC code when
the service did not answer.
)";

inline constexpr Flag kHealthFlags[] = {
    OwnFlag(Flag::Kind::kText, "format", '\0',
            "table (default), or json: all of it in one line", TableOrJson),
    kHelpFlag,
};

inline constexpr FlagGroup kHealthGroups[] = {{"Flags", kHealthFlags}};

// A row per check with its hint below, and the verdict as the last line.
std::string HealthTable(const v1::HealthResponse& health, bool colors);

// Prints it as the command line says; answers the exit code: the verdict's.
int PrintHealth(const v1::HealthResponse& health, bool json);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_HEALTH_TABLE_H_
