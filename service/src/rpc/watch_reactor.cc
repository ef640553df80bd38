#include "rpc/watch_reactor.h"

#include <array>
#include <string>
#include <utility>

#include "base/limits.h"
#include "base/timestamps.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "grpcpp/support/slice.h"
#include "rpc/grpc_status.h"

namespace containerbuilder::service {
namespace {

static_assert(v1::BuildResponse::kEventFieldNumber == 1 &&
              v1::WatchBuildResponse::kEventFieldNumber == 1);

using SharedBytes = std::shared_ptr<const std::string>;

// A response with `event`, a serialized v1::BuildEvent, as its field 1. The
// event's bytes are shared, not copied.
grpc::ByteBuffer Response(const SharedBytes& event) {
  using google::protobuf::internal::WireFormatLite;
  using google::protobuf::io::CodedOutputStream;
  std::array<std::uint8_t, 16> head;
  std::uint8_t* end = CodedOutputStream::WriteTagToArray(
      WireFormatLite::MakeTag(v1::BuildResponse::kEventFieldNumber,
                              WireFormatLite::WIRETYPE_LENGTH_DELIMITED),
      head.data());
  end = CodedOutputStream::WriteVarint32ToArray(
      static_cast<std::uint32_t>(event->size()), end);
  // gRPC gives the reference back when the last byte is sent.
  const std::array<grpc::Slice, 2> slices = {
      grpc::Slice(head.data(), static_cast<std::size_t>(end - head.data())),
      grpc::Slice(
          const_cast<char*>(event->data()), event->size(),
          [](void* reference) { delete static_cast<SharedBytes*>(reference); },
          new SharedBytes(event))};
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace

WatchReactor* WatchReactor::Start(absl::FunctionRef<void(Open open)> begin,
                                  Executor* streams,
                                  std::function<absl::Time()> now) {
  std::shared_ptr<WatchReactor> reactor(
      new WatchReactor(streams, std::move(now)));
  reactor->self_ = reactor;
  begin([reactor](absl::StatusOr<Watched> watched) {
    reactor->OpenWith(std::move(watched));
  });
  return reactor.get();
}

WatchReactor* WatchReactor::Fail(const absl::Status& status) {
  std::shared_ptr<WatchReactor> reactor(new WatchReactor(nullptr, absl::Now));
  reactor->self_ = reactor;
  reactor->FinishWith(status);
  return reactor.get();
}

WatchReactor::WatchReactor(Executor* streams, std::function<absl::Time()> now)
    : streams_(streams), now_(std::move(now)) {}

void WatchReactor::OpenWith(absl::StatusOr<Watched> watched) {
  if (!watched.ok()) {
    FinishWith(watched.status());
    return;
  }
  watch_ = std::move(watched->watch);
  options_ = std::move(watched->options);
  {
    absl::MutexLock lock(&mutex_);
    state_ = State::kPumping;
  }
  Pump();
}

void WatchReactor::Pump() {
  message_.Clear();
  held_ = nullptr;
  held_bytes_ = 0;
  // It is not read again before there is room.
  const std::int64_t awaited_bytes = std::exchange(awaited_bytes_, 0);
  if (awaited_bytes > 0 && !TakeRoom(awaited_bytes)) {
    AwaitRoom();
    return;
  }
  const bool all_written =
      options_.no_follow && written_ >= watch_.last_sequence;
  while (!all_written && !Journal::AtEnd(watch_.cursor)) {
    const Journal::Cursor before = watch_.cursor;
    const absl::StatusOr<std::optional<Journal::Entry>> entry = watch_.Read();
    if (!entry.ok()) {
      FinishWith(entry.status());
      return;
    }
    if (entry->has_value()) {
      if (Write(**entry)) return;
      // Nor is it kept until then.
      watch_.cursor = before;
      AwaitRoom();
      return;
    }
    if (options_.no_follow) break;
    if (Wait()) return;
  }
  FinishWith(absl::OkStatus());
}

bool WatchReactor::Write(const Journal::Entry& entry) {
  if (!TakeRoom(static_cast<std::int64_t>(entry.event->size()))) return false;
  written_ = entry.sequence;
  message_ = Response(entry.event);
  bool cancelled = false;
  {
    absl::MutexLock lock(&mutex_);
    cancelled = cancelled_;
    if (!cancelled) state_ = State::kWriting;
    timer_.reset();
  }
  if (cancelled) {
    FinishWith(absl::CancelledError());
  } else {
    StartWrite(&message_);
  }
  return true;
}

bool WatchReactor::TakeRoom(std::int64_t bytes) {
  if (bytes <= held_bytes_) return true;
  std::optional<std::shared_ptr<void>> held = options_.hold_event(bytes);
  if (!held) {
    awaited_bytes_ = bytes;
    return false;
  }
  held_ = *std::move(held);
  held_bytes_ = bytes;
  waited_ = absl::ZeroDuration();
  return true;
}

void WatchReactor::AwaitRoom() {
  bool cancelled = false;
  const bool is_beat = waited_ >= options_.heartbeat_interval;
  waited_ =
      is_beat ? absl::ZeroDuration() : waited_ + limits::kEventRoomInterval;
  {
    absl::MutexLock lock(&mutex_);
    cancelled = cancelled_;
    if (!cancelled && is_beat) state_ = State::kWriting;
    if (!cancelled && !is_beat) {
      timer_ =
          streams_->After(limits::kEventRoomInterval,
                          [reactor = shared_from_this()] { reactor->Pump(); });
    }
  }
  if (cancelled) {
    FinishWith(absl::CancelledError());
  } else if (is_beat) {
    WriteHeartbeat();
  }
}

bool WatchReactor::Wait() {
  bool cancelled = false;
  // A heartbeat's Pump may move the cursor as soon as the state is kWaiting.
  const Journal::Cursor cursor = watch_.cursor;
  {
    absl::MutexLock lock(&mutex_);
    cancelled = cancelled_;
    if (!cancelled) {
      state_ = State::kWaiting;
      const auto beat = [weak = weak_from_this()] {
        const std::shared_ptr<WatchReactor> reactor = weak.lock();
        if (reactor != nullptr) reactor->OnHeartbeat();
      };
      timer_ = streams_->After(options_.heartbeat_interval, beat);
      if (wake_set_) return true;
      wake_set_ = true;
    }
  }
  if (cancelled) {
    FinishWith(absl::CancelledError());
    return true;
  }
  const bool waits =
      watch_.journal->WakeOnce(cursor, weak_from_this(), [this] { OnWake(); });
  if (waits) return true;
  absl::MutexLock lock(&mutex_);
  wake_set_ = false;
  // A heartbeat or a cancel may have taken over meanwhile.
  if (state_ != State::kWaiting) return true;
  state_ = State::kPumping;
  return false;
}

void WatchReactor::OnWake() {
  absl::MutexLock lock(&mutex_);
  wake_set_ = false;
  if (state_ != State::kWaiting) return;  // whoever steps now will read it
  state_ = State::kPumping;
  PostPump();
}

void WatchReactor::OnHeartbeat() {
  {
    absl::MutexLock lock(&mutex_);
    if (state_ != State::kWaiting) return;
    state_ = State::kWriting;
  }
  WriteHeartbeat();
}

void WatchReactor::WriteHeartbeat() {
  v1::BuildEvent event;
  event.set_name(watch_.name);
  *event.mutable_event_time() = ToTimestamp(now_());
  event.mutable_heartbeat();
  message_ =
      Response(std::make_shared<const std::string>(event.SerializeAsString()));
  StartWrite(&message_);
}

void WatchReactor::OnWriteDone(bool /*ok*/) {
  // A failed write means a cancelled call, and OnCancel says so too; reading
  // on to the next write or wait finds it out.
  absl::MutexLock lock(&mutex_);
  state_ = State::kPumping;
  PostPump();
}

void WatchReactor::OnCancel() {
  // OnDone comes behind this, which ThreadSanitizer sees by the reference
  // alone.
  const std::shared_ptr<WatchReactor> reactor = shared_from_this();
  bool waiting = false;
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    // In every other state somebody is about to step, and sees cancelled_.
    waiting = state_ == State::kWaiting;
    // Taken at once: a wake-up or a heartbeat must find somebody stepping.
    if (waiting) state_ = State::kPumping;
  }
  if (waiting) FinishWith(absl::CancelledError());
}

void WatchReactor::OnDone() {
  // The last use of this by gRPC.
  const std::shared_ptr<WatchReactor> last = std::move(self_);
}

void WatchReactor::PostPump() {
  streams_->Post([reactor = shared_from_this()] { reactor->Pump(); });
}

void WatchReactor::FinishWith(const absl::Status& status) {
  Executor::Timer heartbeat;
  std::shared_ptr<void> attachment;
  {
    absl::MutexLock lock(&mutex_);
    state_ = State::kFinished;
    heartbeat = std::move(timer_);
    attachment = std::move(watch_.attachment);
  }
  // Now, and not when gRPC is done: the build's disconnect policy waits for it.
  attachment.reset();
  // OnDone may run before Finish returns: no lock, and nothing after it.
  Finish(ToGrpcStatus(status));
}

}  // namespace containerbuilder::service
