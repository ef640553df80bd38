#include "containerbuilder/client/platform.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace containerbuilder::client {
namespace {

class ThisMachine final : public Platform {
 public:
  std::chrono::steady_clock::time_point Now() override {
    return std::chrono::steady_clock::now();
  }

  void Wait(absl::Duration duration,
            const absl::Notification& interrupt) override {
    interrupt.WaitForNotificationWithTimeout(duration);
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
