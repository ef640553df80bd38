#ifndef CONTAINERBUILDER_RPC_CALLER_TURNS_H_
#define CONTAINERBUILDER_RPC_CALLER_TURNS_H_

#include <functional>
#include <memory>
#include <string>

#include "base/executor.h"

namespace containerbuilder::service {

// A way to an executor whose threads are few and whose work takes long: each
// caller has some work there at a time, and the rest of his waits behind that
// of others. Thread-safe.
class CallerTurns {
 public:
  // Of each caller, `most` at a time. `executor` must outlive the work, which
  // may outlive this.
  CallerTurns(Executor* executor, int most);

  // In the order of the caller's own.
  void Post(const std::string& caller, std::function<void()> work);

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CALLER_TURNS_H_
