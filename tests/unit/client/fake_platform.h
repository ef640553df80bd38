#ifndef CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_PLATFORM_H_
#define CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_PLATFORM_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "containerbuilder/client/platform.h"

namespace containerbuilder::test_support {

// Waiting takes no time, but the clock says that it did. Join it before the end
// where timers were set.
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

  std::unique_ptr<client::Timer> After(absl::Duration duration,
                                       std::function<void()> then) override {
    const std::lock_guard lock(mutex_);
    const auto hastened = std::make_shared<Hastened>();
    if (duration > absl::ZeroDuration()) {
      waits_.push_back(duration);
      now_ += absl::ToChronoNanoseconds(duration);
      waited_.notify_all();
    }
    if (duration <= absl::ZeroDuration() || !hold_timers_) hastened->Hasten();
    timers_.emplace_back([hastened, then = std::move(then)]() mutable {
      hastened->Wait();
      std::exchange(then, nullptr)();
    });
    return std::make_unique<FakeTimer>(hastened);
  }

  // Waits until all that is to be done later is done.
  void Join() {
    while (true) {
      std::vector<std::thread> timers;
      {
        const std::lock_guard lock(mutex_);
        timers.swap(timers_);
      }
      if (timers.empty()) return;
      for (std::thread& timer : timers) timer.join();
    }
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
  // Blocks until there were so many; false: not within a minute.
  bool AwaitWaits(std::size_t count) {
    std::unique_lock lock(mutex_);
    return waited_.wait_for(lock, std::chrono::minutes(1),
                            [&] { return waits_.size() >= count; });
  }
  void set_on_wait(std::function<void(const absl::Notification&)> on_wait) {
    const std::lock_guard lock(mutex_);
    on_wait_ = std::move(on_wait);
  }
  // Timers that wait do so until they are hastened.
  void set_hold_timers(bool hold_timers) {
    const std::lock_guard lock(mutex_);
    hold_timers_ = hold_timers;
  }

 private:
  class Hastened {
   public:
    void Hasten() {
      const std::lock_guard lock(mutex_);
      if (!done_.HasBeenNotified()) done_.Notify();
    }
    void Wait() { done_.WaitForNotification(); }

   private:
    std::mutex mutex_;
    absl::Notification done_;
  };
  class FakeTimer final : public client::Timer {
   public:
    explicit FakeTimer(std::shared_ptr<Hastened> hastened)
        : hastened_(std::move(hastened)) {}
    ~FakeTimer() override { hastened_->Hasten(); }
    void Hasten() override { hastened_->Hasten(); }

   private:
    const std::shared_ptr<Hastened> hastened_;
  };

  mutable std::mutex mutex_;
  std::condition_variable waited_;  // for After
  std::chrono::steady_clock::time_point now_;
  std::vector<absl::Duration> waits_;
  std::uint64_t random_ = 1;
  std::function<void(const absl::Notification&)> on_wait_;
  bool hold_timers_ = false;
  std::vector<std::thread> timers_;
};

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_UNIT_CLIENT_FAKE_PLATFORM_H_
