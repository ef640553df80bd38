#ifndef CONTAINERBUILDER_CLIENT_PLATFORM_H_
#define CONTAINERBUILDER_CLIENT_PLATFORM_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace containerbuilder::client {

// Something to be done later. Destroying it hastens it, too.
class Timer {
 public:
  virtual ~Timer() = default;
  // Has it done now. From any thread; harmless once it was done.
  virtual void Hasten() = 0;
};

// What the library takes from the machine: time, waiting and chance. Replace
// it to test a program's retries without waiting for them. Thread-safe.
class Platform {
 public:
  virtual ~Platform() = default;
  // Time that no clock change moves.
  virtual std::chrono::steady_clock::time_point Now() = 0;
  // Blocks for that long, or until `interrupt` is notified.
  virtual void Wait(absl::Duration duration,
                    const absl::Notification& interrupt) = 0;
  // Calls `then` once, after that long or when the timer is hastened, on
  // another thread and never from within this call.
  virtual std::unique_ptr<Timer> After(absl::Duration duration,
                                       std::function<void()> then) = 0;
  // Random bits that cannot be guessed.
  virtual std::uint64_t Random() = 0;
};

// The machine this runs on.
std::shared_ptr<Platform> MakePlatform();

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_PLATFORM_H_
