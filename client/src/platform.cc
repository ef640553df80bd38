#include "containerbuilder/client/platform.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace containerbuilder::client {
namespace {

// Of gRPC, whose threads it uses.
class AlarmTimer final : public Timer {
 public:
  AlarmTimer(absl::Duration duration, std::function<void()> then) {
    alarm_.Set(
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                     gpr_time_from_nanos(absl::ToInt64Nanoseconds(duration),
                                         GPR_TIMESPAN)),
        // What it holds goes here, and not where gRPC's alarm does.
        [then = std::move(then)](bool /*expired*/) mutable {
          std::exchange(then, nullptr)();
        });
  }
  void Hasten() override { alarm_.Cancel(); }

 private:
  grpc::Alarm alarm_;
};

class ThisMachine final : public Platform {
 public:
  std::chrono::steady_clock::time_point Now() override {
    return std::chrono::steady_clock::now();
  }

  void Wait(absl::Duration duration,
            const absl::Notification& interrupt) override {
    interrupt.WaitForNotificationWithTimeout(duration);
  }

  std::unique_ptr<Timer> After(absl::Duration duration,
                               std::function<void()> then) override {
    return std::make_unique<AlarmTimer>(duration, std::move(then));
  }

  std::uint64_t Random() override {
    std::uint64_t bits = 0;
    // Fails on kernels without getrandom(2) only.
    if (::getentropy(&bits, sizeof(bits)) != 0) {
      throw std::system_error(errno, std::generic_category(), "getentropy");
    }
    return bits;
  }
};

}  // namespace

std::shared_ptr<Platform> MakePlatform() {
  return std::make_shared<ThisMachine>();
}

}  // namespace containerbuilder::client
