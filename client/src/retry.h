#ifndef CONTAINERBUILDER_CLIENT_RETRY_H_
#define CONTAINERBUILDER_CLIENT_RETRY_H_

#include <chrono>
#include <optional>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "containerbuilder/client/platform.h"

namespace containerbuilder::client {

// Whether the same call may succeed later though nobody refused it:
// UNAVAILABLE from gRPC itself (no connection, or one that broke), from
// something between, or from a service that is stopping. An UNAVAILABLE with
// another reason of the service is its answer, and so is any other code.
bool IsWorthRetrying(const absl::Status& status);

// Whether a stream ended so because its connection was lost, or something
// between cut it: IsWorthRetrying, and codes of which the service told no
// reason: CANCELLED, UNKNOWN, INTERNAL (a stream that was reset, or cut within
// a message) and DEADLINE_EXCEEDED (there is none here).
bool IsLostCall(const absl::Status& status);

// Whether the service took no call of this caller just now, whatever it asks
// for: RATE_LIMITED, whose RetryInfo tells how long to wait.
bool IsRateLimited(const absl::Status& status);

// Whether an upload or a download may go on after a call that ended so:
// IsLostCall, or the service says that it may, later.
bool MayTransferGoOn(const absl::Status& status);

// One call, tried again: waits before each further try, 100 ms at first and
// doubled up to 5 s. A random part of that, up to half, is left out, so that
// many callers do not come back at once.
class Retry {
 public:
  // `platform` must outlive this. `limit` counts from here.
  Retry(Platform& platform, absl::Duration limit);

  // Since construction.
  absl::Duration Elapsed() const;

  // How long to wait before the next try, at least as long as the error's
  // RetryInfo asks; nothing where the limit would be over by then.
  std::optional<absl::Duration> NextDelay(const absl::Status& error);

  // Waits for that long, or until `interrupt` is notified. False, without
  // waiting, where there is to be no next try.
  bool Wait(const absl::Status& error, const absl::Notification& interrupt);

 private:
  absl::Duration NextBackoff();

  Platform& platform_;
  const absl::Duration limit_;
  const std::chrono::steady_clock::time_point start_;
  absl::Duration longest_delay_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_RETRY_H_
