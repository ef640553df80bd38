#include "async_follower.h"

#include <utility>

#include "containerbuilder/client/build_stream.h"

namespace containerbuilder::client {

void AsyncBuild::Cancel() { follower_->Cancel(); }
void AsyncBuild::Leave() { follower_->Leave(); }

void AsyncBuild::Follower::Start() {
  const std::lock_guard lock(mutex_);
  OpenCallAfter(absl::ZeroDuration());
}

void AsyncBuild::Follower::Cancel() {
  std::shared_ptr<BuildCall> call;
  std::shared_ptr<Timer> timer;
  bool has_build = false;
  {
    const std::lock_guard lock(mutex_);
    if (ended_ || state_.cancelled() || state_.finished()) return;
    state_.Cancel();
    has_build = state_.HasBuildToCancel();
    if (!has_build) call = call_;
    timer = call_timer_;
  }
  if (has_build) CancelBuild();
  if (call != nullptr) call->Cancel();
  if (timer != nullptr) timer->Hasten();
}

void AsyncBuild::Follower::Leave() {
  std::shared_ptr<BuildCall> call;
  std::shared_ptr<Timer> timer;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    if (!end_.has_value()) {
      end_ = absl::CancelledError("left by the caller");
    }
    call = call_;
    timer = call_timer_;
  }
  if (call != nullptr) call->Cancel();
  if (timer != nullptr) timer->Hasten();
}

void AsyncBuild::Follower::OnEvent(v1::BuildEvent event) {
  std::shared_ptr<BuildCall> wrong;
  bool cancel_build = false;
  {
    const std::lock_guard lock(mutex_);
    // What is still on its way.
    if (end_.has_value()) return;
    const bool had_build = state_.HasBuildToCancel();
    absl::Status status = state_.Take(event);
    cancel_build =
        state_.cancelled() && !had_build && state_.HasBuildToCancel();
    if (!status.ok()) {
      end_ = std::move(status);
      wrong = call_;
    } else if (event.has_finished()) {
      end_ = BuildStatus(event.finished().build());
    }
  }
  if (cancel_build) CancelBuild();
  if (wrong != nullptr) {
    wrong->Cancel();
    return;
  }
  observer_->OnEvent(std::move(event));
}

void AsyncBuild::Follower::OnDone(const absl::Status& status, bool reached) {
  std::optional<absl::Status> end;
  {
    const std::lock_guard lock(mutex_);
    call_.reset();
    end = end_;
    if (!end.has_value()) {
      ResumeState::Next next = state_.AfterCall(status, reached);
      end = std::move(next.end);
      if (!end.has_value()) OpenCallAfter(next.delay);
    }
  }
  if (end.has_value()) End(*end);
}

void AsyncBuild::Follower::OpenCallAfter(absl::Duration delay) {
  call_timer_ = platform_->After(
      delay, [self = shared_from_this()] { self->OpenCall(); });
}

void AsyncBuild::Follower::OpenCall() {
  std::shared_ptr<BuildCall> call;
  std::optional<absl::Status> end;
  {
    const std::lock_guard lock(mutex_);
    call_timer_.reset();
    end = end_.has_value() ? end_ : state_.EndBeforeCall();
    if (!end.has_value()) {
      call_ =
          state_.build() != nullptr
              ? connection_->MakeBuildCall(*state_.build(), shared_from_this())
              : connection_->MakeWatchCall(state_.watch(), shared_from_this());
      call = call_;
    }
  }
  if (end.has_value()) {
    End(*end);
  } else {
    call->Start();
  }
}

void AsyncBuild::Follower::CancelBuild() {
  v1::CancelBuildRequest request;
  {
    const std::lock_guard lock(mutex_);
    cancel_timer_.reset();
    if (ended_ || state_.finished()) return;
    if (!cancel_retry_.has_value()) cancel_retry_.emplace(*platform_, limit_);
    request.set_name(state_.watch().name());
  }
  connection_->CancelBuildAsync(
      request, kCancelBuildWait,
      [self = shared_from_this()](const absl::Status& status) {
        self->OnCancelAnswered(status);
      });
}

void AsyncBuild::Follower::OnCancelAnswered(const absl::Status& status) {
  std::shared_ptr<BuildCall> call;
  std::shared_ptr<Timer> timer;
  {
    const std::lock_guard lock(mutex_);
    if (status.ok() || ended_ || state_.finished()) return;
    // When the wait is over the build may still be in its grace period, or
    // the order may never have got there.
    const bool still_stopping = absl::IsDeadlineExceeded(status);
    if (still_stopping || IsWorthRetrying(status) || IsRateLimited(status)) {
      const auto delay = cancel_retry_->NextDelay(status);
      if (delay.has_value()) {
        cancel_timer_ = platform_->After(
            *delay, [self = shared_from_this()] { self->CancelBuild(); });
        return;
      }
      if (still_stopping) {
        cancel_retry_.reset();
        state_.AllowCancel();
        return;
      }
    }
    state_.FailCancel(status);
    call = call_;
    timer = call_timer_;
  }
  if (call != nullptr) call->Cancel();
  if (timer != nullptr) timer->Hasten();
}

void AsyncBuild::Follower::End(const absl::Status& status) {
  std::shared_ptr<Timer> timer;
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    timer = cancel_timer_;
  }
  if (timer != nullptr) timer->Hasten();
  std::exchange(observer_, nullptr)->OnDone(status);
}

}  // namespace containerbuilder::client
