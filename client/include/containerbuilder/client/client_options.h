#ifndef CONTAINERBUILDER_CLIENT_CLIENT_OPTIONS_H_
#define CONTAINERBUILDER_CLIENT_CLIENT_OPTIONS_H_

#include <string>

#include "absl/time/time.h"

namespace containerbuilder::client {

// How to reach a service.
struct ClientOptions {
  // `unix:///path/to.sock`, `unix:path` or `host:port`.
  std::string address = "unix:///run/container-builder/container-builder.sock";
  // Per call of Health and ConstructArgs. Build has no deadline of its own:
  // use BuildPolicy.timeout for that.
  absl::Duration timeout = absl::Seconds(30);
  // Health and ConstructArgs wait, within their timeout, for a service that
  // does not listen yet. False: they fail at once with UNAVAILABLE, as Build
  // always does.
  bool wait_for_ready = true;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_CLIENT_OPTIONS_H_
