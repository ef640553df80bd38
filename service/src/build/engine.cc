#include "build/engine.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/build_id.h"
#include "base/build_state.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/file_error.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "base/timestamps.h"
#include "build/artifacts.h"
#include "build/command_line.h"
#include "build/nerdctl_args.h"
#include "build/page_token.h"
#include "build/request_hash.h"
#include "build/secrets.h"
#include "google/protobuf/util/message_differencer.h"
#include "google/protobuf/util/time_util.h"
#include "process/boost_process_runner.h"
#include "spdlog/sinks/null_sink.h"

namespace containerbuilder::service {
namespace {

using storage::v1::BuildRecord;

// How soon a record that the store did not take is offered again.
constexpr absl::Duration kKeepAgainInterval = absl::Seconds(1);

int Cores() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int MaxRunning(const EngineOptions& options) {
  return options.max_running_builds > 0 ? options.max_running_builds : Cores();
}

std::shared_ptr<spdlog::logger> NullLogger() {
  return std::make_shared<spdlog::logger>(
      "", std::make_shared<spdlog::sinks::null_sink_mt>());
}

// Where secrets may be, the best first: /run is root's own, while everybody
// may write to /dev/shm.
std::vector<std::string> FoldersForSecrets(const EngineOptions& options,
                                           const Host& host) {
  if (!options.secret_dir.empty()) return {options.secret_dir};
  std::vector<std::string> folders = {"/run", "/dev/shm"};
  const std::optional<std::string> own = host.getenv("XDG_RUNTIME_DIR");
  // An argument of nerdctl has it in a list with commas.
  if (own && own->find_first_of(",\"\n") == std::string::npos) {
    folders.insert(folders.begin(), *own);
  }
  return folders;
}

// What no caller who is not trusted gets at.
std::vector<std::string> OwnFolders(
    const StateFolder& state,
    const absl::StatusOr<SecretFolder>& secret_folder) {
  std::vector<std::string> folders = {state.path()};
  if (secret_folder.ok()) folders.push_back(secret_folder->path());
  return folders;
}

BlobStore::Limits BlobLimits(const EngineOptions& options) {
  return {options.max_blob_store_bytes, options.max_blob_store_bytes_per_caller,
          options.max_blob_bytes, options.upload_ttl};
}

absl::Status CheckRequestId(absl::string_view request_id) {
  if (request_id.size() <= limits::kMaxRequestIdBytes &&
      absl::c_all_of(request_id, absl::ascii_isgraph)) {
    return absl::OkStatus();
  }
  return errors::OptionInvalid(
      "request_id",
      absl::StrCat("an id has at most ", limits::kMaxRequestIdBytes,
                   " printable ASCII characters and no spaces; send a UUID"));
}

absl::Status CheckOptionCount(const v1::BuildOptions& options,
                              absl::string_view field) {
  if (options.options_size() <= limits::kMaxOptions) return absl::OkStatus();
  return errors::OptionInvalid(
      field, absl::StrCat("a build has at most ", limits::kMaxOptions,
                          " of them, and these are ", options.options_size(),
                          "; send the values of one flag in one option"));
}

// What is kept of each build and is no argument, which are counted elsewhere.
absl::Status CheckCounts(
    const v1::BuildSpec& spec,
    const google::protobuf::Map<std::string, std::string>& annotations) {
  CONTAINERBUILDER_RETURN_IF_ERROR(
      CheckOptionCount(spec.options(), "spec.options.options"));
  std::size_t bytes = 0;
  for (const auto& [key, value] : annotations) {
    bytes += key.size() + value.size();
  }
  if (annotations.size() > limits::kMaxAnnotations ||
      bytes > limits::kMaxAnnotationBytes) {
    return errors::OptionInvalid(
        "annotations",
        absl::StrCat("a build has at most ", limits::kMaxAnnotations, " of ",
                     limits::kMaxAnnotationBytes,
                     " bytes in all, and these are ", annotations.size(),
                     " of ", bytes,
                     "; keep elsewhere what ListBuilds is not asked for"));
  }
  return absl::OkStatus();
}

// What the disk says when there is no room, or others keep the records busy, as
// callers are told it.
absl::Status ForCaller(const absl::Status& status) {
  if (absl::IsUnavailable(status)) {
    return errors::StorageSlow("the records are busy; try again");
  }
  if (absl::IsResourceExhausted(status)) {
    return errors::NoSpace(status.message());
  }
  return errors::Internal(status.message());
}

absl::StatusOr<std::optional<absl::Time>> ReadTime(
    const google::protobuf::Timestamp& timestamp, bool is_set,
    absl::string_view field) {
  if (!is_set) return std::nullopt;
  using google::protobuf::util::TimeUtil;
  if (timestamp.seconds() < TimeUtil::kTimestampMinSeconds ||
      timestamp.seconds() > TimeUtil::kTimestampMaxSeconds ||
      timestamp.nanos() < 0 || timestamp.nanos() > 999'999'999) {
    return errors::OptionInvalid(
        field,
        "a time is within the years 1 to 9999, with 0 to 999999999 "
        "nanoseconds");
  }
  return FromTimestamp(timestamp);
}

absl::StatusOr<ListQuery> ReadListQuery(const v1::ListBuildsRequest& request,
                                        const Caller& caller) {
  ListQuery query;
  if (request.page_size() < 0) {
    return errors::OptionInvalid(
        "page_size", "a page has at least 1 build; send 0 for the default");
  }
  query.page_size = request.page_size() == 0
                        ? limits::kDefaultPageSize
                        : std::min(request.page_size(), limits::kMaxPageSize);
  for (const int state : request.states()) {
    if (!v1::Build::State_IsValid(state) ||
        state == v1::Build::STATE_UNSPECIFIED) {
      return errors::OptionInvalid(
          "states", absl::StrCat("there is no state ", state,
                                 "; leave the field out for all states"));
    }
    query.states.push_back(static_cast<v1::Build::State>(state));
  }
  if (request.annotations_size() > limits::kMaxListAnnotations) {
    return errors::OptionInvalid(
        "annotations",
        absl::StrCat("a list is filtered by at most ",
                     limits::kMaxListAnnotations, " annotations, not ",
                     request.annotations_size()));
  }
  query.annotations.insert(request.annotations().begin(),
                           request.annotations().end());
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      query.created_from,
      ReadTime(request.create_time_from(), request.has_create_time_from(),
               "create_time_from"));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      query.created_before,
      ReadTime(request.create_time_before(), request.has_create_time_before(),
               "create_time_before"));
  if (!caller.is_admin()) query.requester = caller.name;
  if (!request.page_token().empty()) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(query.before_arrival,
                                      ParsePageToken(request, caller.name));
  }
  return query;
}

