#ifndef CONTAINERBUILDER_SERVICE_BUILD_WATCHER_H_
#define CONTAINERBUILDER_SERVICE_BUILD_WATCHER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

struct BuildWatch;

// The events of one build, read from its log on disk at the caller's own pace:
// one that is slow loses nothing, and neither holds back the build nor has it
// take memory. BuildEngine makes it, and must outlive it.
//
//   for (;;) {
//     absl::StatusOr<std::optional<v1::BuildEvent>> event = watcher.Next();
//     if (!event.ok()) return event.status();
//     if (!event->has_value()) break;  // `finished` was the last
//     Show(**event);
//   }
//
// It needs no thread of its own. Move-only. One thread at a time reads it;
// Cancel may come from any other, though not while it is moved or destroyed.
class BuildWatcher {
 public:
  BuildWatcher(BuildWatcher&&) noexcept;
  BuildWatcher& operator=(BuildWatcher&&) noexcept;
  // Cancels.
  ~BuildWatcher();

  // The build's, `builds/{id}`.
  const std::string& name() const;

  // Blocks for the next event until `deadline`; absl::InfinitePast() only
  // looks. Sequences are dense and `finished` comes last, then nothing. There
  // are no heartbeats.
  //
  //   DEADLINE_EXCEEDED  nothing came; ask again.
  //   CANCELLED          Cancel was called.
  //   UNAVAILABLE        DRAINING: the engine shut down while the build waited
  //                      for its turn. It waits on for the next engine.
  //   DATA_LOSS          JOURNAL_DAMAGED, naming the place.
  //
  // All but the first are for good.
  absl::StatusOr<std::optional<v1::BuildEvent>> Next(
      absl::Time deadline = absl::InfiniteFuture());

  // Stops watching, now and for good; what Next waits for does not come then.
  // The build goes on, unless its disconnect policy says otherwise, as that of
  // BuildEngine::Build does by default. Any number of times.
  void Cancel();

 private:
  friend class BuildEngine;
  class State;
  explicit BuildWatcher(BuildWatch watch);
  std::unique_ptr<State> state_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_BUILD_WATCHER_H_
