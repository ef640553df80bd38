#include "absl/strings/str_cat.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "each_build.h"

namespace containerbuilder::cli {
namespace {

constexpr char kText[] =
    R"(Forgets ended builds with their logs and artifacts, and prints the name of
each. A build that has not ended is refused: cancel it first. Images stay.
)";

constexpr char kExamples[] =
    R"(  container-builder delete builds/01JDF3
  container-builder list --until 720h --state failed --format json |
    jq -r .name | xargs container-builder delete
)";

constexpr char kExitCodes[] =
    R"(64 + the gRPC code of the first that was refused.
)";

int Run(const client::ClientOptions& options, const CommandLine& line) {
  client::Client client(options);
  return ForEachBuild(
      "delete", options, line,
      [&client](const std::string& name) -> absl::StatusOr<std::string> {
        const absl::Status status = client.DeleteBuild(name);
        if (!status.ok()) return status;
        return absl::StrCat(name, "\n");
      });
}

}  // namespace

constexpr Command kDeleteCommand = {
    .name = "delete",
    .summary = "Forget ended builds",
    .synopsis = "NAME...",
    .argument = Command::Argument::kBuilds,
    .text = kText,
    .examples = kExamples,
    .exit_codes = kExitCodes,
    .flags = kHelpOnly,
    .run = Run,
};

}  // namespace containerbuilder::cli
