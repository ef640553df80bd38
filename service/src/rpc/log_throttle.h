#ifndef CONTAINERBUILDER_RPC_LOG_THROTTLE_H_
#define CONTAINERBUILDER_RPC_LOG_THROTTLE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace containerbuilder::service {

// The lines about one thing: one in each interval, the others are counted.
class ThrottledLines {
 public:
  // Whether the last one is an interval ago.
  bool IsDue(absl::Time now, absl::Duration interval) const {
    return now < last_ || now >= last_ + interval;
  }
  // Whether to write a line now; how many were left out before it.
  std::optional<std::int64_t> Admit(absl::Time now, absl::Duration interval) {
    if (!IsDue(now, interval)) {
      ++left_out_;
      return std::nullopt;
    }
    last_ = now;
    return std::exchange(left_out_, 0);
  }
  // Tells of those that `other` left out as if they were its own.
  void TakeOver(const ThrottledLines& other) { left_out_ += other.left_out_; }

 private:
  absl::Time last_ = absl::InfinitePast();
  std::int64_t left_out_ = 0;
};

// Lets a line into the log every so often, so that strangers cannot fill the
// disk with it. Thread-safe.
class LogThrottle {
 public:
  explicit LogThrottle(absl::Duration interval) : interval_(interval) {}

  // Whether to write a line now; how many were left out before it.
  std::optional<std::int64_t> Admit(absl::Time now) {
    absl::MutexLock lock(&mutex_);
    return lines_.Admit(now, interval_);
  }

 private:
  const absl::Duration interval_;
  absl::Mutex mutex_;
  ThrottledLines lines_ ABSL_GUARDED_BY(mutex_);
};

// The same for each caller, so that none hides what is told of another.
// Thread-safe.
class CallerLogThrottle {
 public:
  // Callers beyond `most` at a time are one, together with those who are not
  // known.
  CallerLogThrottle(absl::Duration interval, std::size_t most)
      : interval_(interval), most_(most) {}

  // Whether to write a line now about that caller, of whom "" is nobody known;
  // how many were left out before it.
  std::optional<std::int64_t> Admit(const std::string& caller, absl::Time now) {
    absl::MutexLock lock(&mutex_);
    auto lines = callers_.find(caller);
    if (lines == callers_.end() && !caller.empty()) {
      if (callers_.size() >= most_) Forget(now);
      if (callers_.size() < most_) lines = callers_.try_emplace(caller).first;
    }
    return (lines == callers_.end() ? others_ : lines->second)
        .Admit(now, interval_);
  }

 private:
  // Those of whom a line may be written anyway.
  void Forget(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (auto lines = callers_.begin(); lines != callers_.end();) {
      const auto old = lines++;
      if (!old->second.IsDue(now, interval_)) continue;
      others_.TakeOver(old->second);
      callers_.erase(old);
    }
  }

  const absl::Duration interval_;
  const std::size_t most_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, ThrottledLines> callers_
      ABSL_GUARDED_BY(mutex_);
  ThrottledLines others_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_LOG_THROTTLE_H_