absl::Status ListTooLong(int annotations) {
  // All else is quick to search for: it is the disk then.
  if (annotations <= 1) {
    return errors::StorageSlow("the records take too long to read; try again");
  }
  return errors::TooLarge(
      "annotations",
      absl::StrCat("a list is searched for ",
                   absl::FormatDuration(limits::kMaxListTime),
                   " at most, and these ", annotations,
                   " take longer among so many builds; ask for fewer, or for "
                   "less time between create_time_from and create_time_before"),
      /*setting=*/"");
}

bool MaySee(const v1::Build& build, const Caller& caller) {
  return caller.is_admin() || build.requester() == caller.name;
}

}  // namespace

Engine::Engine(EngineOptions options, StateFolder state,
               absl::StatusOr<SecretFolder> secret_folder,
               std::shared_ptr<const Policy> policy, Host host,
               ProcessRunner* runner)
    : options_(std::move(options)),
      state_(std::move(state)),
      host_(std::move(host)),
      made_(host_.now()),
      made_uptime_(host_.uptime()),
      runner_(runner),
      logger_(options_.logger != nullptr ? options_.logger : NullLogger()),
      toolchain_({options_.nerdctl, options_.containerd_address,
                  options_.containerd_namespace, options_.buildkit_host,
                  options_.snapshotter},
                 host_, runner),
      secret_folder_(std::move(secret_folder)),
      disk_floor_(host_, state_.path(), options_.min_free_bytes),
      reserve_(state_.reserve_path(), limits::kDiskReserveBytes),
      health_(
          &toolchain_, state_.path(), options_.min_free_bytes,
          [this] { return state_.Check(); },
          [this] {
            absl::MutexLock lock(&mutex_);
            return QueueState{scheduler_.running(), scheduler_.queued(),
                              scheduler_.max_queued(), scheduler_.full(),
                              draining_};
          }),
      policy_(std::move(policy)),
      bounds_(BoundsOf(options_)),
      scheduler_(MaxRunning(options_), options_.max_queued_builds),
      work_(limits::kWorkThreads),
      starter_(1),
      secret_starter_(1),
      copies_(limits::kCopyThreads) {}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(EngineOptions options) {
  auto runner = std::make_unique<BoostProcessRunner>(
      BoostProcessRunner::Options{.io_threads = std::max(2, Cores()),
                                  .reap_orphans = options.reap_orphans});
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      std::unique_ptr<Engine> engine,
      Create(std::move(options), Host::Real(), runner.get()));
  engine->own_runner_ = std::move(runner);
  return engine;
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(EngineOptions options,
                                                       Host host,
                                                       ProcessRunner* runner) {
  CONTAINERBUILDER_RETURN_IF_ERROR(Check(options));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(StateFolder state,
                                    StateFolder::Take(options.state_dir));
  // Where the disk is full, what an earlier run put by is for the ends of its
  // builds and for their records.
  const absl::StatusOr<std::uint64_t> free = host.free_disk(state.path());
  if (free.ok() &&
      *free < static_cast<std::uint64_t>(limits::kDiskReserveBytes)) {
    DiskReserve(state.reserve_path(), limits::kDiskReserveBytes).Release();
  }
  absl::StatusOr<SecretFolder> secret_folder =
      SecretFolder::Take(FoldersForSecrets(options, host), state.path());
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      std::shared_ptr<const Policy> policy,
      Policy::Create(options.policy, host, OwnFolders(state, secret_folder)));
  std::unique_ptr<Engine> engine(
      new Engine(std::move(options), std::move(state), std::move(secret_folder),
                 std::move(policy), std::move(host), runner));
  if (!engine->secret_folder_.ok()) {
    const std::string why(engine->secret_folder_.status().message());
    if (!engine->options_.secret_dir.empty()) {
      return absl::FailedPreconditionError(absl::StrCat("--secret_dir: ", why));
    }
    engine->logger_->warn("secrets by value are refused: {}", why);
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(engine->OpenStore());
  CONTAINERBUILDER_RETURN_IF_ERROR(engine->OpenBlobs());
  CONTAINERBUILDER_RETURN_IF_ERROR(engine->Recover());
  if (const absl::Status held = engine->reserve_.Refill(); !held.ok()) {
    engine->logger_->warn("there is no room for builds: {}",
                          std::string(held.message()));
  }
  engine->StartNext();
  engine->SweepSoon(absl::ZeroDuration());
  return engine;
}

Engine::~Engine() { Shutdown(); }

absl::Status Engine::Check(const EngineOptions& options) {
  if (options.secret_dir.find_first_of(",\"\n") != std::string::npos) {
    return absl::InvalidArgumentError(
        "--secret_dir: must have no comma, no quote and no newline in it");
  }
  const struct {
    absl::string_view flag;
    bool is_valid;
  } bounds[] = {
      {"max_running_builds", options.max_running_builds >= 0},
      {"max_queued_builds", options.max_queued_builds >= 0},
      {"max_builds_per_caller", options.max_builds_per_caller >= 0},
      {"drain_timeout", options.drain_timeout >= absl::ZeroDuration()},
      {"retain_age", options.retain_age >= absl::ZeroDuration()},
      {"retain_builds", options.retain_builds >= 0},
      {"retain_bytes", options.retain_bytes >= 0},
      {"max_log_bytes", options.max_log_bytes >= 0},
      {"min_free_bytes", options.min_free_bytes >= 0},
      {"max_blob_store_bytes", options.max_blob_store_bytes >= 0},
      {"max_blob_store_bytes_per_caller",
       options.max_blob_store_bytes_per_caller >= 0},
      {"max_blob_bytes", options.max_blob_bytes >= 0},
      {"upload_ttl", options.upload_ttl >= absl::ZeroDuration()},
  };
  for (const auto& bound : bounds) {
    if (!bound.is_valid) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", bound.flag, ": must not be negative"));
    }
  }
  return ValidatePolicyOptions(options.policy);
}

