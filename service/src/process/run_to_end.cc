#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
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
    std::string& kept = stream == OutputStream::kStdout ? output_.stdout_data
                                                        : output_.stderr_data;
    // The rest is read all the same, so that the program does not stall.
    const std::size_t room = limits::kMaxProbeOutputBytes - kept.size();
    kept.append(data.data(), std::min(data.size(), room));
  }

  void OnExit(const ExitStatus& status) override {
    output_.status = status;
    const std::lock_guard<std::mutex> lock(mutex_);
    has_ended_ = true;
    ended_.notify_all();
  }

  // Waits for the end, and gives the output away; nothing where it does not
  // come in time. By the steady clock, which Abseil's own waits do not go by:
  // a wall clock that is set back would stretch them.
  std::optional<CapturedOutput> Await(absl::Duration timeout) {
    // Bounded, so that the sum cannot overflow.
    const std::chrono::steady_clock::time_point deadline =
        std::chrono::steady_clock::now() +
        absl::ToChronoNanoseconds(std::min(timeout, absl::Hours(24 * 365)));
    std::unique_lock<std::mutex> lock(mutex_);
    if (!ended_.wait_until(lock, deadline, [this] { return has_ended_; })) {
      return std::nullopt;
    }
    return std::move(output_);
  }

 private:
  CapturedOutput output_;  // OnOutput's until it has ended
  std::mutex mutex_;
  std::condition_variable ended_;
  bool has_ended_ = false;
};

}  // namespace

absl::StatusOr<CapturedOutput> RunToEnd(ProcessRunner& runner,
                                        const Command& command,
                                        absl::Duration timeout) {
  const auto capture = std::make_shared<Capture>();
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::shared_ptr<Process> process,
                                    runner.Start(command, capture));
  std::optional<CapturedOutput> output = capture->Await(timeout);
  if (output) return *std::move(output);
  process->Stop(absl::ZeroDuration());
  const bool is_gone = capture->Await(limits::kKillTimeout).has_value();
  return absl::DeadlineExceededError(absl::StrCat(
      command.program, " did not end within ", absl::FormatDuration(timeout),
      is_gone ? " and was killed" : " and does not die"));
}

}  // namespace containerbuilder::service
