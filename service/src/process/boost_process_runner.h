#ifndef CONTAINERBUILDER_PROCESS_BOOST_PROCESS_RUNNER_H_
#define CONTAINERBUILDER_PROCESS_BOOST_PROCESS_RUNNER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "process/process_runner.h"

namespace containerbuilder::service {

// ProcessRunner over posix_spawn, Boost.Process v2 and Asio, with I/O threads
// of its own. Linux only: it looks into /proc and uses pidfds.
//
// The program that holds it must leave SIGCHLD alone (neither ignore it nor
// reap children that it did not start): the exit status would be lost, and
// ExitStatus::exit_code is -1 then.
class BoostProcessRunner final : public ProcessRunner {
 public:
  struct Options {
    // At least 1.
    int io_threads = 2;
    // This process is a child subreaper, so orphaned descendants of commands
    // become its children: reap them. Only for a program whose children are
    // all started here.
    bool reap_orphans = false;
  };

  explicit BoostProcessRunner(Options options);
  BoostProcessRunner(const BoostProcessRunner&) = delete;
  BoostProcessRunner& operator=(const BoostProcessRunner&) = delete;
  // Stops what still runs, without grace, and waits for it: every listener has
  // got its OnExit. Not to be called by a listener.
  ~BoostProcessRunner() override;

  absl::StatusOr<std::shared_ptr<Process>> Start(
      const Command& command,
      std::shared_ptr<ProcessListener> listener) override;

 private:
  class Group;
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_PROCESS_BOOST_PROCESS_RUNNER_H_
