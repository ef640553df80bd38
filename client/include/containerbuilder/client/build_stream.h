#ifndef CONTAINERBUILDER_CLIENT_BUILD_STREAM_H_
#define CONTAINERBUILDER_CLIENT_BUILD_STREAM_H_

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "containerbuilder/client/range_iterator.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::client {

// Where events come from: one call of Build or WatchBuild. Implement it to
// test a program without a server.
class BuildEventSource {
 public:
  // Ends the call if it has not ended.
  virtual ~BuildEventSource() = default;
  // Blocks for the next event; nothing at the end of the call.
  virtual std::optional<v1::BuildEvent> Next() = 0;
  // How the call ended; once Next has answered nothing.
  virtual absl::Status Finish() = 0;
  // Ends the call; from any thread, without blocking. Next answers nothing
  // soon after.
  virtual void Cancel() = 0;
  // Whether the call reached the service, as far as that is known; once
  // Finish has answered an error.
  virtual bool Reached() { return true; }
};

// How a build's end reads as a status: OK for SUCCEEDED, else an error with
// the build's failure as its message: CANCELLED for a cancelled build,
// DEADLINE_EXCEEDED for TIMED_OUT and EXPIRED, UNAVAILABLE for a retryable
// failure, ABORTED otherwise.
absl::Status BuildStatus(const v1::Build& build);

// The events of one build, as an input range to go through once:
//
//   for (const absl::StatusOr<v1::BuildEvent>& event : client.Build(request))
//
// Every event is passed on, `finished` too. After a `finished` that is not
// SUCCEEDED, BuildStatus is the last element; so is the call's own error,
// where the events ended without `finished`. A range that ends without an
// error therefore means SUCCEEDED (a watch with `no_follow` set may also have
// come to the newest event).
//
// A stream that resumes (see Client::Build and Client::Watch) joins the build
// again when its connection is lost, and passes on every event once and in
// order; that the service repeats or leaves out one is DATA_LOSS. Meanwhile
// reading it blocks.
//
// Move-only. One thread reads it; Cancel may come from any other.
class BuildStream {
 public:
  using Iterator = RangeIterator<BuildStream, v1::BuildEvent>;

  // Unless `must_finish`, the source may end well without `finished`.
  explicit BuildStream(std::unique_ptr<BuildEventSource> source,
                       bool must_finish = true);
  BuildStream(BuildStream&&) noexcept;
  BuildStream& operator=(BuildStream&&) noexcept;
  // Before its end: where it resumes, this leaves the build to its disconnect
  // policy; where it does not, this ends the call, and that cancels the build
  // unless the policy says otherwise. After Cancel it may block for a few
  // seconds, until the service has taken the order.
  ~BuildStream();

  // Blocks for the first event. Call it once.
  Iterator begin();
  Iterator end() { return Iterator(); }

  // A resuming stream of Client::Build has the service stop the build, and
  // goes on to its `finished`; where that is refused, the refusal is the last
  // element. Before the first event there is nothing to name to the service:
  // the call is ended and CANCELLED is the last element, unless the event is
  // on its way already. Should the build have been admitted just then, it
  // lingers as its policy says.
  // Any other stream ends the call, with CANCELLED as the last element.
  //
  // Does not block. From any thread, any number of times, while the stream is
  // not being moved or destroyed.
  void Cancel();

 private:
  friend Iterator;
  const absl::StatusOr<v1::BuildEvent>* Current() const {
    return current_ ? &*current_ : nullptr;
  }
  void Advance();

  std::unique_ptr<BuildEventSource> source_;
  bool must_finish_;
  std::optional<absl::StatusOr<v1::BuildEvent>> current_;
  // The last element is being shown, or was.
  bool ended_ = false;
  std::optional<absl::Status> build_status_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_BUILD_STREAM_H_
