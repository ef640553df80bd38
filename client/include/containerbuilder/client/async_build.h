#ifndef CONTAINERBUILDER_CLIENT_ASYNC_BUILD_H_
#define CONTAINERBUILDER_CLIENT_ASYNC_BUILD_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::client {

// Is told of one build, by Client::BuildAsync or Client::WatchAsync.
//
// Its methods are called one at a time, on threads that all builds of the
// process share (gRPC 1.51: half as many as cores, from 2 to 16). So they must
// not block: what waits, as most calls of Client do, is for other threads. They
// must not throw either: that ends the process. An event is read once the one
// before it was taken; until then the service keeps it.
class BuildObserver {
 public:
  virtual ~BuildObserver() = default;
  // Every event once and in order, `finished` too.
  virtual void OnEvent(v1::BuildEvent event) = 0;
  // Last, and always: what the last element of a BuildStream would say, with
  // OK for SUCCEEDED.
  virtual void OnDone(const absl::Status& status) = 0;
};

// A build that is followed without a thread. Copies are of the same one.
// Destroying it changes nothing: the observer is told to the end. Thread-safe,
// and usable from within the observer.
class AsyncBuild {
 public:
  // What it is made of; internal.
  class Follower;
  explicit AsyncBuild(std::shared_ptr<Follower> follower)
      : follower_(std::move(follower)) {}

  // As BuildStream::Cancel: stops a build of BuildAsync and goes on to its
  // `finished`; ends a watch with CANCELLED. Does not block.
  void Cancel();

  // Ends the following: OnDone comes soon, with CANCELLED where `finished` was
  // not there yet. The build is left to its disconnect policy. Does not block.
  void Leave();

 private:
  std::shared_ptr<Follower> follower_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_ASYNC_BUILD_H_