Engine::Bounds Engine::BoundsOf(const EngineOptions& options) {
  return {options.max_builds_per_caller, options.drain_timeout,
          options.retain_age, options.retain_builds, options.retain_bytes};
}

void Engine::SetBounds(const EngineOptions& options) {
  {
    absl::MutexLock lock(&mutex_);
    bounds_ = BoundsOf(options);
    scheduler_.SetBounds(MaxRunning(options), options.max_queued_builds);
  }
  blobs_->SetLimits(BlobLimits(options));
  StartNext();
}

v1::HealthResponse Engine::Health(absl::Duration freshness) {
  return health_.Check(freshness);
}

std::shared_ptr<const Policy> Engine::policy() {
  absl::MutexLock lock(&mutex_);
  return policy_;
}

absl::Status Engine::SetPolicy(const PolicyOptions& options) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      std::shared_ptr<const Policy> policy,
      Policy::Create(options, host_, OwnFolders(state_, secret_folder_)));
  absl::MutexLock lock(&mutex_);
  policy_ = std::move(policy);
  return absl::OkStatus();
}

absl::StatusOr<v1::ConstructArgsResponse> Engine::ConstructArgs(
    const v1::BuildOptions& options, const Caller& caller) {
  const std::shared_ptr<const Policy> policy = this->policy();
  // Each may name a path, which is looked for.
  if (!caller.trusted) {
    CONTAINERBUILDER_RETURN_IF_ERROR(
        CheckOptionCount(options, "options.options"));
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const std::vector<std::string> args,
      service::ConstructArgs(options, policy->PathRulesFor(caller), "options"));
  v1::ConstructArgsResponse response;
  response.mutable_args()->Assign(args.begin(), args.end());
  std::vector<std::string> argv = {"nerdctl", "build"};
  argv.insert(argv.end(), args.begin(), args.end());
  response.set_command_line(CommandLine(argv));
  const absl::StatusOr<NerdctlInfo> nerdctl = toolchain_.Nerdctl();
  for (std::string& warning :
       policy->Warnings(options, caller, nerdctl.ok() ? &*nerdctl : nullptr)) {
    response.add_warnings(std::move(warning));
  }
  return response;
}

absl::StatusOr<std::optional<Journal::Entry>> BuildWatch::Read() {
  absl::StatusOr<std::optional<Journal::Entry>> entry = journal->Read(cursor);
  if (absl::IsDataLoss(entry.status())) {
    return errors::JournalDamaged(entry.status().message());
  }
  return entry;
}

// --- Admission --------------------------------------------------------------

class Engine::Place {
 public:
  Place(Engine* engine, std::string caller, std::string request_id,
        std::shared_ptr<void> held)
      : caller_(std::move(caller)),
        request_id_(std::move(request_id)),
        held_(std::move(held)),
        engine_(engine) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    absl::MutexLock lock(&engine_->mutex_);
    engine_->places_.erase(this);
  }

  const std::string& caller() const { return caller_; }
  const std::string& request_id() const { return request_id_; }
  const std::shared_ptr<void>& held() const { return held_; }

 private:
  const std::string caller_;
  const std::string request_id_;
  const std::shared_ptr<void> held_;
  Engine* const engine_;
};

absl::StatusOr<std::shared_ptr<Engine::Place>> Engine::TakePlace(
    const Caller& caller, const std::string& request_id,
    std::shared_ptr<void> held) {
  // Before the lock: where it is not given, its destructor takes that.
  auto place =
      std::make_shared<Place>(this, caller.name, request_id, std::move(held));
  const auto is_same = [&](const Place* other) {
    return !request_id.empty() && other->request_id() == request_id &&
           other->caller() == caller.name;
  };
  absl::MutexLock lock(&mutex_);
  if (draining_) return errors::Draining();
  // Once only: each is copied by itself, and kept in memory until then.
  if (absl::c_count_if(places_, is_same) != 1) {
    if (scheduler_.free() <= static_cast<int>(places_.size())) {
      return errors::QueueFull(scheduler_.max_queued());
    }
    if (HasAllBuildsOf(caller)) {
      return errors::TooManyBuilds(bounds_.max_builds_per_caller);
    }
  }
  places_.insert(place.get());
  return place;
}

absl::StatusOr<BuildWatch> Engine::StartBuild(const v1::BuildRequest& request,
                                              const Caller& caller,
                                              const IsGone& is_gone) {
  return StartBuild(TakePlace(caller, request.request_id()), request, caller,
                    is_gone);
}

absl::StatusOr<BuildWatch> Engine::StartBuild(
    absl::StatusOr<std::shared_ptr<Place>> place,
    const v1::BuildRequest& request, const Caller& caller,
    const IsGone& is_gone) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const Admission admission,
      Admit(std::move(place),
            {request.spec(), request.policy(), request.request_id(),
             request.annotations(), v1::DISCONNECT_POLICY_CANCEL},
            caller, is_gone, /*attach=*/true));
  BuildWatch watch;
  watch.name = admission.record.build().name();
  watch.attachment = admission.attachment;
  if (admission.live != nullptr) {
    watch.journal = admission.live->journal();
  } else {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(watch.journal,
                                      OpenEnded(admission.record));
  }
  watch.last_sequence = watch.journal->last_sequence();
  return watch;
}

