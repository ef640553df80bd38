#ifndef CONTAINERBUILDER_BUILD_HEALTH_H_
#define CONTAINERBUILDER_BUILD_HEALTH_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "build/toolchain.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// How many builds run and wait.
struct QueueState {
  int running = 0;
  int queued = 0;
  int max_queued = 0;
  bool full = false;
  bool draining = false;  // no more are taken
};

// Looks at everything that a build needs; see HealthResponse. Thread-safe.
class HealthChecker {
 public:
  // `toolchain` must outlive it. `state_folder` is what the disk check looks
  // at: less free than `min_free_bytes`, and no build is taken; nor where
  // `check_state` has an error, which tells what has become of it. That and
  // `queue` are asked at each look.
  HealthChecker(Toolchain* toolchain, std::string state_folder,
                std::int64_t min_free_bytes,
                std::function<absl::Status()> check_state,
                std::function<QueueState()> queue);

  // Blocks while it asks, at most some limits::kProbeTimeout. An answer not
  // older than `freshness` is shared; simultaneous callers wait for one look.
  v1::HealthResponse Check(absl::Duration freshness);

 private:
  v1::HealthResponse Look() const;

  Toolchain* const toolchain_;
  const std::string state_folder_;
  const std::int64_t min_free_bytes_;
  const std::function<absl::Status()> check_state_;
  const std::function<QueueState()> queue_;

  absl::Mutex mutex_;
  // Somebody looks, without holding the mutex.
  bool looking_ ABSL_GUARDED_BY(mutex_) = false;
  std::int64_t looks_ ABSL_GUARDED_BY(mutex_) = 0;
  // The last look's end and answer, if there was one.
  absl::Time checked_ ABSL_GUARDED_BY(mutex_);
  v1::HealthResponse last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_HEALTH_H_
