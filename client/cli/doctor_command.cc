#include "commands.h"
#include "connection_check.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "health_table.h"
#include "values.h"

namespace containerbuilder::cli {
namespace {

constexpr char kText[] =
    R"(Checks everything between this command and an image: the way to the service,
what it lets you do, and what `health` tells of the service itself. One row per
part, with what to do about what is wrong. The last line is the verdict.
)";

constexpr char kExamples[] =
    R"(  container-builder doctor
  container-builder --address=build-host:7777 --tls-ca=ca.crt doctor
  container-builder doctor --format json | jq '.checks[] | select(.hint)'
)";

v1::HealthCheck ThisProgram() {
  v1::HealthCheck check;
  check.set_name("client");
  check.set_state(v1::HealthCheck::STATE_OK);
  check.set_message("container-builder " CONTAINERBUILDER_VERSION);
  return check;
}

int Run(const client::ClientOptions& options, const CommandLine& line) {
  const auto json = IsJson(line, "table");
  if (!json.ok()) return WrongUsage(json.status().message(), "doctor");

  client::Client client(options);
  const auto health = client.Health();
  v1::HealthResponse report;
  report.set_state(v1::HealthResponse::STATE_UNHEALTHY);
  if (health.ok()) report = *health;
  report.clear_checks();
  *report.add_checks() = ThisProgram();
  *report.add_checks() = CheckConnection(health.status(), options);
  if (health.ok()) {
    *report.add_checks() = CheckTrust(client);
    report.mutable_checks()->MergeFrom(health->checks());
  }
  const int exit_code = PrintHealth(report, *json);
  return health.ok() ? exit_code : ExitCode(health.status().code());
}

}  // namespace

constexpr Command kDoctorCommand = {
    .name = "doctor",
    .summary = "Find out why builds do not run",
    .synopsis = "[flags]",
    .argument = Command::Argument::kNothing,
    .text = kText,
    .examples = kExamples,
    .exit_codes = kHealthExitCodes,
    .flags = kHealthGroups,
    .run = Run,
};

}  // namespace containerbuilder::cli