absl::StatusOr<v1::Build> Engine::CreateBuild(
    const v1::CreateBuildRequest& request, const Caller& caller) {
  return CreateBuild(TakePlace(caller, request.request_id()), request, caller);
}

absl::StatusOr<v1::Build> Engine::CreateBuild(
    absl::StatusOr<std::shared_ptr<Place>> place,
    const v1::CreateBuildRequest& request, const Caller& caller) {
  if (request.policy().disconnect_policy() == v1::DISCONNECT_POLICY_CANCEL) {
    return errors::OptionInvalid(
        "policy.disconnect_policy",
        "CANCEL ends a build with its last Build call, and CreateBuild leaves "
        "none; use DETACH or LINGER, or Build");
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const Admission admission,
      Admit(std::move(place),
            {request.spec(), request.policy(), request.request_id(),
             request.annotations(), v1::DISCONNECT_POLICY_DETACH},
            caller, /*is_gone=*/nullptr, /*attach=*/false));
  return admission.live != nullptr ? admission.live->Snapshot()
                                   : admission.record.build();
}

absl::StatusOr<Engine::Admission> Engine::Admit(
    absl::StatusOr<std::shared_ptr<Place>> place, const Request& request,
    const Caller& caller, const IsGone& is_gone, bool attach) {
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckRequestId(request.request_id));
  CONTAINERBUILDER_RETURN_IF_ERROR(
      CheckCounts(request.spec, request.annotations));
  const std::string sha256 =
      RequestSha256(request.spec, request.policy, request.annotations);
  {
    absl::MutexLock admission_lock(&admission_);
    // A build that is there is joined whatever has become of its context.
    CONTAINERBUILDER_ASSIGN_OR_RETURN(std::optional<Admission> joined,
                                      Join(request, sha256, caller, attach));
    if (joined) return *std::move(joined);
    absl::MutexLock lock(&mutex_);
    if (draining_) return errors::Draining();
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(place.status());
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const NerdctlInfo nerdctl,
                                    toolchain_.Nerdctl());
  v1::BuildPolicy policy = request.policy;
  if (policy.disconnect_policy() == v1::DISCONNECT_POLICY_UNSPECIFIED) {
    policy.set_disconnect_policy(request.usual_disconnect_policy);
  }
  const std::shared_ptr<const Policy> rules = this->policy();
  const std::string id = NewBuildId(host_.now());
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::string secret_folder,
                                    SecretFolderOf(request.spec, id));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      AdmittedSpec spec,
      rules->Admit(request.spec, policy, caller, nerdctl,
                   {absl::StrCat(state_.build_path(id), kStagingFolder)},
                   secret_folder));
  // What would be written could not be found again.
  if (const absl::Status state = state_.Check(); !state.ok()) {
    return errors::Storage(state.message());
  }
  if (!HasRoom()) {
    return errors::NoSpace(kDiskIsFull);
  }
  // Whatever becomes of the request, nothing of it is left behind.
  absl::Cleanup discard = [this, &id] {
    state_.DiscardBuild(id).IgnoreError();
  };
  const bool needs_caller =
      spec.policy().disconnect_policy() == v1::DISCONNECT_POLICY_CANCEL;
  CONTAINERBUILDER_RETURN_IF_ERROR(
      Stage(id, spec, *rules, caller, needs_caller ? is_gone : IsGone()));

  BuildRecord record;
  v1::Build& build = *record.mutable_build();
  build.set_state(v1::Build::STATE_QUEUED);
  build.set_requester(caller.name);
  *build.mutable_spec() = MaskedSpec(spec.spec());
  *build.mutable_policy() = spec.policy();
  *build.mutable_annotations() = request.annotations;
  record.set_request_id(request.request_id);
  record.set_request_sha256(sha256);
  record.set_trusted_caller(caller.trusted);
  record.set_admin_caller(caller.is_admin());
  record.set_has_secrets(HasSecrets(spec.spec()) ||
                         !google::protobuf::util::MessageDifferencer::Equals(
                             build.spec(), spec.spec()));

  absl::MutexLock admission_lock(&admission_);
  // Somebody may have made it meanwhile.
  CONTAINERBUILDER_ASSIGN_OR_RETURN(std::optional<Admission> joined,
                                    Join(request, sha256, caller, attach));
  if (joined) return *std::move(joined);
  {
    absl::MutexLock lock(&mutex_);
    if (draining_) return errors::Draining();
  }
  const int priority = spec.policy().priority();
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const std::shared_ptr<Build> made,
      MakeBuild(id, std::move(record), std::move(spec), **place));
  std::move(discard).Cancel();
  Admission admission;
  admission.record.mutable_build()->set_name(made->name());
  admission.live = made;
  if (attach) {
    admission.attachment = made->Attach(Build::Attachment::kBuildCall);
  }
  logger_->info("{}: admitted for {}", made->name(), caller.name);
  Enqueue(made, priority, made->arrival(), place->get());
  StartNext();
  // There, so that no older positions come after newer ones.
  starter_.Post([this, made] { TellPosition(made); });
  return admission;
}

bool Engine::HasAllBuildsOf(const Caller& caller) const {
  if (caller.is_admin() || bounds_.max_builds_per_caller == 0) return false;
  const auto is_his = [this, &caller](const auto& live) {
    return live.second->requester() == caller.name &&
           scheduler_.Contains(live.first);
  };
  const auto is_asked_by_him = [&caller](const Place* place) {
    return place->caller() == caller.name;
  };
  return absl::c_count_if(live_, is_his) +
             absl::c_count_if(places_, is_asked_by_him) >=
         bounds_.max_builds_per_caller;
}

