#ifndef CONTAINERBUILDER_BUILD_BUILD_H_
#define CONTAINERBUILDER_BUILD_BUILD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "build/policy.h"
#include "build/progress_parser.h"
#include "build/tree_copy.h"
#include "containerbuilder/storage/v1/build_record.pb.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "journal/journal.h"
#include "process/process_runner.h"
#include "secrets/redactor.h"
#include "secrets/secret_folder.h"

namespace containerbuilder::service {

// Why a build is being stopped; the first one given is the one that counts.
enum class StopReason {
  kClientGone,
  kCancelledByCaller,
  kTimedOut,
  kExpired,  // only while it waits
  kShutdown,
  kLogLimit,
  kNoSpace,
  kLogFailed,  // its journal takes no more
};

// How a build that was stopped ends, and what it says about it.
struct StopOutcome {
  v1::Build::State state;
  v1::BuildFailure failure;
};
StopOutcome OutcomeOf(StopReason reason, const absl::Status& log_error);

// The environment entry by which a build's processes are found.
std::string BuildMark(absl::string_view name);

// The spec as it may be kept and shown: what stands for a secret is `***`.
v1::BuildSpec MaskedSpec(v1::BuildSpec spec);

// One build, from its admission to its end: it turns what its process does
// into events in its journal. Watchers read the journal; nothing is pushed to
// them. Thread-safe.
class Build final : public ProcessListener,
                    public std::enable_shared_from_this<Build> {
 public:
  // What it needs of the service around it. What it points to must outlive
  // the build's end; none of the functions may call the build.
  struct Surroundings {
    std::function<absl::Time()> now;
    // For ends, timers and records: what may wait for the disk.
    Executor* executor = nullptr;
    std::int64_t max_log_bytes = 0;
    // Whether the disk has room for more output.
    std::function<bool()> has_room;
    // What is left of the disk is for the ends of builds. Cheap.
    std::function<bool()> disk_is_full;
    // Where what it has by value is while it runs; null where it has nothing.
    const SecretFolder* secret_folder = nullptr;
    // Builds for callers who are not trusted do without the logins of the
    // service's own user.
    bool share_registry_logins = false;
    // Keeps a record of the build, as it is now.
    std::function<void(const storage::v1::BuildRecord&)> keep;
    // Called once, when `finished` can be read and nothing runs any more.
    std::function<void(const std::shared_ptr<Build>&)> on_end;
    // For copying outputs to their places, and how much that may be.
    Executor* copies = nullptr;
    std::function<TreeCopier::Limits()> copy_limits;
    // Let go with the build, which keeps its request until then: what that
    // takes of its caller's memory. Null where that is not counted, and for
    // those that an earlier run admitted: they are here whoever else is.
    std::shared_ptr<void> held = nullptr;
  };

  // Who is attached to it; see DisconnectPolicy.
  enum class Attachment { kBuildCall, kWatch };

  // A build that waits. `record` is how it was admitted, `journal` has it on
  // disk, `folder` is the build's own.
  static std::shared_ptr<Build> Create(storage::v1::BuildRecord record,
                                       AdmittedSpec spec,
                                       std::shared_ptr<Journal> journal,
                                       std::string folder,
                                       Surroundings surroundings);
  Build(const Build&) = delete;
  Build& operator=(const Build&) = delete;

  // `builds/{id}`.
  const std::string& name() const { return name_; }
  const std::string& requester() const { return requester_; }
  const std::shared_ptr<Journal>& journal() const { return journal_; }

  // Whether it has something by value that is to be hidden, which takes its
  // time at the start.
  bool has_secrets() const;

  // Order of arrival among all builds.
  std::int64_t arrival() const;

  // The build as it is now: a state is told once it is on disk, and not later
  // than its event.
  v1::Build Snapshot() const;

  // Begins the time that it may wait. Call it once, when it can be started and
  // ended.
  void Wait();

  // Tells its watchers where in the queue it is, 1 being next, unless it was
  // told them or it waits no more.
  void TellPosition(int position);

  // Starts nerdctl with this environment beside the spec's; a build that is
  // being stopped stays as it is. Blocks for that and for the disk.
  void Start(ProcessRunner& runner, std::vector<std::string> environment);

  // Begins to stop it; its end is told by its journal. Has no effect on an
  // ended build; false where it is parked and so has none either.
  bool Stop(StopReason reason);

  // What is being stopped is killed now.
  void CutGraceShort();

  // Leaves a build that waits to the next start of the service: it stays as it
  // is, and its watchers end with `why`. False where it waits no more.
  bool Park(const absl::Status& why);

  // Counts somebody in until the answer is destroyed.
  [[nodiscard]] std::shared_ptr<void> Attach(Attachment attachment);

  // Calls `on_end` once it has ended and is recorded as ended, on any thread;
  // false where it has, and `on_end` is dropped.
  bool WhenEnded(std::function<void()> on_end);
  // The engine says so, when it has recorded it.
  void TellEnded();

  void OnStart(std::int64_t pid) override;
  void OnOutput(OutputStream stream, absl::string_view data) override;
  void OnExit(const ExitStatus& status) override;

 private:
  // Each is left for a later one only.
  enum class Phase { kWaiting, kParked, kStarting, kRunning, kEnding, kEnded };

  Build(storage::v1::BuildRecord record, AdmittedSpec spec,
        std::shared_ptr<Journal> journal, std::string folder,
        Surroundings surroundings);

  Command MakeCommand(std::vector<std::string> environment) const;
  void Detach(Attachment attachment);
  void StartLinger() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Writes the record down as it is now.
  void Keep();

  // Whether the service's logins are not for it, and it has none of its own.
  bool DoesWithoutLogins() const;
  // What it gets in their place; gone when it ends.
  std::string NoLoginsFolder() const;
  // Writes the files of secrets and logins, and makes what hides the secrets.
  absl::Status PrepareCredentials();
  // Writes down what a stream printed, without its secrets.
  void Relay(OutputStream stream, absl::string_view data);
  void RelayChunk(OutputStream stream, absl::string_view data);
  Redactor* RedactorOf(OutputStream stream);

  std::string StagingFolder() const;
  v1::BuildEvent NewEvent() const;
  // Writes an event down; where that fails, stops the build and is false.
  bool Append(v1::BuildEvent event, bool synced = false);
  void AppendSteps(std::vector<v1::BuildStep> steps);
  void End(ExitStatus status);
  // What it wrote goes to its places, and then it has succeeded.
  void Deliver();
  absl::Status DeliverAll(const TreeCopier::Limits& limits);
  // Looks now and then whether the disk has room for what nerdctl writes.
  void WatchRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The end: fills in the record, writes `finished`, tells on_end.
  void Finish(v1::Build::State state, std::optional<v1::BuildFailure> failure);

  const std::string name_;
  const std::string requester_;
  const AdmittedSpec spec_;
  const std::shared_ptr<Journal> journal_;
  const std::string folder_;
  const Surroundings surroundings_;

  // Used by Start and then by the process's serialized calls alone.
  std::vector<std::string> argv_;
  ProgressParser progress_;
  // Where its output may have secrets in it.
  std::optional<Redactor> stdout_redactor_;
  std::optional<Redactor> stderr_redactor_;
  bool log_closed_ = false;  // no more output is written down
  std::int64_t unchecked_bytes_ = 0;

  // Held while a position is written, so that none comes after `started`.
  absl::Mutex position_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  int position_ ABSL_GUARDED_BY(position_mutex_) = 0;  // told last
  // Held while the record is written, so that the newest comes last.
  absl::Mutex keep_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);

  mutable absl::Mutex mutex_;
  storage::v1::BuildRecord record_ ABSL_GUARDED_BY(mutex_);
  // Of `started`; and the build as `finished` tells it, from when that is
  // about to be written.
  std::int64_t started_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<v1::Build> ended_ ABSL_GUARDED_BY(mutex_);
  Phase phase_ ABSL_GUARDED_BY(mutex_) = Phase::kWaiting;
  std::optional<StopReason> stop_ ABSL_GUARDED_BY(mutex_);
  bool grace_cut_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status log_error_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Process> process_ ABSL_GUARDED_BY(mutex_);
  int build_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  int watches_ ABSL_GUARDED_BY(mutex_) = 0;
  Executor::Timer queue_ttl_ ABSL_GUARDED_BY(mutex_);
  Executor::Timer timeout_ ABSL_GUARDED_BY(mutex_);
  Executor::Timer linger_ ABSL_GUARDED_BY(mutex_);
  Executor::Timer room_ ABSL_GUARDED_BY(mutex_);
  bool end_told_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::function<void()>> when_ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_BUILD_H_
