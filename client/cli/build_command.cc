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
#include "leftovers.h"
#include "progress.h"
#include "status_line.h"
#include "terminal.h"
#include "values.h"

namespace containerbuilder::cli {
namespace {

constexpr char kText[] =
    R"(Builds an image from the Dockerfile in PATH with the service's nerdctl, and
prints what nerdctl prints. Flags are nerdctl's own, and some of the service's;
paths in them and the values of `--build-arg NAME` are taken from where this
command runs.

A service that proves that it sees the same PATH uses it in place. To any other
the context is uploaded: what it has already is not sent again, and what
.dockerignore leaves out never is. Dockerfile, secrets and registry logins
(those of Docker's configuration whose hosts the build names) go by value, and
what `--output` and `--iidfile` make comes back to where they say. PATH may then
be `-`, a tar archive on standard input, and the Dockerfile `-f -`.

Files and pipes get what nerdctl prints byte for byte. A terminal gets of
control sequences the colours alone, unless --raw is given: anybody whose work
the build uses may have put them there.

Where the connection is lost, the build goes on and is joined again, with
nothing lost or repeated. Ctrl-C stops the build and waits for its end; a
second one leaves at once.
)";

constexpr char kExamples[] =
    R"(  container-builder build -t app:dev .
  container-builder build -f docker/Dockerfile --build-arg VERSION=1.2 .
  container-builder build --output type=local,dest=out --no-cache .
  git archive HEAD | container-builder build -t app:dev -
  container-builder watch $(container-builder build --detach -t app:dev .)
)";

constexpr char kExitCodes[] =
    R"(nerdctl's own, 128 + n when signal n ended it; 2 wrong usage;
65 cancelled by others; 68 timed out; 72 too much output or no space;
78 interrupted by the service; 64 + the gRPC code when the service refused;
130 Ctrl-C; 143 SIGTERM.
)";