absl::Status Engine::Stage(absl::string_view id, const AdmittedSpec& spec,
                           const Policy& policy, const Caller& caller,
                           const IsGone& is_gone) {
  const StagingPlan& plan = spec.staging();
  if (plan.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> made = state_.MakeBuild(id);
  if (!made.ok()) return ForCaller(made.status());
  const std::string folder = absl::StrCat(*made, kStagingFolder);
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const UniqueFd to_sync, OpenToSync(*made));
  TreeCopier::Limits limits = CopyLimits(policy);
  limits.cancelled = [this, &is_gone] {
    if (is_gone != nullptr && is_gone()) return true;
    absl::MutexLock lock(&mutex_);
    return draining_;
  };
  const absl::Status staged = StageInputs(plan, folder, *blobs_, limits);
  if (!staged.ok() && is_gone != nullptr && is_gone()) {
    return absl::CancelledError("the caller has gone");
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(staged);
  CONTAINERBUILDER_RETURN_IF_ERROR(policy.CheckStaged(spec, folder, caller));
  return SyncStaged(to_sync);
}

TreeCopier::Limits Engine::CopyLimits(const Policy& policy) {
  TreeCopier::Limits limits;
  limits.max_bytes = policy.max_staged_bytes();
  limits.max_files = policy.max_staged_files();
  limits.has_room = [this] { return disk_floor_.HasRoom(); };
  for (const std::string& folder : OwnFolders(state_, secret_folder_)) {
    struct stat found;
    if (stat(folder.c_str(), &found) == 0) {
      limits.closed.emplace_back(found.st_dev, found.st_ino);
    }
  }
  return limits;
}

absl::StatusOr<std::optional<Engine::Admission>> Engine::Join(
    const Request& request, const std::string& sha256, const Caller& caller,
    bool attach) {
  if (request.request_id.empty()) return std::nullopt;
  absl::StatusOr<std::optional<BuildRecord>> found =
      store_->FindByRequestId(caller.name, request.request_id);
  if (!found.ok()) return ForCaller(found.status());
  if (!found->has_value()) return std::nullopt;
  const std::string& name = (*found)->build().name();
  if ((*found)->request_sha256() != sha256) {
    return errors::RequestIdReused(request.request_id);
  }
  Admission admission;
  admission.live = FindLive(name);
  if (admission.live == nullptr) {
    // It may have ended since the store was asked.
    absl::StatusOr<BuildRecord> record = store_->Get(name);
    if (absl::IsNotFound(record.status())) return std::nullopt;
    if (!record.ok()) return ForCaller(record.status());
    admission.record = *std::move(record);
  } else {
    admission.record = **std::move(found);
  }
  if (admission.live != nullptr && attach) {
    admission.attachment =
        admission.live->Attach(Build::Attachment::kBuildCall);
  }
  return admission;
}

absl::StatusOr<std::string> Engine::SecretFolderOf(const v1::BuildSpec& spec,
                                                   absl::string_view id) const {
  if (!HasSecrets(spec)) return "";
  if (!secret_folder_.ok()) {
    return errors::SecretsUnavailable(secret_folder_.status().message());
  }
  return secret_folder_->build_path(id);
}

absl::StatusOr<std::shared_ptr<Build>> Engine::MakeBuild(const std::string& id,
                                                         BuildRecord record,
                                                         AdmittedSpec spec,
                                                         const Place& place) {
  record.mutable_build()->set_name(BuildName(id));
  *record.mutable_build()->mutable_create_time() = ToTimestamp(host_.now());
  const absl::StatusOr<std::string> folder = state_.MakeBuild(id);
  if (!folder.ok()) return ForCaller(folder.status());
  CONTAINERBUILDER_FAILPOINT("folder-made");
  // The journal first, and whole: where the service dies in between, it is the
  // truth.
  absl::StatusOr<std::shared_ptr<Journal>> journal =
      Journal::Create(*folder, record.build().name(),
                      record.SerializeAsString(), JournalOptions());
  CONTAINERBUILDER_FAILPOINT("journal-created");
  absl::Status failed = journal.status();
  if (failed.ok()) failed = state_.PublishBuild(id);
  if (failed.ok()) {
    CONTAINERBUILDER_FAILPOINT("build-published");
    absl::StatusOr<std::int64_t> arrival = store_->Insert(record);
    if (arrival.ok()) record.set_arrival(*arrival);
    failed = arrival.status();
    CONTAINERBUILDER_FAILPOINT("record-inserted");
  }
  if (!failed.ok()) {
    state_.DiscardBuild(id).IgnoreError();
    return ForCaller(failed);
  }
  Build::Surroundings surroundings = SurroundingsOfBuilds();
  surroundings.held = place.held();
  return Build::Create(std::move(record), std::move(spec), *std::move(journal),
                       state_.build_path(id), std::move(surroundings));
}

Build::Surroundings Engine::SurroundingsOfBuilds() {
  return {
      .now = host_.now,
      .executor = &work_,
      .max_log_bytes = options_.max_log_bytes,
      .has_room = [this] { return disk_floor_.HasRoom(); },
      .disk_is_full = [this] { return !reserve_.held(); },
      .secret_folder = secret_folder_.ok() ? &*secret_folder_ : nullptr,
      .share_registry_logins = options_.share_registry_logins,
      .keep = [this](const BuildRecord& record) { Keep(record); },
      .on_end =
          [this](const std::shared_ptr<Build>& build) { OnBuildEnd(build); },
      .copies = &copies_,
      .copy_limits = [this] { return CopyLimits(*policy()); }};
}

Journal::Options Engine::JournalOptions() {
  Journal::Options options;
  options.executor = &work_;
  options.reserve = &reserve_;
  return options;
}

bool Engine::HasRoom() {
  return disk_floor_.HasRoom() && (reserve_.held() || reserve_.Refill().ok());
}

absl::Status Engine::OpenBlobs() {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      blobs_, BlobStore::Open({.folder = state_.path(),
                               .limits = BlobLimits(options_),
                               .now = host_.now,
                               .lacking_bytes = [this] {
                                 return disk_floor_.LackingBytes();
                               }}));
  return absl::OkStatus();
}

absl::StatusOr<v1::FindMissingBlobsResponse> Engine::FindMissingBlobs(
    const v1::FindMissingBlobsRequest& request, const Caller& caller) {
  return blobs_->FindMissing(request, caller.name);
}

