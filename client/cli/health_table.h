#ifndef CONTAINERBUILDER_CLI_HEALTH_TABLE_H_
#define CONTAINERBUILDER_CLI_HEALTH_TABLE_H_

#include <string>

#include "containerbuilder/v1/container_builder.pb.h"

// What `health` and `doctor` print.
namespace containerbuilder::cli {

// A row per check with its hint below, and the verdict as the last line.
std::string HealthTable(const v1::HealthResponse& health, bool colors);

// Prints it as the command line says; answers the exit code: the verdict's.
int PrintHealth(const v1::HealthResponse& health, bool json);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_HEALTH_TABLE_H_
