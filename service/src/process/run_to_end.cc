#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "process/process_runner.h"

namespace containerbuilder::service {
namespace {

class Capture final : public ProcessListener {
 public:
  void OnStart(std::int64_t) override {}

  void OnOutput(OutputStream stream, absl::string_view data) override {
    std::string& kept = stream == OutputStream::kStdout ? output.stdout_data
                                                        : output.stderr_data;
    // The rest is read all the same, so that the program does not stall.
    const std::size_t room = limits::kMaxProbeOutputBytes - kept.size();
    kept.append(data.data(), std::min(data.size(), room));
  }

  void OnExit(const ExitStatus& status) override {
    output.status = status;
    ended.Notify();
  }

  // To be read once `ended`.
  CapturedOutput output;
  absl::Notification ended;
};

}  // namespace

absl::StatusOr<CapturedOutput> RunToEnd(ProcessRunner& runner,
                                        const Command& command,
                                        absl::Duration timeout) {
  const auto capture = std::make_shared<Capture>();
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::shared_ptr<Process> process,
                                    runner.Start(command, capture));
  if (!capture->ended.WaitForNotificationWithTimeout(timeout)) {
    process->Stop(absl::ZeroDuration());
    capture->ended.WaitForNotification();
    return absl::DeadlineExceededError(
        absl::StrCat(command.program, " did not end within ",
                     absl::FormatDuration(timeout), " and was killed"));
  }
  return std::move(capture->output);
}

}  // namespace containerbuilder::service
