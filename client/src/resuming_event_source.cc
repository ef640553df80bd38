#include "resuming_event_source.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "containerbuilder/client/error_info.h"

namespace containerbuilder::client {
namespace {

// The service stops the build whether or not its end is waited for, and the
// stream tells of that end; so this is as long as the destructor may block.
constexpr absl::Duration kCancelBuildWait = absl::Seconds(5);

}  // namespace

ResumingEventSource::ResumingEventSource(std::shared_ptr<Connection> connection,
                                         std::shared_ptr<Platform> platform,
                                         ResumeOptions options,
                                         v1::BuildRequest request)
    : connection_(std::move(connection)),
      platform_(std::move(platform)),
      options_(options),
      build_(std::move(request)) {}

ResumingEventSource::ResumingEventSource(std::shared_ptr<Connection> connection,
                                         std::shared_ptr<Platform> platform,
                                         ResumeOptions options,
                                         v1::WatchBuildRequest request)
    : connection_(std::move(connection)),
      platform_(std::move(platform)),
      options_(options),
      watch_(std::move(request)) {}

ResumingEventSource::~ResumingEventSource() {
  if (!cancel_done_.HasBeenNotified()) cancel_done_.Notify();
}

std::optional<v1::BuildEvent> ResumingEventSource::Next() {
  while (!end_.has_value()) {
    if (source_ == nullptr) {
      end_ = OpenCall();
      continue;
    }
    std::optional<v1::BuildEvent> event = source_->Next();
    if (finished_) {
      end_ = absl::OkStatus();
    } else if (event.has_value()) {
      const absl::Status status = Take(*event);
      if (status.ok()) return event;
      end_ = status;
    } else {
      end_ = WaitToResume(source_->Finish());
      CloseCall();
    }
  }
  CloseCall();
  return std::nullopt;
}

void ResumingEventSource::Cancel() {
  const std::lock_guard lock(mutex_);
  if (cancelled_ || finished_) return;
  cancelled_ = true;
  if (HasBuildToCancel()) {
    StartCancelBuild();
  } else if (source_ != nullptr) {
    source_->Cancel();
  }
  cancel_requested_.Notify();
}

std::optional<absl::Status> ResumingEventSource::OpenCall() {
  const std::lock_guard lock(mutex_);
  if (cancelled_ && !HasBuildToCancel()) {
    return absl::CancelledError("cancelled by the caller");
  }
  source_ = watch_.name().empty() ? connection_->Build(*build_)
                                  : connection_->WatchBuild(watch_);
  return std::nullopt;
}

void ResumingEventSource::CloseCall() {
  std::unique_ptr<BuildEventSource> source;  // goes when nothing is held
  const std::lock_guard lock(mutex_);
  source.swap(source_);
}

absl::Status ResumingEventSource::Take(const v1::BuildEvent& event) {
  joined_ = true;
  retry_.reset();
  const std::lock_guard lock(mutex_);
  if (watch_.name().empty() && !event.name().empty()) {
    watch_.set_name(event.name());
    if (cancelled_) StartCancelBuild();
  }
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
  if (finished_) cancel_done_.Notify();
  return absl::OkStatus();
}

std::optional<absl::Status> ResumingEventSource::WaitToResume(
    absl::Status end_of_call) {
  const bool was_first_call = std::exchange(is_first_call_, false);
  const absl::Notification* interrupt = &cancel_requested_;
  {
    const std::lock_guard lock(mutex_);
    if (cancel_error_.has_value()) return cancel_error_;
    if (cancelled_ && !HasBuildToCancel() &&
        (end_of_call.ok() || IsResumable(end_of_call))) {
      return absl::CancelledError("cancelled by the caller");
    }
    if (cancelled_) interrupt = &never_;
  }
  if (end_of_call.ok()) {
    if (watch_.no_follow()) return end_of_call;
    end_of_call = absl::UnknownError("the call ended without `finished`");
  } else if (!IsResumable(end_of_call) ||
             (was_first_call && !options_.wait_for_ready &&
              !source_->Reached())) {
    return end_of_call;
  }
  if (!retry_.has_value()) retry_.emplace(*platform_, options_.limit);
  if (!retry_->Wait(end_of_call, *interrupt)) return end_of_call;
  return std::nullopt;
}

bool ResumingEventSource::IsResumable(const absl::Status& end_of_call) const {
  return joined_ ? IsLostCall(end_of_call) : IsWorthRetrying(end_of_call);
}

void ResumingEventSource::StartCancelBuild() {
  v1::CancelBuildRequest request;
  request.set_name(watch_.name());
  canceller_ = std::jthread([this, request] { CancelBuild(request); });
}

void ResumingEventSource::CancelBuild(const v1::CancelBuildRequest& request) {
  Retry retry(*platform_, options_.limit);
  absl::Status status;
  do {
    status = connection_->CancelBuild(request, kCancelBuildWait).status();
    // When the wait is over the build may still be in its grace period, or
    // the order may never have got there.
  } while ((IsWorthRetrying(status) || absl::IsDeadlineExceeded(status)) &&
           retry.Wait(status, cancel_done_) && !cancel_done_.HasBeenNotified());
  if (status.ok() || absl::IsDeadlineExceeded(status) ||
      cancel_done_.HasBeenNotified()) {
    return;
  }
  const std::lock_guard lock(mutex_);
  cancel_error_ = status;
  if (source_ != nullptr) source_->Cancel();
}

}  // namespace containerbuilder::client
