#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "build_flags.h"
#include "build_input.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/error_info.h"
#include "exit_code.h"
#include "follow.h"
#include "format.h"
#include "interrupt.h"
#include "status_line.h"
#include "terminal.h"
#include "values.h"

namespace containerbuilder::cli {
namespace {

constexpr char kHelp[] =
    R"(Usage: container-builder [--address=ADDRESS] build [flags] PATH

Builds an image from the Dockerfile in PATH with the service's nerdctl, and
prints what nerdctl prints. Flags are nerdctl's own, and some of the service's;
paths in them and the values of `--build-arg NAME` are taken from where this
command runs.

A service that proves that it sees the same PATH uses it in place. To any other
the context is uploaded: what it has already is not sent again, and what
.dockerignore leaves out never is. Dockerfile, secrets and registry logins
(those of Docker's configuration whose hosts the build names) go by value, and
what `--output` and `--iidfile` make comes back to where they say. PATH may then
be `-`, a tar archive on standard input, and the Dockerfile `-f -`.

Where the connection is lost, the build goes on and is joined again, with
nothing lost or repeated. Ctrl-C stops the build and waits for its end; a
second one leaves at once.

Examples:
  container-builder build -t app:dev .
  container-builder build -f docker/Dockerfile --build-arg VERSION=1.2 .
  container-builder build --output type=local,dest=out --no-cache .
  git archive HEAD | container-builder build -t app:dev -
  container-builder watch $(container-builder build --detach -t app:dev .)

Exit code: nerdctl's own, 128 + n when signal n ended it; 2 wrong usage;
65 cancelled by others; 68 timed out; 72 too much output or no space;
78 interrupted by the service; 64 + the gRPC code when the service refused;
130 Ctrl-C; 143 SIGTERM.

The service's flags:
)";

// None is named as a flag of nerdctl, or as one of buildx that nerdctl may
// take over: there `--annotation` is the image's.
constexpr Flag kOwnFlags[] = {
    OwnFlag(Flag::Kind::kList, "build-annotation", '\0',
            "A note on the build, to list by (KEY=VALUE)"),
    OwnFlag(Flag::Kind::kText, "context-mode", '\0',
            "auto (default), path: PATH is the service's, or upload"),
    OwnFlag(Flag::Kind::kSwitch, "detach", '\0',
            "Print the build's name and leave it to run"),
    OwnFlag(Flag::Kind::kText, "format", '\0',
            "raw (default), or json: an event per line"),
    kHelpFlag,
    OwnFlag(Flag::Kind::kText, "linger", '\0',
            "How long it goes on with no connection (60s)"),
    OwnFlag(Flag::Kind::kText, "priority", '\0',
            "Greater goes first in the queue (0)"),
    OwnFlag(Flag::Kind::kText, "queue-ttl", '\0',
            "How long it may wait in the queue (no limit)"),
    OwnFlag(Flag::Kind::kText, "request-id", '\0',
            "The same id joins the same build"),
    OwnFlag(Flag::Kind::kText, "timeout", '\0',
            "How long it may run (no limit)"),
};

absl::Status SetPolicy(const CommandLine& line, v1::BuildPolicy& policy) {
  using google::protobuf::util::TimeUtil;
  const auto timeout = DurationOf(line, "timeout");
  if (!timeout.ok()) return timeout.status();
  const auto queue_ttl = DurationOf(line, "queue-ttl");
  if (!queue_ttl.ok()) return queue_ttl.status();
  const auto linger = DurationOf(line, "linger");
  if (!linger.ok()) return linger.status();
  if (*linger && IsOn(line, "detach")) {
    return absl::InvalidArgumentError(
        "--linger is of no use with --detach: such a build goes on anyway");
  }
  const auto priority =
      IntegerOf(line, "priority", std::numeric_limits<std::int32_t>::min(),
                std::numeric_limits<std::int32_t>::max(), 0);
  if (!priority.ok()) return priority.status();

  if (*timeout) {
    *policy.mutable_timeout() =
        TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(**timeout));
  }
  if (*queue_ttl) {
    *policy.mutable_queue_ttl() =
        TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(**queue_ttl));
  }
  if (*linger) {
    *policy.mutable_linger() =
        TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(**linger));
  }
  policy.set_priority(static_cast<std::int32_t>(*priority));
  return absl::OkStatus();
}

