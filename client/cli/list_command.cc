#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/time/clock.h"
#include "color.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "format.h"
#include "terminal.h"
#include "values.h"

namespace containerbuilder::cli {
namespace {

using google::protobuf::util::TimeUtil;

constexpr char kText[] =
    R"(Lists builds, newest first: those that pass every filter that is given.

TIME is RFC 3339, such as 2026-11-24T18:30:00Z; or a date or a time without a
zone, on this machine's clock; or a duration, such as 2h for two hours ago.
)";

constexpr char kExamples[] =
    R"(  container-builder list --state running --state queued
  container-builder list --annotation team=web --since 24h --limit 20
  container-builder list --format json | jq -r .name
)";

constexpr char kExitCodes[] =
    R"(64 + the gRPC code when the service refused or is gone.
)";

constexpr Flag kFlags[] = {
    OwnFlag(Flag::Kind::kList, "annotation", '\0',
            "With this annotation (KEY=VALUE); all that are given"),
    OwnFlag(Flag::Kind::kText, "format", '\0',
            "table (default), or json: a build per line", TableOrJson),
    kHelpFlag,
    OwnFlag(Flag::Kind::kText, "limit", '\0', "At most so many"),
    OwnFlag(Flag::Kind::kText, "since", '\0', "Created at this TIME or later"),
    OwnFlag(Flag::Kind::kList, "state", '\0',
            "In this state; one of those that are given", StateWords),
    OwnFlag(Flag::Kind::kText, "until", '\0', "Created before this TIME"),
};

// The most that the service puts in one page.
constexpr std::int64_t kLargestPage = 1000;

absl::StatusOr<v1::ListBuildsRequest> MakeRequest(const CommandLine& line,
                                                  absl::Time now) {
  const auto states = StatesOf(line, "state");
  if (!states.ok()) return states.status();
  const auto since = TimeOf(line, "since", now);
  if (!since.ok()) return since.status();
  const auto until = TimeOf(line, "until", now);
  if (!until.ok()) return until.status();

  v1::ListBuildsRequest request;
  for (const v1::Build::State state : *states) request.add_states(state);
  if (*since) {
    *request.mutable_create_time_from() =
        TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(**since));
  }
  if (*until) {
    *request.mutable_create_time_before() =
        TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(**until));
  }
  const absl::Status status =
      AddPairs(line, "annotation", *request.mutable_annotations());
  if (!status.ok()) return status;
  return request;
}

int List(const v1::ListBuildsRequest& request, std::int64_t limit, bool json,
         const client::ClientOptions& options) {
  std::vector<v1::Build> builds;  // of the table
  std::int64_t count = 0;
  for (const auto& build : client::Client(options).ListBuilds(request)) {
    if (!build.ok()) {
      PrintError(build.status(), options);
      return ExitCode(build.status().code());
    }
    if (json) {
      const int code = PrintResult(JsonLine(*build));
      if (code != kSucceeded) return code;
    } else {
      builds.push_back(*build);
    }
    if (++count == limit) break;
  }
  if (json) return kSucceeded;
  return PrintResult(BuildTable(builds, absl::Now(), HasColors(STDOUT_FILENO)));
}

constexpr FlagGroup kGroups[] = {{"Flags", kFlags}};

int Run(const client::ClientOptions& options, const CommandLine& line) {
  const auto json = IsJson(line, "table");
  if (!json.ok()) return WrongUsage(json.status().message(), "list");
  constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();
  const auto limit = IntegerOf(line, "limit", 1, kAll, kAll);
  if (!limit.ok()) return WrongUsage(limit.status().message(), "list");
  auto request = MakeRequest(line, absl::Now());
  if (!request.ok()) return WrongUsage(request.status().message(), "list");
  request->set_page_size(
      static_cast<std::int32_t>(std::min(*limit, kLargestPage)));
  return List(*request, *limit, *json, options);
}

}  // namespace

constexpr Command kListCommand = {
    .name = "list",
    .summary = "List builds, newest first",
    .synopsis = "[flags]",
    .argument = Command::Argument::kNothing,
    .text = kText,
    .examples = kExamples,
    .exit_codes = kExitCodes,
    .flags = kGroups,
    .run = Run,
};

}  // namespace containerbuilder::cli
