#include "resuming_event_source.h"

#include <utility>

namespace containerbuilder::client {

ResumingEventSource::ResumingEventSource(std::shared_ptr<Connection> connection,
                                         std::shared_ptr<Platform> platform,
                                         ResumeOptions options,
                                         v1::BuildRequest request)
    : connection_(std::move(connection)),
      platform_(std::move(platform)),
      limit_(options.limit),
      state_(*platform_, options, std::move(request)) {}

ResumingEventSource::ResumingEventSource(std::shared_ptr<Connection> connection,
                                         std::shared_ptr<Platform> platform,
                                         ResumeOptions options,
                                         v1::WatchBuildRequest request)
    : connection_(std::move(connection)),
      platform_(std::move(platform)),
      limit_(options.limit),
      state_(*platform_, options, std::move(request)) {}

ResumingEventSource::~ResumingEventSource() {
  if (!cancel_done_.HasBeenNotified()) cancel_done_.Notify();
}

std::optional<v1::BuildEvent> ResumingEventSource::Next() {
  bool finished = false;
  {
    const std::lock_guard lock(mutex_);
    finished = state_.finished();
  }
  while (!end_.has_value()) {
    if (source_ == nullptr) {
      end_ = OpenCall();
      continue;
    }
    std::optional<v1::BuildEvent> event = source_->Next();
    if (finished) {
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
  if (state_.cancelled() || state_.finished()) return;
  state_.Cancel();
  if (state_.HasBuildToCancel()) {
    StartCancelBuild();
  } else if (source_ != nullptr) {
    source_->Cancel();
  }
  if (!cancel_requested_.HasBeenNotified()) cancel_requested_.Notify();
}

std::optional<absl::Status> ResumingEventSource::OpenCall() {
  const std::lock_guard lock(mutex_);
  std::optional<absl::Status> end = state_.EndBeforeCall();
  if (end.has_value()) return end;
  source_ = state_.build() != nullptr ? connection_->Build(*state_.build())
                                      : connection_->WatchBuild(state_.watch());
  return std::nullopt;
}

void ResumingEventSource::CloseCall() {
  std::unique_ptr<BuildEventSource> source;  // goes when nothing is held
  const std::lock_guard lock(mutex_);
  source.swap(source_);
}

absl::Status ResumingEventSource::Take(const v1::BuildEvent& event) {
  const std::lock_guard lock(mutex_);
  const bool had_build = state_.HasBuildToCancel();
  absl::Status status = state_.Take(event);
  if (state_.cancelled() && !had_build && state_.HasBuildToCancel()) {
    StartCancelBuild();
  }
  if (state_.finished()) cancel_done_.Notify();
  return status;
}

std::optional<absl::Status> ResumingEventSource::WaitToResume(
    absl::Status end_of_call) {
  const bool reached = end_of_call.ok() || source_->Reached();
  const absl::Notification* interrupt = &cancel_requested_;
  ResumeState::Next next;
  {
    const std::lock_guard lock(mutex_);
    if (cancel_requested_.HasBeenNotified()) interrupt = &never_;
    next = state_.AfterCall(std::move(end_of_call), reached);
  }
  if (!next.end.has_value()) platform_->Wait(next.delay, *interrupt);
  return next.end;
}

void ResumingEventSource::StartCancelBuild() {
  v1::CancelBuildRequest request;
  request.set_name(state_.watch().name());
  canceller_ = std::jthread([this, request] { CancelBuild(request); });
}

void ResumingEventSource::CancelBuild(const v1::CancelBuildRequest& request) {
  Retry retry(*platform_, limit_);
  absl::Status status;
  do {
    status = connection_->CancelBuild(request, kCancelBuildWait).status();
    // When the wait is over the build may still be in its grace period, or
    // the order may never have got there.
  } while ((IsWorthRetrying(status) || IsRateLimited(status) ||
            absl::IsDeadlineExceeded(status)) &&
           retry.Wait(status, cancel_done_) && !cancel_done_.HasBeenNotified());
  if (status.ok() || cancel_done_.HasBeenNotified()) return;
  const std::lock_guard lock(mutex_);
  if (absl::IsDeadlineExceeded(status)) {
    state_.AllowCancel();
    return;
  }
  state_.FailCancel(status);
  if (source_ != nullptr) source_->Cancel();
}

}  // namespace containerbuilder::client
