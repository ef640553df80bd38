#ifndef CONTAINERBUILDER_BUILD_ENGINE_H_
#define CONTAINERBUILDER_BUILD_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/disk_reserve.h"
#include "base/executor.h"
#include "base/unique_fd.h"
#include "blobs/blob_store.h"
#include "blobs/blob_upload.h"
#include "build/build.h"
#include "build/disk_floor.h"
#include "build/health.h"
#include "build/host.h"
#include "build/policy.h"
#include "build/recovery.h"
#include "build/scheduler.h"
#include "build/state_folder.h"
#include "build/toolchain.h"
#include "build/tree_copy.h"
#include "containerbuilder/service/caller.h"
#include "containerbuilder/service/engine_options.h"
#include "containerbuilder/service/policy_options.h"
#include "containerbuilder/storage/v1/build_record.pb.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "journal/journal.h"
#include "process/process_runner.h"
#include "secrets/secret_folder.h"
#include "spdlog/logger.h"
#include "store/build_store.h"

namespace containerbuilder::service {

// How to follow a build: a place in its journal, and, for as long as it is
// kept, an attachment that its disconnect policy counts.
struct BuildWatch {
  std::string name;
  std::shared_ptr<Journal> journal;
  Journal::Cursor cursor;
  // Of the newest event when the watch began.
  std::int64_t last_sequence = 0;
  std::shared_ptr<void> attachment;

  // The journal's next event for this cursor; JOURNAL_DAMAGED for what it
  // calls DATA_LOSS.
  absl::StatusOr<std::optional<Journal::Entry>> Read();
};

// The service without its transport: takes requests through the policy, runs
// them in their turn, keeps what they said, and finds them again after a
// crash. Thread-safe; every call may block, but for a bounded time.
class Engine {
 public:
  // Takes up what an earlier run left: ends what still runs of it, and queues
  // what waited. On this machine, with a process runner of its own.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(EngineOptions options);
  // The same on any machine. `runner` must outlive it.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(EngineOptions options,
                                                        Host host,
                                                        ProcessRunner* runner);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  // Shuts down.
  ~Engine();

  // Whether the options' bounds make sense; INVALID_ARGUMENT names the one
  // that does not.
  static absl::Status Check(const EngineOptions& options);
  // Takes over those of the options, checked, that may change: how many builds
  // run and wait, how long a drain takes, and what is retained.
  void SetBounds(const EngineOptions& options);

  // Everything a build needs; an answer at most `freshness` old is shared.
  v1::HealthResponse Health(absl::Duration freshness);

  // Replaces options.policy for requests that come from now on; those that run
  // and wait are not looked at again. INVALID_ARGUMENT names the setting that
  // is wrong, and nothing is changed then.
  absl::Status SetPolicy(const PolicyOptions& options);

  // The arguments that a build of these options would run.
  absl::StatusOr<v1::ConstructArgsResponse> ConstructArgs(
      const v1::BuildOptions& options, const Caller& caller);

  // A request that is being admitted: until that is over, it counts as one of
  // the builds that wait, and of its caller's. Must not outlive the engine.
  class Place;
  // DRAINING, QUEUE_FULL or RATE_LIMITED where there is none; what joins a
  // build that is there needs none. A call that is sent again while the first
  // of its request id is still being admitted gets one in any case. `held` is
  // let go with the place, or with the build that it becomes. Does not block.
  absl::StatusOr<std::shared_ptr<Place>> TakePlace(
      const Caller& caller, const std::string& request_id,
      std::shared_ptr<void> held = nullptr) ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether a caller has gone, and nobody waits for the answer.
  using IsGone = std::function<bool()>;

  // Admits a build, or joins the one that this caller made by the same request
  // id, and attaches the caller to it. `place` is what TakePlace answered, or
  // it is asked here. `is_gone`, where it is not null, is asked while the
  // context of a build that ends with its calls is copied, which is given up
  // then; CANCELLED. Other builds are made all the same.
  absl::StatusOr<BuildWatch> StartBuild(
      absl::StatusOr<std::shared_ptr<Place>> place,
      const v1::BuildRequest& request, const Caller& caller,
      const IsGone& is_gone = nullptr);
  absl::StatusOr<BuildWatch> StartBuild(const v1::BuildRequest& request,
                                        const Caller& caller,
                                        const IsGone& is_gone = nullptr);
  // The same with nobody attached: the build is made whatever becomes of the
  // caller.
  absl::StatusOr<v1::Build> CreateBuild(
      absl::StatusOr<std::shared_ptr<Place>> place,
      const v1::CreateBuildRequest& request, const Caller& caller);
  absl::StatusOr<v1::Build> CreateBuild(const v1::CreateBuildRequest& request,
                                        const Caller& caller);

