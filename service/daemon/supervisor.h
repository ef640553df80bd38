#ifndef CONTAINERBUILDER_DAEMON_SUPERVISOR_H_
#define CONTAINERBUILDER_DAEMON_SUPERVISOR_H_

#include <string>

#include "absl/types/span.h"

namespace containerbuilder::daemon {

// Tells systemd, or who else set NOTIFY_SOCKET, how it stands with this
// process, by the protocol of sd_notify(3). Where nobody asked, or nobody
// listens any more, these do nothing.
class Supervisor {
 public:
  // `environment` has entries NAME=VALUE.
  explicit Supervisor(absl::Span<const std::string> environment);

  void Ready() const;
  // Ready again with the next Ready.
  void Reloading() const;
  void Stopping() const;

 private:
  void Tell(const std::string& state) const;

  std::string socket_;  // empty: nobody asked
};

}  // namespace containerbuilder::daemon

#endif  // CONTAINERBUILDER_DAEMON_SUPERVISOR_H_
