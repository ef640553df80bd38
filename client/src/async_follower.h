#ifndef CONTAINERBUILDER_CLIENT_ASYNC_FOLLOWER_H_
#define CONTAINERBUILDER_CLIENT_ASYNC_FOLLOWER_H_

#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "containerbuilder/client/async_build.h"
#include "containerbuilder/client/build_call.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/platform.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "resume_state.h"

namespace containerbuilder::client {

// Follows one build over as many calls as it takes, as ResumingEventSource
// does, but by callbacks. There is one call at a time or a timer for the next
// one, and either keeps this alive.
class AsyncBuild::Follower final
    : public BuildCallReceiver,
      public std::enable_shared_from_this<AsyncBuild::Follower> {
 public:
  // `request` is that of Build or WatchBuild; see ResumeState.
  template <typename Request>
  Follower(std::shared_ptr<Connection> connection,
           std::shared_ptr<Platform> platform, ResumeOptions options,
           Request request, std::shared_ptr<BuildObserver> observer)
      : connection_(std::move(connection)),
        platform_(std::move(platform)),
        limit_(options.limit),
        observer_(std::move(observer)),
        state_(*platform_, options, std::move(request)) {}

  // The observer is not called before this returns, so that a caller may hold
  // what the observer waits for.
  void Start();
  void Cancel();
  void Leave();

  void OnEvent(v1::BuildEvent event) override;
  void OnDone(const absl::Status& status, bool reached) override;

 private:
  // With mutex_ held: has OpenCall called after that long.
  void OpenCallAfter(absl::Duration delay);
  void OpenCall();
  void CancelBuild();
  void OnCancelAnswered(const absl::Status& status);
  void End(const absl::Status& status);

  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<Platform> platform_;
  const absl::Duration limit_;
  // Let go in the end: it may hold the AsyncBuild, and so this.
  std::shared_ptr<BuildObserver> observer_;

  // Guards what follows; not held while the observer or a call is called.
  std::mutex mutex_;
  ResumeState state_;
  std::shared_ptr<BuildCall> call_;
  std::shared_ptr<Timer> call_timer_;    // until the next call
  std::shared_ptr<Timer> cancel_timer_;  // until CancelBuild is sent again
  std::optional<Retry> cancel_retry_;    // since it was first sent
  std::optional<absl::Status> end_;      // known before the call has ended
  bool ended_ = false;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_ASYNC_FOLLOWER_H_