// None is named as a flag of nerdctl, or as one of buildx that nerdctl may
// take over: there `--annotation` is the image's.
constexpr Flag kOwnFlags[] = {
    OwnFlag(Flag::Kind::kList, "build-annotation", '\0',
            "A note on the build, to list by (KEY=VALUE)"),
    OwnFlag(Flag::Kind::kText, "context-mode", '\0',
            "auto (default), path: PATH is the service's, or upload",
            ContextModes),
    OwnFlag(Flag::Kind::kSwitch, "detach", '\0',
            "Print the build's name and leave it to run"),
    OwnFlag(Flag::Kind::kText, "format", '\0',
            "raw (default), or json: an event per line", RawOrJson),
    kHelpFlag,
    OwnFlag(Flag::Kind::kText, "linger", '\0',
            "How long it goes on with no connection (60s)"),
    OwnFlag(Flag::Kind::kText, "priority", '\0',
            "Greater goes first in the queue (0)"),
    OwnFlag(Flag::Kind::kText, "queue-ttl", '\0',
            "How long it may wait in the queue (no limit)"),
    kRawFlag,
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

// BuildRequest and CreateBuildRequest have the same fields. This is all of them
// but `spec`.
template <typename Request>
absl::StatusOr<Request> MakeRequest(const CommandLine& line,
                                    const client::ClientOptions& options) {
  absl::Status status = CheckBuildInput(line, options);
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

int Refused(const absl::Status& status, const client::ClientOptions& options) {
  PrintError(status, options);
  return ExitCode(status.code());
}

// A build from this process: what it reads here, and how it is interrupted.
class BuildRun {
 public:
  BuildRun(const CommandLine& line, bool json,
           const client::ClientOptions& options)
      : line_(line), json_(json), options_(options), client_(options) {}

  int Follow(v1::BuildRequest request) {
    if (const auto exit_code = ReadInput()) return *exit_code;
    *request.mutable_spec() = input_.spec;
    while (true) {
      client::BuildStream stream =
          input_.context == nullptr
              ? client_.Build(request)
              : client_.Build(request, input_.context, ShowUpload());
      const InterruptWatch interrupts(
          signals_,
          [&](int) {
            stop_.request_stop();
            stream.Cancel();
          },
          [this] { Leave(); });
      bool again = false;
      const int code = cli::Follow(
          stream, {.client = options_,
                   .json = json_,
                   .raw = IsOn(line_, "raw"),
                   .interrupts = &interrupts,
                   .status_line = &status_line_,
                   .refused =
                       [&](const absl::Status& refusal) {
                         return again = DropLogins(refusal,
                                                   *request.mutable_spec());
                       },
                   .then =
                       [&](const v1::Build& build) {
                         return Fetch(build, interrupts);
                       }});
      if (!again) return code;
    }
  }

  int Detach(v1::CreateBuildRequest request) {
    if (const auto exit_code = ReadInput()) return *exit_code;
    *request.mutable_spec() = input_.spec;
    const InterruptWatch interrupts(
        signals_, [this](int) { stop_.request_stop(); }, [this] { Leave(); });
    const auto create = [&] {
      return input_.context == nullptr
                 ? client_.CreateBuild(request)
                 : client_.CreateBuild(request, *input_.context, ShowUpload());
    };
    auto build = create();
    if (!build.ok() && DropLogins(build.status(), *request.mutable_spec())) {
      build = create();
    }
    if (interrupts.signal() != 0) {
      // Whoever interrupts this never learns of it.
      if (build.ok()) (void)client_.CancelBuild(build->name());
      return SignalExitCode(interrupts.signal());
    }
    if (!build.ok()) return Refused(build.status(), options_);
    return PrintResult(json_ ? JsonLine(*build)
                             : absl::StrCat(build->name(), "\n"));
  }

 private:
  // Answers the exit code where there is nothing to send.
  std::optional<int> ReadInput() {
    const InterruptWatch interrupts(
        signals_, [this](int) { stop_.request_stop(); }, [this] { Leave(); });
    const Surroundings surroundings = SurroundingsHere();
    const auto in_place =
        IsUsedInPlace(line_, surroundings, client_, options_, leftovers_);
    if (interrupts.signal() != 0) return SignalExitCode(interrupts.signal());
    if (!in_place.ok()) return Refused(in_place.status(), options_);
    if (!*in_place) {
      const absl::Status status = CheckUpload(line_);
      if (!status.ok()) return WrongUsage(status.message(), "build");
    }
    auto input = *in_place ? ReadInPlace(line_, surroundings, stop_.get_token())
                           : ReadUpload(line_, surroundings, leftovers_,
                                        stop_.get_token());
    if (interrupts.signal() != 0) return SignalExitCode(interrupts.signal());
    if (!input.ok()) return Refused(input.status(), options_);
    input_ = *std::move(input);
    return std::nullopt;
  }

  // Shows how far an upload is, ten times a second.
  client::UploadOptions ShowUpload() {
    client::UploadOptions options = {.stop = stop_.get_token()};
    if (!status_line_.is_shown()) return options;
    options.progress = [this, next = absl::InfinitePast()](
                           const client::ContextProgress& progress) mutable {
      if (progress.bytes == progress.total_bytes) {
        status_line_.Clear();
        return;
      }
      const absl::Time now = absl::Now();
      if (now < next) return;
      next = now + absl::Milliseconds(100);
      constexpr std::int64_t kMebibyte = 1024 * 1024;
      status_line_.Show(absl::StrCat("uploading, ", progress.bytes / kMebibyte,
                                     " of ", progress.total_bytes / kMebibyte,
                                     " MiB, ", progress.files, " of ",
                                     progress.total_files, " files"));
    };
    return options;
  }

  // Brings here what the build made; answers the exit code.
  int Fetch(const v1::Build& build, const InterruptWatch& interrupts) {
    Output out(STDOUT_FILENO, IsOn(line_, "raw"));
    std::error_code write_failed;
    const absl::Status status = input_.places.Fetch(
        client_, build, stop_.get_token(), out, write_failed);
    if (!write_failed) write_failed = out.End();
    if (status.ok()) return kSucceeded;
    if (interrupts.signal() != 0) return SignalExitCode(interrupts.signal());
    if (write_failed) return WriteFailed(write_failed);
    PrintMessage(absl::StrCat("the build succeeded, but: ", status.message()));
    return ExitCode(status.code());
  }

  void Leave() {
    // What fills a folder ends by this.
    stop_.request_stop();
    leftovers_.RemoveForGood();
  }

  const CommandLine& line_;
  const bool json_;
  const client::ClientOptions& options_;
  // Before the client, whose threads must not get these signals.
  InterruptSignals signals_;
  client::Client client_;
  std::stop_source stop_;
  Leftovers leftovers_;
  BuildInput input_;
  StatusLine status_line_;
};

constexpr FlagGroup kGroups[] = {
    {"The service's flags", kOwnFlags},
    {"nerdctl's flags", kNerdctlFlags},
};

int Run(const client::ClientOptions& options, const CommandLine& given) {
  CommandLine line = given;
  const auto json = IsJson(line, "raw");
  if (!json.ok()) return WrongUsage(json.status().message(), "build");
  const absl::Status progress = SettleProgress(SurroundingsHere(), line);
  if (!progress.ok()) return WrongUsage(progress.message(), "build");
  if (IsOn(line, "detach")) {
    auto request = MakeRequest<v1::CreateBuildRequest>(line, options);
    if (!request.ok()) return WrongUsage(request.status().message(), "build");
    return BuildRun(line, *json, options).Detach(*std::move(request));
  }
  auto request = MakeRequest<v1::BuildRequest>(line, options);
  if (!request.ok()) return WrongUsage(request.status().message(), "build");
  return BuildRun(line, *json, options).Follow(*std::move(request));
}

}  // namespace

constexpr Command kBuildCommand = {
    .name = "build",
    .summary = "Build an image; takes the flags of `nerdctl build`",
    .synopsis = "[flags] PATH",
    .argument = Command::Argument::kContext,
    .text = kText,
    .examples = kExamples,
    .exit_codes = kExitCodes,
    .flags = kGroups,
    .run = Run,
};

}  // namespace containerbuilder::cli
