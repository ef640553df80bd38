#include "follow.h"

#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "exit_code.h"
#include "format.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

// Where nerdctl's bytes go.
struct Outputs {
  explicit Outputs(bool is_raw)
      : out(STDOUT_FILENO, is_raw), err(STDERR_FILENO, is_raw) {}

  std::error_code End() {
    const std::error_code error = out.End();
    return error ? error : err.End();
  }

  Output& Of(const v1::BuildOutput& output) {
    return output.stream() == v1::BuildOutput::STREAM_STDERR ? err : out;
  }

  Output out;
  Output err;
};

// nerdctl has told of its own failure already, and to add to its words would
// make our output differ from nerdctl's.
bool SpokeForItself(const v1::Build& build) {
  return build.state() == v1::Build::STATE_SUCCEEDED ||
         (build.state() == v1::Build::STATE_FAILED &&
          ExitCode(build) == build.exit_code());
}

std::error_code Print(const v1::BuildEvent& event, bool json,
                      Outputs& outputs) {
  if (event.has_heartbeat()) return {};
  if (json) return outputs.out.Write(JsonLine(event));
  if (!event.has_output()) return {};
  return outputs.Of(event.output()).Write(event.output().data());
}

}  // namespace

int Follow(client::BuildStream& stream, const FollowOptions& options) {
  StatusLine own_line;
  StatusLine& status_line =
      options.status_line != nullptr ? *options.status_line : own_line;
  Outputs outputs(options.raw);
  std::string name;
  std::int64_t last_sequence = 0;
  std::optional<int> write_failed;
  std::optional<v1::Build> build;
  absl::Status status;
  for (const absl::StatusOr<v1::BuildEvent>& event : stream) {
    if (!event.ok()) {
      status = event.status();
      break;
    }
    name = event->name();
    if (event->has_queued()) {
      status_line.Show(
          absl::StrCat("queued, position ", event->queued().position()));
    } else if (!event->has_heartbeat()) {
      status_line.Clear();
    }
    if (!event->has_heartbeat()) last_sequence = event->sequence();
    if (event->has_finished()) build = event->finished().build();
    if (write_failed) continue;
    if (const std::error_code error = Print(*event, options.json, outputs)) {
      write_failed = WriteFailed(error);
      if (options.interrupts == nullptr) return *write_failed;
      stream.Cancel();
    }
  }
  status_line.Clear();
  if (write_failed) return *write_failed;
  if (const std::error_code error = outputs.End()) return WriteFailed(error);

  const int signal =
      options.interrupts == nullptr ? 0 : options.interrupts->signal();
  if (signal != 0 && (!build || build->state() == v1::Build::STATE_CANCELLED)) {
    if (!build && !absl::IsCancelled(status)) {
      PrintMessage(absl::StrCat("the build may go on: ", status.message()));
    }
    return SignalExitCode(signal);
  }
  if (build) {
    if (!SpokeForItself(*build)) PrintMessage(status.message());
    const int code = ExitCode(*build);
    return code == kSucceeded && options.then ? options.then(*build) : code;
  }
  // A watch that does not follow ends well without `finished`.
  if (status.ok()) return kSucceeded;
  if (name.empty()) {
    if (options.refused && options.refused(status)) return kSucceeded;
    PrintError(status, options.client);
  } else {
    PrintMessage(absl::StrCat("lost the build: ", status.message()));
    PrintMessage(absl::StrCat("to join it again: container-builder watch ",
                              name, " --after ", last_sequence));
  }
  return ExitCode(status.code());
}

}  // namespace containerbuilder::cli
