#ifndef CONTAINERBUILDER_CLIENT_BUILD_CALL_H_
#define CONTAINERBUILDER_CLIENT_BUILD_CALL_H_

#include "absl/status/status.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::client {

// Is told what one call of Build or WatchBuild brings, one thing at a time. Its
// methods must not throw.
class BuildCallReceiver {
 public:
  virtual ~BuildCallReceiver() = default;
  // The next event is not read before this returns.
  virtual void OnEvent(v1::BuildEvent event) = 0;
  // Last: how the call ended, and whether it reached the service, as far as
  // that is known.
  virtual void OnDone(const absl::Status& status, bool reached) = 0;
};

// One call of Build or WatchBuild that holds no thread. Implement it to test a
// program without a server.
class BuildCall {
 public:
  virtual ~BuildCall() = default;
  // Begins the call, without blocking. Once, and OnDone always comes of it.
  virtual void Start() = 0;
  // Ends the call: OnDone comes soon. From any thread, without blocking; also
  // before Start.
  virtual void Cancel() = 0;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_BUILD_CALL_H_
