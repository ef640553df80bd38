#ifndef CONTAINERBUILDER_BASE_EXECUTOR_H_
#define CONTAINERBUILDER_BASE_EXECUTOR_H_

#include <functional>
#include <memory>

#include "absl/time/time.h"

namespace containerbuilder::service {

// Threads for work that may block (files, probes, starting processes), which
// must not happen on gRPC's or the process runner's threads. Thread-safe.
class Executor {
 public:
  explicit Executor(int threads);
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  // Joins; drops timers and work that has not begun, so end the users first.
  ~Executor();

  void Post(std::function<void()> work);

  // Runs `work` after `delay` unless the answer is reset or destroyed first;
  // work that has just begun is not waited for. Must not outlive the executor.
  using Timer = std::shared_ptr<void>;
  [[nodiscard]] Timer After(absl::Duration delay, std::function<void()> work);

 private:
  struct Pool;
  std::unique_ptr<Pool> pool_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_EXECUTOR_H_
