#ifndef CONTAINERBUILDER_RPC_RATE_LIMITER_H_
#define CONTAINERBUILDER_RPC_RATE_LIMITER_H_

#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace containerbuilder::service {

// A bucket of tokens for each caller: calls take one, and they come back at a
// steady rate. Thread-safe.
class RateLimiter {
 public:
  // 0: no limit. A full bucket holds limits::kCallBurst of it.
  explicit RateLimiter(int calls_per_second)
      : calls_per_second_(calls_per_second) {}

  // Zero where the call may go on, else the time until the next one may.
  absl::Duration Take(const std::string& caller, absl::Time now);

  // For calls to come.
  void SetRate(int calls_per_second);

 private:
  struct Bucket {
    double calls;
    absl::Time at;
  };

  double Filled(const Bucket& bucket, absl::Time now) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetFull(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  int calls_per_second_ ABSL_GUARDED_BY(mutex_);
  // A caller without one has a full one.
  absl::flat_hash_map<std::string, Bucket> buckets_ ABSL_GUARDED_BY(mutex_);
  std::size_t forget_at_ ABSL_GUARDED_BY(mutex_) = 1024;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_RATE_LIMITER_H_
