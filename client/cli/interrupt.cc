#include "interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

#include "exit_code.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

bool TakesOutput(int fd) {
  pollfd poll_fd{fd, POLLOUT, 0};
  return ::poll(&poll_fd, 1, 0) > 0;
}

int Checked(int fd) {
  if (fd < 0) throw std::system_error(errno, std::generic_category());
  return fd;
}

}  // namespace

InterruptSignals::InterruptSignals() {
  sigemptyset(&set_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) sigaddset(&set_, signal);
  }
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
}

InterruptWatch::InterruptWatch(InterruptSignals& signals,
                               std::function<void(int signal)> cancel,
                               std::function<void()> leave)
    : signals_(signals),
      cancel_(std::move(cancel)),
      leave_(std::move(leave)),
      signal_fd_(Checked(::signalfd(-1, &signals.set(), SFD_CLOEXEC))),
      stop_fd_(Checked(::eventfd(0, EFD_CLOEXEC))),
      thread_([this] { Watch(); }) {}

InterruptWatch::~InterruptWatch() {
  ::eventfd_write(stop_fd_, 1);
  thread_.join();
  ::close(stop_fd_);
  ::close(signal_fd_);
}

void InterruptWatch::Watch() {
  if (signal() != 0) cancel_(signal());
  while (true) {
    pollfd fds[] = {{stop_fd_, POLLIN, 0}, {signal_fd_, POLLIN, 0}};
    ::poll(fds, std::size(fds), -1);
    if (fds[0].revents != 0) return;
    signalfd_siginfo info;
    if (fds[1].revents == 0 ||
        ::read(signal_fd_, &info, sizeof(info)) != sizeof(info)) {
      continue;
    }
    const int number = static_cast<int>(info.ssi_signo);
    // A terminal that is gone asks for nothing to be stopped.
    if (signal() != 0 || number == SIGHUP) {
      leave_();
      ::_exit(SignalExitCode(number));
    }
    signals_.first_ = number;
    cancel_(number);
    // A reader that is stuck must not keep the second signal from working.
    if (TakesOutput(STDERR_FILENO)) {
      PrintMessage("cancelling; press Ctrl-C again to leave at once");
    }
  }
}

}  // namespace containerbuilder::cli
