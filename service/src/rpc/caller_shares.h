#ifndef CONTAINERBUILDER_RPC_CALLER_SHARES_H_
#define CONTAINERBUILDER_RPC_CALLER_SHARES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "base/executor.h"

namespace containerbuilder::service {

// Of something that there is not much of, such as memory: what each caller has
// of it. Thread-safe.
class CallerShares {
 public:
  CallerShares();

  // 0 is no limit.
  struct Limits {
    std::int64_t of_caller = 0;
    std::int64_t of_all = 0;
  };

  // So much more, not nothing, is the caller's, until the answer goes, which
  // may outlive this. Null where that would be more than a limit.
  std::shared_ptr<void> Take(const std::string& caller, std::int64_t amount,
                             const Limits& limits);

  // Blocks until nobody has anything, or for `longest`, which `timers`
  // measures.
  void AwaitNone(Executor& timers, absl::Duration longest);

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CALLER_SHARES_H_
