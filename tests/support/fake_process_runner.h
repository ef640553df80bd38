#ifndef CONTAINERBUILDER_TESTS_SUPPORT_FAKE_PROCESS_RUNNER_H_
#define CONTAINERBUILDER_TESTS_SUPPORT_FAKE_PROCESS_RUNNER_H_

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "process/process_runner.h"

namespace containerbuilder::test_support {

// A ProcessRunner that starts nothing and answers from a script. Programs are
// named by their command line with no folder before the program: `nerdctl
// build --help`. One that the script does not name is not found. Thread-safe.
class FakeProcessRunner : public service::ProcessRunner {
 public:
  struct Answer {
    std::string stdout_data = "";
    std::string stderr_data = "";
    service::ExitStatus status = {};
  };

  // The program prints this and ends, all within Start.
  void Set(absl::string_view command_line, Answer answer) {
    absl::MutexLock lock(&mutex_);
    script_.insert_or_assign(std::string(command_line),
                             Entry{std::move(answer), absl::OkStatus(), false});
  }

  // It cannot be started.
  void Refuse(absl::string_view command_line, absl::Status status) {
    absl::MutexLock lock(&mutex_);
    script_.insert_or_assign(std::string(command_line),
                             Entry{{}, std::move(status), false});
  }

  // From now on it prints and ends only when Release says so; it can be
  // stopped, too. It must be in the script.
  void Hold(absl::string_view command_line) {
    absl::MutexLock lock(&mutex_);
    script_.at(std::string(command_line)).held = true;
  }

  // Lets those that are held end, and later ones end at once.
  void Release(absl::string_view command_line) {
    std::vector<std::shared_ptr<Running>> released;
    Answer answer;
    {
      absl::MutexLock lock(&mutex_);
      Entry& entry = script_.at(std::string(command_line));
      entry.held = false;
      answer = entry.answer;
      std::swap(released, held_[std::string(command_line)]);
    }
    for (const auto& process : released) process->End(answer);
  }

  // Waits until so many programs of that command line were started.
  void AwaitStarts(absl::string_view command_line, int count) {
    absl::MutexLock lock(&mutex_);
    const auto is_reached = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return StartsLocked(command_line) >= count;
    };
    mutex_.Await(absl::Condition(&is_reached));
  }

  int Starts(absl::string_view command_line) const {
    absl::MutexLock lock(&mutex_);
    return StartsLocked(command_line);
  }

  // Everything that was to be started, in that order.
  std::vector<service::Command> commands() const {
    absl::MutexLock lock(&mutex_);
    return commands_;
  }

  absl::StatusOr<std::shared_ptr<service::Process>> Start(
      const service::Command& command,
      std::shared_ptr<service::ProcessListener> listener) override {
    Answer answer;
    auto process = std::make_shared<Running>(std::move(listener));
    {
      absl::MutexLock lock(&mutex_);
      commands_.push_back(command);
      const std::string line = CommandLine(command);
      const auto entry = script_.find(line);
      if (entry == script_.end()) {
        return absl::NotFoundError(absl::StrCat("not in the script: ", line));
      }
      if (!entry->second.error.ok()) return entry->second.error;
      process->Begin();
      if (entry->second.held) {
        held_[line].push_back(process);
        return process;
      }
      answer = entry->second.answer;
    }
    process->End(answer);
    return process;
  }

 private:
  struct Entry {
    Answer answer;
    absl::Status error;
    bool held = false;
  };

  class Running : public service::Process {
   public:
    explicit Running(std::shared_ptr<service::ProcessListener> listener)
        : listener_(std::move(listener)) {}

    void Begin() { listener_->OnStart(1); }

    void End(const Answer& answer) {
      {
        absl::MutexLock lock(&mutex_);
        if (ended_) return;
        ended_ = true;
      }
      // The listener may stop it for what it hears.
      if (!answer.stdout_data.empty()) {
        listener_->OnOutput(service::OutputStream::kStdout, answer.stdout_data);
      }
      if (!answer.stderr_data.empty()) {
        listener_->OnOutput(service::OutputStream::kStderr, answer.stderr_data);
      }
      listener_->OnExit(answer.status);
    }

    void Stop(absl::Duration) override {
      End({.status = {.term_signal = 15, .killed = true}});
    }

   private:
    const std::shared_ptr<service::ProcessListener> listener_;
    absl::Mutex mutex_;
    bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  };

  static std::string CommandLine(const service::Command& command) {
    const std::string line = absl::StrJoin(command.argv, " ");
    const std::size_t program_end = std::min(line.find(' '), line.size());
    const std::size_t slash = line.rfind('/', program_end);
    return slash == std::string::npos ? line : line.substr(slash + 1);
  }

  int StartsLocked(absl::string_view command_line) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return static_cast<int>(std::count_if(
        commands_.begin(), commands_.end(), [&](const auto& command) {
          return CommandLine(command) == command_line;
        }));
  }

  mutable absl::Mutex mutex_;
  std::map<std::string, Entry> script_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<std::shared_ptr<Running>>> held_
      ABSL_GUARDED_BY(mutex_);
  std::vector<service::Command> commands_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_SUPPORT_FAKE_PROCESS_RUNNER_H_
