#include <unistd.h>

#include <cstdint>
#include <limits>

#include "commands.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "follow.h"
#include "interrupt.h"
#include "values.h"

namespace containerbuilder::cli {
namespace {

constexpr char kText[] =
    R"(Joins a build, running or ended: prints what nerdctl printed so far, then what
it prints, to the build's end. Where the connection is lost, it is joined again
with nothing lost or repeated. Ctrl-C ends the watch and not the build. A
terminal gets of control sequences the colours alone, unless --raw is given.
)";

constexpr char kExamples[] =
    R"(  container-builder watch builds/01JDF3
  container-builder watch --no-follow --format json 01JDF3 | jq .
)";

constexpr char kExitCodes[] =
    R"(as of `build`; 0 when --no-follow came to the newest event; 64 + the
gRPC code when the service refused or is gone; 130 Ctrl-C; 143 SIGTERM.
)";

constexpr Flag kFlags[] = {
    OwnFlag(Flag::Kind::kText, "after", '\0',
            "Begin after the event with this sequence"),
    OwnFlag(Flag::Kind::kText, "format", '\0',
            "raw (default), or json: an event per line", RawOrJson),
    kHelpFlag,
    OwnFlag(Flag::Kind::kSwitch, "no-follow", '\0',
            "End after what there is now"),
    kRawFlag,
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

constexpr FlagGroup kGroups[] = {{"Flags", kFlags}};

int Run(const client::ClientOptions& options, const CommandLine& line) {
  const auto json = IsJson(line, "raw");
  if (!json.ok()) return WrongUsage(json.status().message(), "watch");
  const auto request = MakeRequest(line);
  if (!request.ok()) return WrongUsage(request.status().message(), "watch");

  InterruptSignals signals;
  client::BuildStream stream = client::Client(options).Watch(*request);
  // There is nothing to wait for, whoever holds this up.
  const InterruptWatch interrupts(
      signals, [](int signal) { ::_exit(SignalExitCode(signal)); });
  return Follow(stream,
                {.client = options, .json = *json, .raw = IsOn(line, "raw")});
}

}  // namespace

constexpr Command kWatchCommand = {
    .name = "watch",
    .summary =
        "Print a build's output, from its begin or any event, to its end",
    .synopsis = "[flags] NAME",
    .argument = Command::Argument::kBuild,
    .text = kText,
    .examples = kExamples,
    .exit_codes = kExitCodes,
    .flags = kGroups,
    .run = Run,
};

}  // namespace containerbuilder::cli
