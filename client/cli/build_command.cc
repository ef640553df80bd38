#include <unistd.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "commands.h"
#include "containerbuilder/client/client.h"
#include "exit_code.h"
#include "interrupt.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

constexpr char kHelp[] =
    R"(Usage: container-builder [--address=ADDRESS] build [flags] PATH

Builds an image from the Dockerfile in PATH with the service's nerdctl, and
prints what nerdctl prints. Flags are nerdctl's own; paths in them and the
values of `--build-arg NAME` are taken from where this command runs.

Examples:
  container-builder build -t app:dev .
  container-builder build -f docker/Dockerfile --build-arg VERSION=1.2 .
  container-builder build --output type=local,dest=out --no-cache .

Exit code: nerdctl's own, 128 + n when signal n ended it; 2 wrong usage;
65 cancelled by others; 68 timed out; 72 too much output or no space;
78 interrupted by the service; 64 + the gRPC code when the service refused;
130 Ctrl-C; 143 SIGTERM.

Flags:
)";

constexpr NerdctlBuildFlag kOwnFlags[] = {
    {"help", 'h', NerdctlBuildFlag::Kind::kSwitch,
     NerdctlBuildFlag::Path::kNone, "", "Print this help"},
};

// Where nerdctl's bytes of that stream go.
int OutputFd(const v1::BuildOutput& output) {
  return output.stream() == v1::BuildOutput::STREAM_STDERR ? STDERR_FILENO
                                                           : STDOUT_FILENO;
}

// nerdctl has told of its own failure already, and to add to its words would
// make our output differ from nerdctl's.
bool SpokeForItself(const v1::Build& build) {
  return build.state() == v1::Build::STATE_SUCCEEDED ||
         (build.state() == v1::Build::STATE_FAILED &&
          ExitCode(build) == build.exit_code());
}

int Build(const v1::BuildRequest& request,
          const client::ClientOptions& options) {
  // Before the client, whose threads must not get these signals.
  const InterruptSignals signals;
  client::BuildStream stream = client::Client(options).Build(request);
  const InterruptWatch watch(signals, [&stream] { stream.Cancel(); });

  bool admitted = false;
  std::optional<v1::Build> build;
  absl::Status status;
  for (const absl::StatusOr<v1::BuildEvent>& event : stream) {
    admitted = admitted || event.ok();
    if (!event.ok()) {
      status = event.status();
    } else if (event->has_output()) {
      const std::error_code error =
          Write(OutputFd(event->output()), event->output().data());
      if (error) return WriteFailed(error);
    } else if (event->has_finished()) {
      build = event->finished().build();
    }
  }

  if (watch.signal() != 0 &&
      (!build || build->state() == v1::Build::STATE_CANCELLED)) {
    return SignalExitCode(watch.signal());
  }
  if (build) {
    if (!SpokeForItself(*build)) PrintMessage(status.message());
    return ExitCode(*build);
  }
  if (admitted) {
    PrintMessage(absl::StrCat("lost the build: ", status.message()));
  } else {
    PrintError(status, options);
  }
  return ExitCode(status.code());
}

}  // namespace

int RunBuild(const client::ClientOptions& options,
             std::span<const std::string> arguments) {
  const auto line = SplitCommandLine(arguments, kOwnFlags);
  if (!line.ok()) {
    return WrongUsage(line.status().message(), "build");
  }
  if (IsOn(*line, "help")) {
    return PrintHelp(absl::StrCat(kHelp, FlagsHelp(kOwnFlags),
                                  "\nnerdctl's flags:\n",
                                  FlagsHelp(kNerdctlBuildFlags)));
  }
  const auto build_options = MakeBuildOptionsHere(*line);
  if (!build_options.ok()) {
    return WrongUsage(build_options.status().message(), "build");
  }
  v1::BuildRequest request;
  *request.mutable_spec()->mutable_options() = *build_options;
  return Build(request, options);
}

}  // namespace containerbuilder::cli
