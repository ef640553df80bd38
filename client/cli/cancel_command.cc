#include "absl/strings/str_cat.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "each_build.h"
#include "format.h"

namespace containerbuilder::cli {
namespace {

constexpr char kText[] =
    R"(Stops builds, one after the other, and waits until nothing of them runs: for
the grace period (10 s by default) at the longest. Prints each with the state
in which it ended; one that had ended before is printed as it is. Ctrl-C ends
the waiting and not the cancellation; builds named after the one that is waited
for are left alone.
)";

constexpr char kExamples[] =
    R"(  container-builder cancel builds/01JDF3
  container-builder list --state queued --format json | jq -r .name |
    xargs container-builder cancel
)";

constexpr char kExitCodes[] =
    R"(64 + the gRPC code of the first that was refused.
)";

int Run(const client::ClientOptions& options, const CommandLine& line) {
  client::Client client(options);
  return ForEachBuild(
      "cancel", options, line,
      [&client](const std::string& name) -> absl::StatusOr<std::string> {
        const auto build = client.CancelBuild(name);
        if (!build.ok()) return build.status();
        return absl::StrCat(name, "  ", StateName(*build), "\n");
      });
}

}  // namespace

constexpr Command kCancelCommand = {
    .name = "cancel",
    .summary = "Stop builds",
    .synopsis = "NAME...",
    .argument = Command::Argument::kBuilds,
    .text = kText,
    .examples = kExamples,
    .exit_codes = kExitCodes,
    .flags = kHelpOnly,
    .run = Run,
};

}  // namespace containerbuilder::cli
