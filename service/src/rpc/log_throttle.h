#ifndef CONTAINERBUILDER_RPC_LOG_THROTTLE_H_
#define CONTAINERBUILDER_RPC_LOG_THROTTLE_H_

#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace containerbuilder::service {

// Lets a line into the log every so often, so that strangers cannot fill the
// disk with it. Thread-safe.
class LogThrottle {
 public:
  explicit LogThrottle(absl::Duration interval) : interval_(interval) {}

  // Whether to write a line now; how many were left out before it.
  std::optional<std::int64_t> Admit(absl::Time now) {
    absl::MutexLock lock(&mutex_);
    if (now >= last_ && now < last_ + interval_) {
      ++left_out_;
      return std::nullopt;
    }
    last_ = now;
    const std::int64_t left_out = left_out_;
    left_out_ = 0;
    return left_out;
  }

 private:
  const absl::Duration interval_;
  absl::Mutex mutex_;
  absl::Time last_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::int64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_LOG_THROTTLE_H_
