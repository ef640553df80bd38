#include "rpc/build_reactor.h"

#include <optional>
#include <utility>

#include "base/timestamps.h"
#include "rpc/grpc_status.h"

namespace containerbuilder::service {

BuildReactor* BuildReactor::Start(StartBuild start_build, Executor* requests,
                                  Executor* streams,
                                  std::function<absl::Time()> now,
                                  absl::Duration heartbeat_interval) {
  std::shared_ptr<BuildReactor> reactor(
      new BuildReactor(streams, std::move(now), heartbeat_interval));
  reactor->self_ = reactor;
  requests->Post([reactor, start_build = std::move(start_build)] {
    reactor->Admit(start_build);
  });
  return reactor.get();
}

BuildReactor::BuildReactor(Executor* streams, std::function<absl::Time()> now,
                           absl::Duration heartbeat_interval)
    : streams_(streams),
      now_(std::move(now)),
      heartbeat_interval_(heartbeat_interval) {}

void BuildReactor::Admit(const StartBuild& start_build) {
  bool cancelled = false;
  {
    absl::MutexLock lock(&mutex_);
    cancelled = cancelled_;
  }
  if (cancelled) {
    FinishWith(absl::CancelledError());
    return;
  }
  absl::StatusOr<std::shared_ptr<Build>> build = start_build();
  if (!build.ok()) {
    FinishWith(build.status());
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    build_ = *build;
    state_ = State::kPumping;
    cancelled = cancelled_;
  }
  // OnCancel came while there was no build yet that it could have stopped.
  if (cancelled) (*build)->Stop(StopReason::kClientGone);
  Pump();
}

void BuildReactor::Pump() {
  std::shared_ptr<Build> build;
  {
    absl::MutexLock lock(&mutex_);
    build = build_;
  }
  while (!Journal::AtEnd(cursor_)) {
    absl::StatusOr<std::optional<v1::BuildEvent>> event =
        build->journal().Read(cursor_);
    if (!event.ok()) {
      FinishWith(event.status());
      return;
    }
    if (event->has_value()) {
      *response_.mutable_event() = **std::move(event);
      Write();
      return;
    }
    if (Wait(*build)) return;
  }
  FinishWith(absl::OkStatus());
}

void BuildReactor::Write() {
  bool cancelled = false;
  {
    absl::MutexLock lock(&mutex_);
    cancelled = cancelled_;
    if (!cancelled) state_ = State::kWriting;
    heartbeat_.reset();
  }
  if (cancelled) {
    FinishWith(absl::CancelledError());
  } else {
    StartWrite(&response_);
  }
}

bool BuildReactor::Wait(Build& build) {
  // cursor_ is the next pump's as soon as this waits.
  const Journal::Cursor cursor = cursor_;
  bool cancelled = false;
  {
    absl::MutexLock lock(&mutex_);
    cancelled = cancelled_;
    if (!cancelled) {
      state_ = State::kWaiting;
      heartbeat_ =
          streams_->After(heartbeat_interval_, [weak = weak_from_this()] {
            if (auto reactor = weak.lock()) reactor->OnHeartbeat();
          });
      if (wake_set_) return true;
      wake_set_ = true;
    }
  }
  if (cancelled) {
    FinishWith(absl::CancelledError());
    return true;
  }
  const bool waits =
      build.journal().WakeOnce(cursor, [weak = weak_from_this()] {
        if (auto reactor = weak.lock()) reactor->OnWake();
      });
  if (waits) return true;
  absl::MutexLock lock(&mutex_);
  wake_set_ = false;
  // A heartbeat or a cancel may have taken over meanwhile.
  if (state_ != State::kWaiting) return true;
  state_ = State::kPumping;
  return false;
}

void BuildReactor::OnWake() {
  absl::MutexLock lock(&mutex_);
  wake_set_ = false;
  if (state_ != State::kWaiting) return;  // whoever steps now will read it
  state_ = State::kPumping;
  PostPump();
}

void BuildReactor::OnHeartbeat() {
  {
    absl::MutexLock lock(&mutex_);
    if (state_ != State::kWaiting) return;
    state_ = State::kWriting;
    response_.Clear();
    response_.mutable_event()->set_name(build_->name());
  }
  v1::BuildEvent& event = *response_.mutable_event();
  *event.mutable_event_time() = ToTimestamp(now_());
  event.mutable_heartbeat();
  StartWrite(&response_);
}

void BuildReactor::OnWriteDone(bool /*ok*/) {
  // A failed write means a cancelled call, and OnCancel says so too; reading
  // on to the next write or wait finds it out.
  absl::MutexLock lock(&mutex_);
  state_ = State::kPumping;
  PostPump();
}

void BuildReactor::OnCancel() {
  std::shared_ptr<Build> build;
  bool waiting = false;
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    build = build_;
    // In every other state somebody is about to step, and sees cancelled_.
    waiting = state_ == State::kWaiting;
    // Taken at once: a wake-up or a heartbeat must find somebody stepping.
    if (waiting) state_ = State::kPumping;
  }
  if (build != nullptr) build->Stop(StopReason::kClientGone);
  if (waiting) FinishWith(absl::CancelledError());
}

void BuildReactor::OnDone() {
  // The last use of this by gRPC.
  const std::shared_ptr<BuildReactor> last = std::move(self_);
}

void BuildReactor::PostPump() {
  streams_->Post([reactor = shared_from_this()] { reactor->Pump(); });
}

void BuildReactor::FinishWith(const absl::Status& status) {
  Executor::Timer heartbeat;
  {
    absl::MutexLock lock(&mutex_);
    state_ = State::kFinished;
    heartbeat = std::move(heartbeat_);
  }
  // OnDone may run before Finish returns: no lock, and nothing after it.
  Finish(ToGrpcStatus(status));
}

}  // namespace containerbuilder::service
