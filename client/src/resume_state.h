#ifndef CONTAINERBUILDER_CLIENT_RESUME_STATE_H_
#define CONTAINERBUILDER_CLIENT_RESUME_STATE_H_

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "containerbuilder/client/platform.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "retry.h"

namespace containerbuilder::client {

// The service stops the build whether or not its end is waited for, and the
// events tell of that end; so a CancelBuild that is sent for a stream is not
// waited for any longer.
inline constexpr absl::Duration kCancelBuildWait = absl::Seconds(5);

struct ResumeOptions {
  // Of trying without getting an event.
  absl::Duration limit;
  // Also where the first try finds no service.
  bool wait_for_ready;
  // False: the first call is the only one, however it ends.
  bool resumes = true;
};

// One build that is followed over as many calls as it takes: what the next one
// asks for, and what the end of one means. Client::Build and Client::Watch tell
// the rules. Not thread-safe.
class ResumeState {
 public:
  // Build, and then WatchBuild. The request has a request_id where it resumes.
  // `platform` must outlive this.
  ResumeState(Platform& platform, ResumeOptions options,
              v1::BuildRequest request);
  // WatchBuild alone.
  ResumeState(Platform& platform, ResumeOptions options,
              v1::WatchBuildRequest request);

  // The next call is Build with this, where it is set; else WatchBuild with
  // watch().
  const v1::BuildRequest* build() const {
    return watch_.name().empty() ? &*build_ : nullptr;
  }
  const v1::WatchBuildRequest& watch() const { return watch_; }

  // Takes note of an event; an error where it does not follow the last one.
  absl::Status Take(const v1::BuildEvent& event);
  // `finished` came.
  bool finished() const { return finished_; }

  // The caller wants it to stop.
  void Cancel() { cancelled_ = true; }
  bool cancelled() const { return cancelled_; }
  // Nobody knows whether CancelBuild was taken, so it may be sent once more.
  void AllowCancel() { cancelled_ = false; }
  // Whether CancelBuild can stop it; else the end of the call does.
  bool HasBuildToCancel() const {
    return options_.resumes && build_.has_value() && !watch_.name().empty();
  }
  // CancelBuild was refused, which the events are to end with.
  void FailCancel(absl::Status refusal) { cancel_error_ = std::move(refusal); }

  // Before a call: what the events end with, where there is to be none.
  std::optional<absl::Status> EndBeforeCall() const;

  // After a call without `finished`.
  struct Next {
    // What the events end with; nothing: there is to be another call.
    std::optional<absl::Status> end;
    absl::Duration delay;  // before it
  };
  // `reached`: whether the call got to the service, as far as that is known.
  Next AfterCall(absl::Status end_of_call, bool reached);

 private:
  bool IsResumable(const absl::Status& end_of_call) const;

  Platform& platform_;
  const ResumeOptions options_;
  const std::optional<v1::BuildRequest> build_;
  v1::WatchBuildRequest watch_;  // of the next call; no name: not known yet
  bool is_first_call_ = true;
  bool joined_ = false;     // something came, if only a heartbeat
  bool any_event_ = false;  // with a sequence
  bool finished_ = false;
  bool cancelled_ = false;
  std::optional<absl::Status> cancel_error_;
  std::optional<Retry> retry_;  // since the connection was lost
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_RESUME_STATE_H_
