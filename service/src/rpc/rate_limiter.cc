#include "rpc/rate_limiter.h"

#include <algorithm>

#include "base/limits.h"

namespace containerbuilder::service {

absl::Duration RateLimiter::Take(const std::string& caller, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (calls_per_second_ <= 0) return absl::ZeroDuration();
  if (buckets_.size() >= forget_at_) ForgetFull(now);
  Bucket& bucket =
      buckets_
          .try_emplace(caller,
                       Bucket{calls_per_second_ * limits::kCallBurst, now})
          .first->second;
  bucket = {Filled(bucket, now), now};
  if (bucket.calls < 1) {
    return absl::Seconds((1 - bucket.calls) / calls_per_second_);
  }
  bucket.calls -= 1;
  return absl::ZeroDuration();
}

void RateLimiter::SetRate(int calls_per_second) {
  absl::MutexLock lock(&mutex_);
  calls_per_second_ = calls_per_second;
}

double RateLimiter::Filled(const Bucket& bucket, absl::Time now) const {
  // A clock that is set back takes nothing away.
  const double came =
      std::max(0.0, absl::ToDoubleSeconds(now - bucket.at)) * calls_per_second_;
  return std::min(calls_per_second_ * limits::kCallBurst, bucket.calls + came);
}

void RateLimiter::ForgetFull(absl::Time now) {
  absl::erase_if(buckets_, [this, now](const auto& entry) {
    return Filled(entry.second, now) >= calls_per_second_ * limits::kCallBurst;
  });
  // Not at each call where nearly all are in use.
  forget_at_ = std::max<std::size_t>(1024, 2 * buckets_.size());
}

}  // namespace containerbuilder::service
