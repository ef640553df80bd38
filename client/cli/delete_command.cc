#include "absl/strings/str_cat.h"
#include "command_line.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "each_build.h"

namespace containerbuilder::cli {
namespace {

constexpr char kHelp[] =
    R"(Usage: container-builder [--address=ADDRESS] delete NAME...

Forgets ended builds with their logs and artifacts, and prints the name of
each. A build that has not ended is refused: cancel it first. Images stay.

Examples:
  container-builder delete builds/01JDF3
  container-builder list --until 720h --state failed --format json |
    jq -r .name | xargs container-builder delete

Exit code: 64 + the gRPC code of the first that was refused.

Flags:
)";

}  // namespace

int RunDelete(const client::ClientOptions& options,
              std::span<const std::string> arguments) {
  client::Client client(options);
  return ForEachBuild(
      "delete", kHelp, options, arguments,
      [&client](const std::string& name) -> absl::StatusOr<std::string> {
        const absl::Status status = client.DeleteBuild(name);
        if (!status.ok()) return status;
        return absl::StrCat(name, "\n");
      });
}

}  // namespace containerbuilder::cli