absl::StatusOr<std::unique_ptr<BlobUpload>> Engine::UploadBlobs(
    const Caller& caller, const std::string& counted_as) {
  if (const absl::Status state = state_.Check(); !state.ok()) {
    return errors::Storage(state.message());
  }
  return BlobUpload::Begin(blobs_.get(), caller.name, counted_as);
}

// --- Running ----------------------------------------------------------------

void Engine::Enqueue(const std::shared_ptr<Build>& build, int priority,
                     std::int64_t arrival, const Place* place) {
  {
    absl::MutexLock lock(&mutex_);
    places_.erase(place);
    live_.emplace(build->name(), build);
    scheduler_.Add(build->name(), priority, arrival);
  }
  // Its time may be over at once, and then it is to be found in the queue.
  build->Wait();
}

void Engine::StartNext() {
  absl::MutexLock lock(&mutex_);
  if (draining_) return;
  while (const std::optional<std::string> name = scheduler_.Next()) {
    const std::shared_ptr<Build>& next = live_.at(*name);
    Executor& starter = next->has_secrets() ? secret_starter_ : starter_;
    starter.Post([this, build = next] {
      build->Start(*runner_, toolchain_.Environment());
    });
  }
  if (scheduler_.queued() > 0) TellPositionsSoon();
}

void Engine::TellPosition(const std::shared_ptr<Build>& build) {
  std::vector<std::string> queue;
  {
    absl::MutexLock lock(&mutex_);
    queue = scheduler_.Queue();
  }
  const auto place = absl::c_find(queue, build->name());
  if (place == queue.end()) return;
  build->TellPosition(static_cast<int>(place - queue.begin()) + 1);
}

void Engine::TellPositionsSoon() {
  if (position_timer_ != nullptr) return;
  position_timer_ = work_.After(limits::kPositionInterval, [this] {
    {
      absl::MutexLock lock(&mutex_);
      position_timer_.reset();
      if (draining_) return;
    }
    // There, in the order of the queue's changes.
    starter_.Post([this] { TellPositions(); });
  });
}

void Engine::TellPositions() {
  std::vector<std::shared_ptr<Build>> queue;
  {
    absl::MutexLock lock(&mutex_);
    for (const std::string& name : scheduler_.Queue()) {
      queue.push_back(live_.at(name));
    }
  }
  int position = 0;
  for (const std::shared_ptr<Build>& build : queue) {
    build->TellPosition(++position);
  }
}

void Engine::OnBuildEnd(const std::shared_ptr<Build>& build) {
  const std::string& name = build->name();
  {
    absl::MutexLock lock(&mutex_);
    scheduler_.Remove(name);
    if (!unkept_.contains(name)) live_.erase(name);
  }
  const v1::Build ended = build->Snapshot();
  const std::string& reason = ended.failure().reason();
  logger_->info("{}: {} for {}{}", name, v1::Build::State_Name(ended.state()),
                ended.requester(), reason.empty() ? "" : ": " + reason);
  build->TellEnded();
  StartNext();
}

void Engine::Shutdown() {
  std::vector<std::shared_ptr<Build>> builds;
  {
    // What is being admitted is among them, or not admitted.
    absl::MutexLock admission_lock(&admission_);
    absl::MutexLock lock(&mutex_);
    if (shut_down_) return;
    draining_ = true;
    for (const auto& [name, build] : live_) builds.push_back(build);
  }
  if (blobs_ != nullptr) blobs_->Close();
  for (const std::shared_ptr<Build>& build : builds) {
    absl::MutexLock lock(&mutex_);
    if (!build->Park(errors::Draining())) continue;
    scheduler_.Remove(build->name());
    live_.erase(build->name());
  }
  CONTAINERBUILDER_FAILPOINT("drain-begun");
  // What waits still was stopped before, and its end is being written.
  const auto is_empty = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return scheduler_.running() == 0 && scheduler_.queued() == 0;
  };
  const auto is_over = [this, &is_empty]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(
                           mutex_) { return hastened_ || is_empty(); };
  const auto is_over_or_late = [this, &is_over]()
                                   ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                                     return drained_long_ || is_over();
                                   };
  {
    absl::MutexLock lock(&mutex_);
    // Not by a timeout of the mutex, which goes by the wall clock.
    const Executor::Timer timer = work_.After(bounds_.drain_timeout, [this] {
      absl::MutexLock timer_lock(&mutex_);
      drained_long_ = true;
    });
    mutex_.Await(absl::Condition(&is_over_or_late));
  }
  for (const std::shared_ptr<Build>& build : builds) {
    build->Stop(StopReason::kShutdown);
  }
  CONTAINERBUILDER_FAILPOINT("drain-stopping");
  {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&is_over));
  }
  for (const std::shared_ptr<Build>& build : builds) build->CutGraceShort();
  {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&is_empty));
    shut_down_ = true;
    position_timer_.reset();
    keep_timer_.reset();
    sweep_timer_.reset();
  }
  KeepAgain();
}

void Engine::HastenShutdown() {
  absl::MutexLock lock(&mutex_);
  hastened_ = true;
}

// --- Records ----------------------------------------------------------------

void Engine::Keep(const BuildRecord& record) {
  absl::MutexLock keep_lock(&keep_);
  KeepLocked(record);
}

void Engine::KeepLocked(const BuildRecord& record) {
  const std::string& name = record.build().name();
  absl::Status kept = store_->Update(record);
  if (absl::IsResourceExhausted(kept)) {
    reserve_.Release();
    kept = store_->Update(record);
  }
  absl::MutexLock lock(&mutex_);
  // A build that is deleted meanwhile has no record any more.
  if (kept.ok() || absl::IsNotFound(kept)) {
    unkept_.erase(name);
    return;
  }
  logger_->error("{}: its record, for {}, cannot be written: {}", name,
                 record.build().requester(), std::string(kept.message()));
  unkept_[name] = record;
  if (keep_timer_ == nullptr && !shut_down_) {
    keep_timer_ = work_.After(kKeepAgainInterval, [this] { KeepAgain(); });
  }
}