  // Joins a build behind the event `after_sequence`.
  absl::StatusOr<BuildWatch> WatchBuild(absl::string_view name,
                                        std::int64_t after_sequence,
                                        const Caller& caller);
  absl::StatusOr<v1::Build> GetBuild(absl::string_view name,
                                     const Caller& caller);
  absl::StatusOr<v1::ListBuildsResponse> ListBuilds(
      const v1::ListBuildsRequest& request, const Caller& caller);
  // Begins to stop the build and calls `on_end`, on any thread, when nothing
  // of it runs any more; also within the call.
  absl::Status CancelBuild(
      absl::string_view name, const Caller& caller,
      std::function<void(absl::StatusOr<v1::Build>)> on_end);
  absl::Status DeleteBuild(absl::string_view name, const Caller& caller);

  // An artifact that the caller may see, open for reading. It must not outlive
  // the engine, and there are at most limits::kMaxOpenDownloads of one
  // `counted_as` at the same time: callers of one name may be many.
  struct OpenedArtifact {
    UniqueFd file;
    std::int64_t size = 0;
    std::shared_ptr<void> counted;  // until it goes
  };
  absl::StatusOr<OpenedArtifact> OpenArtifact(
      const v1::DownloadArtifactRequest& request, const Caller& caller,
      const std::string& counted_as);

  // Which of these the caller has not sent.
  absl::StatusOr<v1::FindMissingBlobsResponse> FindMissingBlobs(
      const v1::FindMissingBlobsRequest& request, const Caller& caller);
  // Takes contents of the caller in; must not outlive the engine. There are at
  // most limits::kMaxOpenUploads of one `counted_as` at the same time.
  absl::StatusOr<std::unique_ptr<BlobUpload>> UploadBlobs(
      const Caller& caller, const std::string& counted_as);

  // Takes no more builds, leaves those that wait to the next start, gives
  // those that run options.drain_timeout, then stops them, and waits for their
  // ends. Any number of times.
  void Shutdown();
  // The time for running builds is over, and so is their grace: Shutdown, now
  // or later, waits for nothing but their deaths.
  void HastenShutdown();

 private:
  Engine(EngineOptions options, StateFolder state,
         absl::StatusOr<SecretFolder> secret_folder,
         std::shared_ptr<const Policy> policy, Host host,
         ProcessRunner* runner);

  // --- The past (engine_recovery.cc)
  absl::Status OpenStore();
  absl::Status OpenBlobs();
  absl::Status Recover();
  absl::Status DropUnadmitted(std::vector<RecoveredBuild>& builds,
                              std::size_t known);
  absl::Status RecordUnknown(std::vector<RecoveredBuild>& builds,
                             std::size_t known);
  absl::Status TakeUp(RecoveredBuild build);
  absl::Status EndNow(RecoveredBuild recovered, v1::Build::State state,
                      v1::BuildFailure failure);
  absl::Status Requeue(RecoveredBuild build);
  void SweepSoon(absl::Duration delay);
  absl::Time RetentionTime() const;
  void Sweep();
  absl::Status ForgetOldest();
  using TotalsByRequester = std::map<std::string, BuildStore::Totals>;
  // Whether it is forgotten, and out of the totals.
  bool ForgetEnded(const std::string& name, TotalsByRequester& totals);

  // --- Admission
  struct Request {
    const v1::BuildSpec& spec;
    const v1::BuildPolicy& policy;
    const std::string& request_id;
    const google::protobuf::Map<std::string, std::string>& annotations;
    // Where the policy names none.
    v1::DisconnectPolicy usual_disconnect_policy;
  };
  // The build, new or joined; `live` is null where it has ended or is left to
  // the next start, and `record` is all of it then.
  struct Admission {
    storage::v1::BuildRecord record;
    std::shared_ptr<Build> live;
    std::shared_ptr<void> attachment;
  };
  absl::StatusOr<Admission> Admit(absl::StatusOr<std::shared_ptr<Place>> place,
                                  const Request& request, const Caller& caller,
                                  const IsGone& is_gone, bool attach);
  absl::StatusOr<std::optional<Admission>> Join(const Request& request,
                                                const std::string& sha256,
                                                const Caller& caller,
                                                bool attach)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(admission_);
  std::shared_ptr<const Policy> policy() ABSL_LOCKS_EXCLUDED(mutex_);
  // Copies what the build of that id reads into its folder, which is no
  // build's yet.
  absl::Status Stage(absl::string_view id, const AdmittedSpec& spec,
                     const Policy& policy, const Caller& caller,
                     const IsGone& is_gone);
  TreeCopier::Limits CopyLimits(const Policy& policy);
  // Counts a download in until the answer goes; RATE_LIMITED.
  absl::StatusOr<std::shared_ptr<void>> CountDownload(
      const std::string& counted_as) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::shared_ptr<Build>> MakeBuild(
      const std::string& id, storage::v1::BuildRecord record, AdmittedSpec spec,
      const Place& place);
  // Where a build finds what it has by value; SECRETS_UNAVAILABLE where it
  // has something and there is no place for it.
  absl::StatusOr<std::string> SecretFolderOf(const v1::BuildSpec& spec,
                                             absl::string_view id) const;
  Build::Surroundings SurroundingsOfBuilds();
  Journal::Options JournalOptions();
  // For another build.
  bool HasRoom();
  // As many builds of his run, wait and are being admitted as one caller may
  // have.
  bool HasAllBuildsOf(const Caller& caller) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // --- Running
  // The build has `place` from then on, which is null for those that were
  // admitted by an earlier run.
  void Enqueue(const std::shared_ptr<Build>& build, int priority,
               std::int64_t arrival, const Place* place)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void StartNext();
  // Tells those who wait their positions: one of them now, all of them soon.
  void TellPosition(const std::shared_ptr<Build>& build);
  void TellPositionsSoon() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellPositions();
  void OnBuildEnd(const std::shared_ptr<Build>& build);

