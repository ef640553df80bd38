#ifndef CONTAINERBUILDER_CLI_INTERRUPT_H_
#define CONTAINERBUILDER_CLI_INTERRUPT_H_

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

namespace containerbuilder::cli {

// SIGINT, SIGTERM and SIGHUP, kept from ending this process: blocked in this
// thread and in all that it starts later, so make it before there are others. A
// signal that was ignored already, as the shell does for background jobs,
// stays so.
class InterruptSignals {
 public:
  InterruptSignals();
  const sigset_t& set() const { return set_; }

 private:
  sigset_t set_;
};

// While it exists the first interrupt is answered by `cancel`, which is told
// the signal, on a thread of its own, and the second, or SIGHUP, ends the
// process at once, but for what `leave` does first.
class InterruptWatch {
 public:
  InterruptWatch(
      const InterruptSignals& signals, std::function<void(int signal)> cancel,
      std::function<void()> leave = [] {});
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

  // The first interrupt; 0 when there was none.
  int signal() const { return signal_; }

 private:
  void Watch();

  const std::function<void(int signal)> cancel_;
  const std::function<void()> leave_;
  const int signal_fd_;
  const int stop_fd_;
  std::atomic<int> signal_ = 0;
  std::jthread thread_;
};

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_INTERRUPT_H_
