#include <unistd.h>

#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"
#include "command_line.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "follow.h"
#include "interrupt.h"
#include "values.h"

namespace containerbuilder::cli {
namespace {

constexpr char kHelp[] =
    R"(Usage: container-builder [--address=ADDRESS] watch [flags] NAME

Joins a build, running or ended: prints what nerdctl printed so far, then what
it prints, to the build's end. Where the connection is lost, it is joined again
with nothing lost or repeated. Ctrl-C ends the watch and not the build.

Examples:
  container-builder watch builds/01JDF3
  container-builder watch --no-follow --format json 01JDF3 | jq .

Exit code: as of `build`; 0 when --no-follow came to the newest event; 64 + the
gRPC code when the service refused or is gone; 130 Ctrl-C; 143 SIGTERM.

Flags:
)";

constexpr Flag kFlags[] = {
    OwnFlag(Flag::Kind::kText, "after", '\0',
            "Begin after the event with this sequence"),
    OwnFlag(Flag::Kind::kText, "format", '\0',
            "raw (default), or json: an event per line"),
    kHelpFlag,
    OwnFlag(Flag::Kind::kSwitch, "no-follow", '\0',
            "End after what there is now"),
};

absl::StatusOr<v1::WatchBuildRequest> MakeRequest(const CommandLine& line) {
  const auto name = NameOf(line);
  if (!name.ok()) return name.status();
  const auto after =
      IntegerOf(line, "after", 0, std::numeric_limits<std::int64_t>::max(), 0);
  if (!after.ok()) return after.status();
  v1::WatchBuildRequest request;
  request.set_name(*name);
  request.set_after_sequence(*after);
  request.set_no_follow(IsOn(line, "no-follow"));
  return request;
}

}  // namespace

int RunWatch(const client::ClientOptions& options,
             std::span<const std::string> arguments) {
  const auto line = SplitCommandLine(arguments, kFlags);
  if (!line.ok()) return WrongUsage(line.status().message(), "watch");
  if (IsOn(*line, "help")) {
    return PrintHelp(absl::StrCat(kHelp, FlagsHelp(kFlags)));
  }
  const auto json = IsJson(*line, "raw");
  if (!json.ok()) return WrongUsage(json.status().message(), "watch");
  const auto request = MakeRequest(*line);
  if (!request.ok()) return WrongUsage(request.status().message(), "watch");

  const InterruptSignals signals;
  client::BuildStream stream = client::Client(options).Watch(*request);
  // There is nothing to wait for, whoever holds this up.
  const InterruptWatch interrupts(
      signals, [](int signal) { ::_exit(SignalExitCode(signal)); });
  return Follow(stream, {.client = options, .json = *json});
}

}  // namespace containerbuilder::cli