  // --- Records
  void Keep(const storage::v1::BuildRecord& record)
      ABSL_LOCKS_EXCLUDED(keep_, mutex_);
  void KeepLocked(const storage::v1::BuildRecord& record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(keep_) ABSL_LOCKS_EXCLUDED(mutex_);
  void KeepAgain() ABSL_LOCKS_EXCLUDED(keep_, mutex_);
  // As Admission has them.
  struct Found {
    storage::v1::BuildRecord record;
    std::shared_ptr<Build> live;
  };
  // A build that this caller may see, as it is now; BUILD_NOT_FOUND.
  absl::StatusOr<Found> Find(absl::string_view name, const Caller& caller)
      ABSL_LOCKS_EXCLUDED(admission_, mutex_);
  std::shared_ptr<Build> FindLive(absl::string_view name);
  // The journal of a build that is not live.
  absl::StatusOr<std::shared_ptr<Journal>> OpenEnded(
      const storage::v1::BuildRecord& record)
      ABSL_LOCKS_EXCLUDED(opening_, mutex_);
  std::shared_ptr<Journal> AddEnd(const v1::Build& build,
                                  std::shared_ptr<Journal> journal)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(opening_);
  absl::Status Forget(const std::string& name);

  // What SetBounds changes, but for the scheduler's.
  struct Bounds {
    int max_builds_per_caller;
    absl::Duration drain_timeout;
    absl::Duration retain_age;
    std::int64_t retain_builds;
    std::int64_t retain_bytes;
  };
  static Bounds BoundsOf(const EngineOptions& options);

  // First, so that it ends last; null where the runner is another's.
  std::unique_ptr<ProcessRunner> own_runner_;
  const EngineOptions options_;
  const StateFolder state_;
  const Host host_;
  // When the engine was made, by both clocks.
  const absl::Time made_;
  const absl::Duration made_uptime_;
  ProcessRunner* const runner_;
  const std::shared_ptr<spdlog::logger> logger_;
  Toolchain toolchain_;
  // Why there is none where there is none.
  const absl::StatusOr<SecretFolder> secret_folder_;
  DiskFloor disk_floor_;
  DiskReserve reserve_;
  HealthChecker health_;
  std::unique_ptr<BuildStore> store_;
  std::unique_ptr<BlobStore> blobs_;

  // Held through an admission, so that two requests of one id make one build
  // and no two builds take the last place in the queue.
  absl::Mutex admission_ ABSL_ACQUIRED_BEFORE(mutex_);

  // Held while a journal is opened, so that one alone writes its end.
  absl::Mutex opening_ ABSL_ACQUIRED_BEFORE(mutex_);

  // Held while a record is written, so that one offered again does not come
  // after a newer one.
  absl::Mutex keep_ ABSL_ACQUIRED_BEFORE(mutex_);

  absl::Mutex mutex_;
  std::shared_ptr<const Policy> policy_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  // The builds that run had bounds_.drain_timeout.
  bool drained_long_ ABSL_GUARDED_BY(mutex_) = false;
  bool hastened_ ABSL_GUARDED_BY(mutex_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  Bounds bounds_ ABSL_GUARDED_BY(mutex_);
  Scheduler scheduler_ ABSL_GUARDED_BY(mutex_);
  // Of requests that have become no build yet.
  absl::flat_hash_set<const Place*> places_ ABSL_GUARDED_BY(mutex_);
  // All that have not ended, and those whose end is not recorded yet.
  absl::flat_hash_map<std::string, std::shared_ptr<Build>> live_
      ABSL_GUARDED_BY(mutex_);
  // Records that the store did not take, the newest of each build.
  std::map<std::string, storage::v1::BuildRecord> unkept_
      ABSL_GUARDED_BY(mutex_);
  // Journals of ended builds that somebody reads.
  absl::flat_hash_map<std::string, std::weak_ptr<Journal>> open_journals_
      ABSL_GUARDED_BY(mutex_);
  // Caller -> artifacts that he has open.
  absl::flat_hash_map<std::string, int> downloads_ ABSL_GUARDED_BY(mutex_);
  Executor::Timer position_timer_ ABSL_GUARDED_BY(mutex_);
  Executor::Timer keep_timer_ ABSL_GUARDED_BY(mutex_);
  Executor::Timer sweep_timer_ ABSL_GUARDED_BY(mutex_);

  // Last, so that they end first. Builds are started one after the other, in
  // their turn.
  Executor work_;
  Executor starter_;
  // The same of those that have secrets: making what hides them may take a
  // second, and memory that no two take at the same time.
  Executor secret_starter_;
  // Copies outputs, which may take long.
  Executor copies_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_ENGINE_H_