void Engine::KeepAgain() {
  // Nothing newer is kept meanwhile, to be replaced by this.
  absl::MutexLock keep_lock(&keep_);
  std::map<std::string, BuildRecord> unkept;
  {
    absl::MutexLock lock(&mutex_);
    keep_timer_.reset();
    unkept = unkept_;
  }
  for (const auto& [name, record] : unkept) {
    KeepLocked(record);
    absl::MutexLock lock(&mutex_);
    // Where its end is not told yet, OnBuildEnd does it.
    if (!unkept_.contains(name) && HasEnded(record.build().state()) &&
        !scheduler_.Contains(name)) {
      live_.erase(name);
    }
  }
}

std::shared_ptr<Build> Engine::FindLive(absl::string_view name) {
  absl::MutexLock lock(&mutex_);
  const auto entry = live_.find(name);
  return entry == live_.end() ? nullptr : entry->second;
}

absl::StatusOr<Engine::Found> Engine::Find(absl::string_view name,
                                           const Caller& caller) {
  if (name.empty()) {
    return errors::OptionInvalid("name",
                                 "name the build, in the form builds/{id}");
  }
  if (BuildId(name).empty()) return errors::BuildNotFound(name);
  // In this order: what has left live_ has its end in the store.
  std::shared_ptr<Build> live = FindLive(name);
  absl::StatusOr<BuildRecord> record = store_->Get(std::string(name));
  if (record.ok() && live == nullptr && !HasEnded(record->build().state())) {
    // It is being admitted, or left to the next start.
    { const absl::MutexLock admitted(&admission_); }
    live = FindLive(name);
    record = store_->Get(std::string(name));
  }
  if (absl::IsNotFound(record.status())) return errors::BuildNotFound(name);
  if (!record.ok()) return ForCaller(record.status());
  if (!MaySee(record->build(), caller)) return errors::BuildNotFound(name);
  // What runs knows more than its record.
  if (live != nullptr) *record->mutable_build() = live->Snapshot();
  return Found{*std::move(record), std::move(live)};
}

absl::StatusOr<std::shared_ptr<Journal>> Engine::OpenEnded(
    const BuildRecord& record) {
  const std::string& name = record.build().name();
  // What has not ended and is not live either is left to the next start.
  if (!HasEnded(record.build().state())) return errors::Draining();
  absl::MutexLock opening_lock(&opening_);
  {
    absl::MutexLock lock(&mutex_);
    const auto open = open_journals_.find(name);
    if (open != open_journals_.end()) {
      if (std::shared_ptr<Journal> journal = open->second.lock()) {
        return journal;
      }
    }
  }
  absl::StatusOr<std::shared_ptr<Journal>> opened =
      Journal::Open(state_.build_path(BuildId(name)), name);
  if (absl::IsNotFound(opened.status())) return errors::BuildNotFound(name);
  if (!opened.ok()) return errors::JournalDamaged(opened.status().message());
  std::shared_ptr<Journal> journal = *std::move(opened);
  if (absl::IsDataLoss(journal->status())) {
    journal = AddEnd(record.build(), std::move(journal));
  }
  absl::MutexLock lock(&mutex_);
  absl::erase_if(open_journals_,
                 [](const auto& open) { return open.second.expired(); });
  open_journals_[name] = journal;
  return journal;
}

// What the journal lacks is no more than its end, where the disk did not take
// that when it came: the record has it.
std::shared_ptr<Journal> Engine::AddEnd(const v1::Build& build,
                                        std::shared_ptr<Journal> journal) {
  const absl::StatusOr<Journal::Recovery> read = Journal::Recover(
      state_.build_path(BuildId(build.name())), build.name(), JournalOptions());
  if (!read.ok() || !read->damage.ok() || read->finished ||
      read->journal->last_sequence() + 1 != build.last_sequence()) {
    return journal;
  }
  v1::BuildEvent event;
  event.set_name(build.name());
  *event.mutable_event_time() = build.finish_time();
  *event.mutable_finished()->mutable_build() = build;
  const absl::Status written = read->journal->Finish(event);
  logger_->warn("{}: its end, for {}, is {}", build.name(), build.requester(),
                written.ok()
                    ? "in its log now"
                    : "not in its log: " + std::string(written.message()));
  return read->journal;
}

absl::StatusOr<BuildWatch> Engine::WatchBuild(absl::string_view name,
                                              std::int64_t after_sequence,
                                              const Caller& caller) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const Found found, Find(name, caller));
  BuildWatch watch;
  watch.name = found.record.build().name();
  if (found.live != nullptr) {
    watch.attachment = found.live->Attach(Build::Attachment::kWatch);
    watch.journal = found.live->journal();
  } else {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(watch.journal, OpenEnded(found.record));
  }
  watch.last_sequence = watch.journal->last_sequence();
  if (after_sequence < 0 || after_sequence > watch.last_sequence) {
    return errors::SequenceOutOfRange(after_sequence, watch.last_sequence);
  }
  absl::StatusOr<Journal::Cursor> cursor = watch.journal->After(after_sequence);
  // Of an ended build the end is told in any case.
  if (cursor.ok() && Journal::AtEnd(*cursor)) {
    cursor = watch.journal->After(after_sequence - 1);
  }
  if (!cursor.ok()) return errors::JournalDamaged(cursor.status().message());
  watch.cursor = *cursor;
  return watch;
}

absl::StatusOr<v1::Build> Engine::GetBuild(absl::string_view name,
                                           const Caller& caller) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(Found found, Find(name, caller));
  return std::move(*found.record.mutable_build());
}

