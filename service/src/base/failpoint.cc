#include "base/failpoint.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"

namespace containerbuilder::service {
namespace {

// What the environment asks for.
class Armed {
 public:
  Armed() {
    const char* text = std::getenv("CONTAINER_BUILDER_FAILPOINT");
    if (text == nullptr) return;
    const absl::string_view wanted = text;
    const std::size_t colon = wanted.find(':');
    name_ = std::string(wanted.substr(0, colon));
    std::int64_t count = 1;
    if (colon != absl::string_view::npos &&
        (!absl::SimpleAtoi(wanted.substr(colon + 1), &count) || count < 1)) {
      std::fprintf(stderr, "CONTAINER_BUILDER_FAILPOINT=%s: not NAME[:COUNT]\n",
                   text);
      std::abort();
    }
    left_ = count;
  }

  void Pass(absl::string_view name) {
    if (name_.empty() || name != name_ || --left_ != 0) return;
    kill(getpid(), SIGKILL);
    // The signal may be taken by another thread; this one goes no further.
    while (true) pause();
  }

 private:
  std::string name_;
  std::atomic<std::int64_t> left_ = 0;
};

}  // namespace

void PassFailpoint(absl::string_view name) {
  static Armed armed;
  armed.Pass(name);
}

}  // namespace containerbuilder::service
