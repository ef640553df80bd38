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
  InterruptSignals(const InterruptSignals&) = delete;
  InterruptSignals& operator=(const InterruptSignals&) = delete;
  const sigset_t& set() const { return set_; }

 private:
  friend class InterruptWatch;
  sigset_t set_;
  std::atomic<int> first_ = 0;  // the first that a watch took
};

// While it exists the first interrupt is answered by `cancel`, which is told
// the signal, on a thread of its own, and the second, or SIGHUP, ends the
// process at once, but for what `leave` does first. What an earlier watch of
// the same signals took counts: whoever looked at that one too early for it,
// learns of it by the next.
class InterruptWatch {
 public:
  InterruptWatch(
      InterruptSignals& signals, std::function<void(int signal)> cancel,
      std::function<void()> leave = [] {});
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

  // The first interrupt; 0 when there was none.
  int signal() const { return signals_.first_; }

 private:
  void Watch();

  InterruptSignals& signals_;
  const std::function<void(int signal)> cancel_;
  const std::function<void()> leave_;
  const int signal_fd_;
  const int stop_fd_;
  std::jthread thread_;
};

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_INTERRUPT_H_