// nerdctl has no terminal there, so `tty` is `plain`; `quiet`, which it does
// not know, is `--quiet`.
absl::Status SettleProgress(CommandLine& line) {
  const auto progress = ValueOf(line, "progress");
  if (!progress || *progress == "auto" || *progress == "plain" ||
      *progress == "rawjson") {
    return absl::OkStatus();
  }
  if (*progress != "tty" && *progress != "quiet") {
    return absl::InvalidArgumentError(
        absl::StrCat("--progress is auto, plain, quiet, rawjson or tty, not \"",
                     *progress, "\""));
  }
  std::erase_if(line.flags, [](const GivenFlag& given) {
    return given.flag.name == "progress";
  });
  if (*progress == "quiet") {
    line.flags.push_back({*FindNerdctlBuildFlag("quiet"), "true"});
    return absl::OkStatus();
  }
  PrintMessage("warning: --progress=tty is not there yet; printing plain");
  line.flags.push_back({*FindNerdctlBuildFlag("progress"), "plain"});
  return absl::OkStatus();
}

// BuildRequest and CreateBuildRequest have the same fields. This is all of them
// but `spec`.
template <typename Request>
absl::StatusOr<Request> MakeRequest(const CommandLine& line) {
  absl::Status status = CheckBuildInput(line);
  if (!status.ok()) return status;
  v1::BuildPolicy policy;
  status = SetPolicy(line, policy);
  if (!status.ok()) return status;

  Request request;
  if (policy.ByteSizeLong() > 0) *request.mutable_policy() = policy;
  request.set_request_id(ValueOf(line, "request-id").value_or(""));
  status = AddPairs(line, "build-annotation", *request.mutable_annotations());
  if (!status.ok()) return status;
  return request;
}

// Shows how far an upload is, ten times a second.
client::UploadOptions ShowUpload(StatusLine& status_line,
                                 std::stop_token stop) {
  client::UploadOptions options = {.stop = std::move(stop)};
  if (!status_line.is_shown()) return options;
  options.progress = [&status_line, next = absl::InfinitePast()](
                         const client::ContextProgress& progress) mutable {
    if (progress.bytes == progress.total_bytes) {
      status_line.Clear();
      return;
    }
    const absl::Time now = absl::Now();
    if (now < next) return;
    next = now + absl::Milliseconds(100);
    constexpr std::int64_t kMebibyte = 1024 * 1024;
    status_line.Show(absl::StrCat("uploading, ", progress.bytes / kMebibyte,
                                  " of ", progress.total_bytes / kMebibyte,
                                  " MiB, ", progress.files, " of ",
                                  progress.total_files, " files"));
  };
  return options;
}

// Whether a build that was refused may be asked for again: without the logins
// of Docker's configuration, where the service has no place in memory for them.
// Whether it needs them shows when a registry refuses; a secret was asked for.
bool DropLogins(const absl::Status& refusal, v1::BuildSpec& spec) {
  const auto info = client::GetErrorInfo(refusal);
  if (!info || info->reason != "SECRETS_UNAVAILABLE" ||
      !spec.secrets().empty() || spec.registry_auths().empty()) {
    return false;
  }
  const std::string hosts =
      absl::StrJoin(spec.registry_auths(), ", ",
                    [](std::string* out, const v1::RegistryAuth& auth) {
                      absl::StrAppend(out, auth.host());
                    });
  PrintMessage(absl::StrCat("warning: building without the login to ", hosts,
                            ": ", refusal.message()));
  spec.clear_registry_auths();
  return true;
}

int Refused(const absl::Status& status, int signal,
            const client::ClientOptions& options) {
  if (signal != 0) return SignalExitCode(signal);
  PrintError(status, options);
  return ExitCode(status.code());
}

