#ifndef CONTAINERBUILDER_CLIENT_RESUMING_EVENT_SOURCE_H_
#define CONTAINERBUILDER_CLIENT_RESUMING_EVENT_SOURCE_H_

#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "containerbuilder/client/build_stream.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/platform.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "resume_state.h"

namespace containerbuilder::client {

// The events of one build over as many calls as it takes; Client::Build and
// Client::Watch tell the rules.
class ResumingEventSource final : public BuildEventSource {
 public:
  // Build, and then WatchBuild. The request has a request_id.
  ResumingEventSource(std::shared_ptr<Connection> connection,
                      std::shared_ptr<Platform> platform, ResumeOptions options,
                      v1::BuildRequest request);
  // WatchBuild alone.
  ResumingEventSource(std::shared_ptr<Connection> connection,
                      std::shared_ptr<Platform> platform, ResumeOptions options,
                      v1::WatchBuildRequest request);
  // May block for as long as one CancelBuild: five seconds.
  ~ResumingEventSource() override;

  std::optional<v1::BuildEvent> Next() override;
  absl::Status Finish() override { return end_.value_or(absl::OkStatus()); }
  void Cancel() override;

 private:
  // Makes the next call; answers what the events end with, where there is to
  // be none.
  std::optional<absl::Status> OpenCall();
  void CloseCall();
  absl::Status Take(const v1::BuildEvent& event);
  // Waits until it is time for another call; answers what the events end
  // with, where there is to be none.
  std::optional<absl::Status> WaitToResume(absl::Status end_of_call);
  // With mutex_ held.
  void StartCancelBuild();
  void CancelBuild(const v1::CancelBuildRequest& request);

  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<Platform> platform_;
  const absl::Duration limit_;

  std::optional<absl::Status> end_;  // the reading thread's own

  std::mutex mutex_;
  // Written by the reading thread with mutex_ held, and so read by it without.
  std::unique_ptr<BuildEventSource> source_;
  ResumeState state_;  // guarded by mutex_

  absl::Notification cancel_requested_;
  absl::Notification cancel_done_;  // or of no use any more
  absl::Notification never_;
  std::jthread canceller_;  // joined before anything else goes
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_RESUMING_EVENT_SOURCE_H_
