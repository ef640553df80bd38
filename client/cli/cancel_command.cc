#include "absl/strings/str_cat.h"
#include "command_line.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "each_build.h"
#include "format.h"

namespace containerbuilder::cli {
namespace {

constexpr char kHelp[] =
    R"(Usage: container-builder [--address=ADDRESS] cancel NAME...

Stops builds, one after the other, and waits until nothing of them runs: for
the grace period (10 s by default) at the longest. Prints each with the state
in which it ended; one that had ended before is printed as it is. Ctrl-C ends
the waiting and not the cancellation.

Examples:
  container-builder cancel builds/01JDF3
  container-builder list --state queued --format json | jq -r .name |
    xargs container-builder cancel

Exit code: 64 + the gRPC code of the first that was refused.

Flags:
)";

}  // namespace

int RunCancel(const client::ClientOptions& options,
              std::span<const std::string> arguments) {
  client::Client client(options);
  return ForEachBuild(
      "cancel", kHelp, options, arguments,
      [&client](const std::string& name) -> absl::StatusOr<std::string> {
        const auto build = client.CancelBuild(name);
        if (!build.ok()) return build.status();
        return absl::StrCat(name, "  ", StateName(*build), "\n");
      });
}

}  // namespace containerbuilder::cli