int Build(v1::BuildRequest request, const CommandLine& line, bool json,
          const client::ClientOptions& options) {
  // Before the client, whose threads must not get these signals.
  const InterruptSignals signals;
  client::Client client(options);
  std::stop_source stop;
  std::optional<BuildInput> input;
  {
    const InterruptWatch interrupts(signals,
                                    [&stop](int) { stop.request_stop(); });
    auto read = ReadBuildInput(line, SurroundingsHere(), client, options,
                               stop.get_token());
    if (!read.ok()) return Refused(read.status(), interrupts.signal(), options);
    if (interrupts.signal() != 0) return SignalExitCode(interrupts.signal());
    input = *std::move(read);
  }
  *request.mutable_spec() = input->spec;
  StatusLine status_line;
  while (true) {
    client::BuildStream stream =
        input->context == nullptr
            ? client.Build(request)
            : client.Build(request, input->context,
                           ShowUpload(status_line, stop.get_token()));
    const InterruptWatch interrupts(signals, [&](int) {
      stop.request_stop();
      stream.Cancel();
    });
    bool again = false;
    const int code = Follow(
        stream,
        {.client = options,
         .json = json,
         .interrupts = &interrupts,
         .status_line = &status_line,
         .refused =
             [&](const absl::Status& refusal) {
               return again = DropLogins(refusal, *request.mutable_spec());
             },
         .then =
             [&](const v1::Build& build) {
               return input->places.Fetch(client, build, stop.get_token());
             }});
    if (!again) return code;
  }
}

int Detach(v1::CreateBuildRequest request, const CommandLine& line, bool json,
           const client::ClientOptions& options) {
  client::Client client(options);
  const auto input =
      ReadBuildInput(line, SurroundingsHere(), client, options, {});
  if (!input.ok()) return Refused(input.status(), 0, options);
  if (!input->places.empty()) {
    return WrongUsage(
        "what --output and --iidfile make comes back to who waits for it: not "
        "with --detach",
        "build");
  }
  *request.mutable_spec() = input->spec;
  StatusLine status_line;
  const auto create = [&] {
    return input->context == nullptr
               ? client.CreateBuild(request)
               : client.CreateBuild(request, *input->context,
                                    ShowUpload(status_line, {}));
  };
  auto build = create();
  if (!build.ok() && DropLogins(build.status(), *request.mutable_spec())) {
    build = create();
  }
  if (!build.ok()) return Refused(build.status(), 0, options);
  const std::error_code error =
      Write(STDOUT_FILENO,
            json ? JsonLine(*build) : absl::StrCat(build->name(), "\n"));
  return error ? WriteFailed(error) : kSucceeded;
}

}  // namespace

int RunBuild(const client::ClientOptions& options,
             std::span<const std::string> arguments) {
  auto line = SplitBuildCommandLine(arguments, kOwnFlags);
  if (!line.ok()) return WrongUsage(line.status().message(), "build");
  if (IsOn(*line, "help")) {
    return PrintHelp(absl::StrCat(kHelp, FlagsHelp(kOwnFlags),
                                  "\nnerdctl's flags:\n",
                                  FlagsHelp(kNerdctlBuildFlags)));
  }
  const auto json = IsJson(*line, "raw");
  if (!json.ok()) return WrongUsage(json.status().message(), "build");
  const absl::Status progress = SettleProgress(*line);
  if (!progress.ok()) return WrongUsage(progress.message(), "build");
  if (IsOn(*line, "detach")) {
    auto request = MakeRequest<v1::CreateBuildRequest>(*line);
    if (!request.ok()) return WrongUsage(request.status().message(), "build");
    return Detach(*std::move(request), *line, *json, options);
  }
  auto request = MakeRequest<v1::BuildRequest>(*line);
  if (!request.ok()) return WrongUsage(request.status().message(), "build");
  return Build(*std::move(request), *line, *json, options);
}

}  // namespace containerbuilder::cli