absl::StatusOr<v1::ListBuildsResponse> Engine::ListBuilds(
    const v1::ListBuildsRequest& request, const Caller& caller) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const ListQuery query,
                                    ReadListQuery(request, caller));
  // In this order: what has left live_ has its end in the store.
  absl::flat_hash_map<std::string, std::shared_ptr<Build>> live;
  {
    absl::MutexLock lock(&mutex_);
    live = live_;
  }
  absl::StatusOr<ListPage> page = store_->List(query);
  if (absl::IsDeadlineExceeded(page.status())) {
    return ListTooLong(request.annotations_size());
  }
  if (!page.ok()) return ForCaller(page.status());
  v1::ListBuildsResponse response;
  for (BuildRecord& record : page->records) {
    v1::Build& build = *response.add_builds();
    build = std::move(*record.mutable_build());
    // What runs knows more than its record.
    const auto running = live.find(build.name());
    if (running != live.end()) build = running->second->Snapshot();
  }
  if (page->next_before_arrival) {
    response.set_next_page_token(
        MakePageToken(request, caller.name, *page->next_before_arrival));
  }
  return response;
}

absl::Status Engine::CancelBuild(
    absl::string_view name, const Caller& caller,
    std::function<void(absl::StatusOr<v1::Build>)> on_end) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const Found found, Find(name, caller));
  const auto answer = [this, name = std::string(name), caller,
                       on_end = std::move(on_end)] {
    on_end(GetBuild(name, caller));
  };
  if (found.live == nullptr) {
    if (!HasEnded(found.record.build().state())) return errors::Draining();
    answer();
    return absl::OkStatus();
  }
  if (!found.live->Stop(StopReason::kCancelledByCaller)) {
    return errors::Draining();
  }
  // Once, however often it is asked for.
  const v1::Build::State state = found.record.build().state();
  if (state != v1::Build::STATE_CANCELLING && !HasEnded(state)) {
    logger_->info("{}: cancel asked for by {}", found.live->name(),
                  caller.name);
  }
  // Its end is told on threads that must not wait for what the caller does.
  if (!found.live->WhenEnded([this, answer] { work_.Post(answer); })) answer();
  return absl::OkStatus();
}

absl::Status Engine::DeleteBuild(absl::string_view name, const Caller& caller) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const Found found, Find(name, caller));
  const v1::Build& build = found.record.build();
  if (!HasEnded(build.state())) return errors::BuildNotEnded(name);
  if (found.live != nullptr) {
    // Watchers know of the end already, and its record is being written.
    // No absl::Notification, whose timeouts follow the wall clock. It may come
    // when nobody waits any more.
    const auto recorded = std::make_shared<std::promise<void>>();
    std::future<void> is_recorded = recorded->get_future();
    if (found.live->WhenEnded([recorded] { recorded->set_value(); }) &&
        is_recorded.wait_for(absl::ToChronoNanoseconds(
            limits::kRecordTimeout)) == std::future_status::timeout) {
      return errors::StorageSlow(
          "the build's end is still being written; try again");
    }
  }
  if (const absl::Status gone = Forget(build.name()); !gone.ok()) {
    return ForCaller(gone);
  }
  logger_->info("{}: deleted by {}", build.name(), caller.name);
  return absl::OkStatus();
}

absl::StatusOr<Engine::OpenedArtifact> Engine::OpenArtifact(
    const v1::DownloadArtifactRequest& request, const Caller& caller,
    const std::string& counted_as) {
  if (request.name().empty()) {
    return errors::OptionInvalid(
        "name", "name the artifact, in the form builds/{id}/artifacts/{n}");
  }
  const std::optional<ArtifactName> name = ArtifactName::Parse(request.name());
  if (!name) return errors::ArtifactNotFound(request.name());
  const absl::StatusOr<v1::Build> build = GetBuild(name->build, caller);
  if (absl::IsNotFound(build.status())) {
    return errors::ArtifactNotFound(request.name());
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(build.status());
  const auto artifact = absl::c_find_if(
      build->artifacts(), [&request](const v1::Artifact& candidate) {
        return candidate.name() == request.name();
      });
  if (artifact == build->artifacts().end()) {
    return errors::ArtifactNotFound(request.name());
  }
  if (request.offset() < 0 || request.offset() > artifact->size_bytes()) {
    return errors::OffsetOutOfRange(request.offset(), artifact->size_bytes());
  }
  OpenedArtifact opened;
  CONTAINERBUILDER_ASSIGN_OR_RETURN(opened.counted, CountDownload(counted_as));
  opened.size = artifact->size_bytes();
  opened.file = UniqueFd(
      open(ArtifactPath(state_.build_path(BuildId(name->build)), name->number)
               .c_str(),
           O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info;
  if (!opened.file.valid() || fstat(opened.file.get(), &info) != 0) {
    // Deleted just now.
    return errors::ArtifactNotFound(request.name());
  }
  if (info.st_size != opened.size) {
    return errors::Internal("the artifact's file was changed");
  }
  return opened;
}

absl::StatusOr<std::shared_ptr<void>> Engine::CountDownload(
    const std::string& counted_as) {
  absl::MutexLock lock(&mutex_);
  int& count = downloads_[counted_as];
  if (count >= limits::kMaxOpenDownloads) {
    return errors::TooManyDownloads(limits::kMaxOpenDownloads);
  }
  ++count;
  // Any pointer will do that is not null.
  return std::shared_ptr<void>(this, [this, counted_as](void*) {
    absl::MutexLock unlock(&mutex_);
    const auto found = downloads_.find(counted_as);
    if (--found->second == 0) downloads_.erase(found);
  });
}

// The folder first: a record without it is dropped at the next start, while a
// folder without a record would be taken for a build that was lost.
absl::Status Engine::Forget(const std::string& name) {
  CONTAINERBUILDER_RETURN_IF_ERROR(state_.DiscardBuild(BuildId(name)));
  CONTAINERBUILDER_FAILPOINT("folder-discarded");
  absl::Status deleted = store_->Delete(name);
  if (absl::IsResourceExhausted(deleted)) {
    // On a full disk this is what makes room.
    reserve_.Release();
    deleted = store_->Delete(name);
  }
  // Two may ask at once.
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

}  // namespace containerbuilder::service
