#ifndef CONTAINERBUILDER_BUILD_BUILD_H_
#define CONTAINERBUILDER_BUILD_BUILD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "build/policy.h"
#include "build/progress_parser.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "journal/journal.h"
#include "process/process_runner.h"

namespace containerbuilder::service {

// Why a build is being stopped; the first one given is the one that counts.
enum class StopReason {
  kClientGone,
  kCancelledByCaller,
  kTimedOut,
  kShutdown,
  kLogFailed,  // its journal takes no more
};

// One build, from its admission to its end: it turns what its process does
// into events in its journal. Watchers read the journal; nothing is pushed to
// them. Thread-safe. Destroying the last reference removes its folder.
class Build final : public ProcessListener,
                    public std::enable_shared_from_this<Build> {
 public:
  // Makes `folder`, which must not exist, with the journal and a TMPDIR.
  // `executor` must outlive it.
  static absl::StatusOr<std::shared_ptr<Build>> Create(
      const std::string& id, AdmittedSpec spec,
      const google::protobuf::Map<std::string, std::string>& annotations,
      const std::string& requester, const std::string& folder,
      std::function<absl::Time()> now, Executor* executor);
  Build(const Build&) = delete;
  Build& operator=(const Build&) = delete;
  ~Build() override;

  // `builds/{id}`.
  const std::string& name() const { return name_; }
  const Journal& journal() const { return *journal_; }
  Journal& journal() { return *journal_; }
  v1::DisconnectPolicy disconnect_policy() const {
    return spec_.policy().disconnect_policy();
  }

  // Starts nerdctl with this environment beside the spec's. Blocks for that
  // alone. `on_end` is called once, after `finished` can be read, on any
  // thread, with the record as it stays. Call it once.
  void Start(ProcessRunner& runner, std::vector<std::string> environment,
             std::function<void(const v1::Build&)> on_end);

  // Begins to stop it; its end is told by its journal. Has no effect on an
  // ended build.
  void Stop(StopReason reason);

  void OnStart(std::int64_t pid) override;
  void OnOutput(OutputStream stream, absl::string_view data) override;
  void OnExit(const ExitStatus& status) override;

 private:
  Build(std::string name, AdmittedSpec spec, std::string folder,
        std::function<absl::Time()> now, Executor* executor,
        std::shared_ptr<Journal> journal);

  v1::BuildEvent NewEvent() const;
  // Writes an event down; stops the build where that fails.
  void Append(v1::BuildEvent event);
  void AppendSteps(std::vector<v1::BuildStep> steps);
  // The end: fills in the record, writes `finished`, calls on_end_.
  void Finish(v1::Build::State state, std::optional<v1::BuildFailure> failure);

  const std::string name_;
  const AdmittedSpec spec_;
  const std::string folder_;
  const std::function<absl::Time()> now_;
  Executor* const executor_;
  const std::shared_ptr<Journal> journal_;

  // Used by Start and then by the process's serialized calls alone.
  std::vector<std::string> argv_;
  v1::Build record_;
  ProgressParser progress_;
  absl::Status log_error_;
  std::function<void(const v1::Build&)> on_end_;

  absl::Mutex mutex_;
  std::optional<StopReason> stop_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Process> process_ ABSL_GUARDED_BY(mutex_);
  Executor::Timer timeout_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_BUILD_H_
