#ifndef CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_PLATFORM_H_
#define CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_PLATFORM_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "containerbuilder/client/platform.h"

namespace containerbuilder::test_support {

// Waiting takes no time, but the clock says that it did.
class FakePlatform final : public client::Platform {
 public:
  std::chrono::steady_clock::time_point Now() override {
    const std::lock_guard lock(mutex_);
    return now_;
  }

  void Wait(absl::Duration duration,
            const absl::Notification& interrupt) override {
    std::function<void(const absl::Notification&)> on_wait;
    {
      const std::lock_guard lock(mutex_);
      waits_.push_back(duration);
      now_ += absl::ToChronoNanoseconds(duration);
      on_wait = on_wait_;
    }
    if (on_wait) on_wait(interrupt);
  }

  std::uint64_t Random() override {
    const std::lock_guard lock(mutex_);
    return random_++ * 0x9e3779b97f4a7c15;
  }

  // How long each wait was.
  std::vector<absl::Duration> waits() const {
    const std::lock_guard lock(mutex_);
    return waits_;
  }
  void set_on_wait(std::function<void(const absl::Notification&)> on_wait) {
    const std::lock_guard lock(mutex_);
    on_wait_ = std::move(on_wait);
  }

 private:
  mutable std::mutex mutex_;
  std::chrono::steady_clock::time_point now_;
  std::vector<absl::Duration> waits_;
  std::uint64_t random_ = 1;
  std::function<void(const absl::Notification&)> on_wait_;
};

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_PLATFORM_H_
