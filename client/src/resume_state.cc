#include "resume_state.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace containerbuilder::client {
namespace {

absl::Status CancelledByCaller() {
  return absl::CancelledError("cancelled by the caller");
}

}  // namespace

ResumeState::ResumeState(Platform& platform, ResumeOptions options,
                         v1::BuildRequest request)
    : platform_(platform), options_(options), build_(std::move(request)) {}

ResumeState::ResumeState(Platform& platform, ResumeOptions options,
                         v1::WatchBuildRequest request)
    : platform_(platform), options_(options), watch_(std::move(request)) {}

absl::Status ResumeState::Take(const v1::BuildEvent& event) {
  joined_ = true;
  retry_.reset();
  if (watch_.name().empty()) watch_.set_name(event.name());
  if (event.has_heartbeat()) return absl::OkStatus();

  if (watch_.name().empty()) {
    return absl::DataLossError("the first event does not name its build");
  }
  const std::int64_t last = watch_.after_sequence();
  // Who joins an ended build at its last event gets that one once more.
  const bool repeats_finished =
      !any_event_ && event.has_finished() && event.sequence() == last;
  if (event.sequence() != last + 1 && !repeats_finished) {
    return absl::DataLossError(absl::StrCat("event ", event.sequence(),
                                            " came after event ", last, " of ",
                                            watch_.name()));
  }
  watch_.set_after_sequence(event.sequence());
  any_event_ = true;
  finished_ = event.has_finished();
  return absl::OkStatus();
}

std::optional<absl::Status> ResumeState::EndBeforeCall() const {
  if (cancelled_ && !HasBuildToCancel()) return CancelledByCaller();
  return cancel_error_;
}

ResumeState::Next ResumeState::AfterCall(absl::Status end_of_call,
                                         bool reached) {
  const bool was_first_call = std::exchange(is_first_call_, false);
  if (cancel_error_.has_value()) return {cancel_error_, {}};
  if (cancelled_ && !HasBuildToCancel() &&
      (end_of_call.ok() || IsResumable(end_of_call))) {
    return {CancelledByCaller(), {}};
  }
  if (end_of_call.ok()) {
    if (watch_.no_follow()) return {std::move(end_of_call), {}};
    end_of_call = absl::UnknownError("the call ended without `finished`");
  } else if (!IsResumable(end_of_call) ||
             (was_first_call && !options_.wait_for_ready && !reached)) {
    return {std::move(end_of_call), {}};
  }
  if (!options_.resumes) return {std::move(end_of_call), {}};
  if (!retry_.has_value()) retry_.emplace(platform_, options_.limit);
  const std::optional<absl::Duration> delay = retry_->NextDelay(end_of_call);
  if (!delay.has_value()) return {std::move(end_of_call), {}};
  return {std::nullopt, *delay};
}

bool ResumeState::IsResumable(const absl::Status& end_of_call) const {
  // What to do where no build is admitted is the caller's to decide.
  if (IsRateLimited(end_of_call)) return build() == nullptr;
  return joined_ ? IsLostCall(end_of_call) : IsWorthRetrying(end_of_call);
}

}  // namespace containerbuilder::client
