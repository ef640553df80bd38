#include "exit_code.h"

namespace containerbuilder::cli {

int ExitCode(absl::StatusCode code) { return 64 + static_cast<int>(code); }

int SignalExitCode(int signal) { return 128 + signal; }

int ExitCode(const v1::Build& build) {
  switch (build.state()) {
    case v1::Build::STATE_SUCCEEDED:
      return kSucceeded;
    case v1::Build::STATE_FAILED:
      if (build.failure().reason() == "LOG_LIMIT" ||
          build.failure().reason() == "NO_SPACE") {
        return ExitCode(absl::StatusCode::kResourceExhausted);
      }
      if (build.term_signal() != 0) return SignalExitCode(build.term_signal());
      return build.exit_code() != 0 ? build.exit_code() : kFailed;
    case v1::Build::STATE_CANCELLED:
      return ExitCode(absl::StatusCode::kCancelled);
    case v1::Build::STATE_TIMED_OUT:
    case v1::Build::STATE_EXPIRED:
      return ExitCode(absl::StatusCode::kDeadlineExceeded);
    case v1::Build::STATE_INTERRUPTED:
      return ExitCode(absl::StatusCode::kUnavailable);
    default:
      return ExitCode(absl::StatusCode::kUnknown);
  }
}

}  // namespace containerbuilder::cli
