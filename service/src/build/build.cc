#include "build/build.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/failpoint.h"
#include "base/file_error.h"
#include "base/limits.h"
#include "base/new_file.h"
#include "base/status_macros.h"
#include "base/timestamps.h"
#include "base/utf8.h"
#include "build/artifacts.h"
#include "build/command_line.h"
#include "build/secrets.h"
#include "build/staging.h"
#include "build/state_folder.h"
#include "process/leftovers.h"

namespace containerbuilder::service {
namespace {

// The end of what nerdctl says when it has no image to load.
constexpr absl::string_view kNoImage = "no image was built";

// Makes `folder` a configuration of Docker's without logins. There is an entry
// in it, of a host that is none (RFC 6761): where there is no entry, Docker's
// libraries ask the helpers on PATH, which have the service's user's.
absl::Status WriteNoLogins(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/config.json");
  if (mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return FileError(errno, folder);
  }
  // A start that a crash cut short may have left one.
  unlink(path.c_str());
  return WriteNewFile(path, R"({"auths":{"none.invalid":{}}})", path);
}

std::string Joined(const v1::PairList& pairs) {
  return absl::StrJoin(pairs.pairs(), ",",
                       [](std::string* out, const v1::Pair& pair) {
                         absl::StrAppend(out, pair.key(), "=", pair.value());
                       });
}

// The key tells whether its value is a secret.
std::string MaskedOf(absl::string_view key, absl::string_view value) {
  const std::string shown = MaskSecrets(absl::StrCat(key, "=", value));
  return shown.substr(shown.find('=') + 1);
}

void MaskPairs(v1::PairList& pairs) {
  for (v1::Pair& pair : *pairs.mutable_pairs()) {
    pair.set_value(MaskedOf(pair.key(), pair.value()));
  }
  // A CSV quote may span pairs; BuildKit reads them joined.
  const std::string joined = Joined(pairs);
  if (MaskSecrets(joined) == joined) return;
  for (v1::Pair& pair : *pairs.mutable_pairs()) pair.set_value("***");
}

void MaskValue(v1::OptionValue& value) {
  if (value.has_text()) value.set_text(MaskSecrets(value.text()));
  if (value.has_values()) {
    for (std::string& text : *value.mutable_values()->mutable_values()) {
      text = MaskSecrets(text);
    }
  }
  if (value.has_pairs()) MaskPairs(*value.mutable_pairs());
}

v1::BuildFailure Failure(absl::string_view reason, absl::string_view message,
                         bool retryable) {
  v1::BuildFailure failure;
  failure.set_reason(std::string(reason));
  failure.set_message(ToUtf8(message));
  failure.set_retryable(retryable);
  return failure;
}

}  // namespace

v1::BuildSpec MaskedSpec(v1::BuildSpec spec) {
  spec = WithoutSecrets(std::move(spec));
  // Such as a proxy's password.
  for (auto& [name, value] : *spec.mutable_environment()) {
    value = MaskedOf(name, value);
  }
  if (!spec.has_options()) return spec;
  v1::BuildOptions& options = *spec.mutable_options();
  // Only what is set, so that a spec with nothing to mask stays the same.
  if (options.has_build_arg()) MaskValue(*options.mutable_build_arg());
  if (options.has_cache_from()) MaskValue(*options.mutable_cache_from());
  if (options.has_cache_to()) MaskValue(*options.mutable_cache_to());
  if (options.has_label()) MaskValue(*options.mutable_label());
  if (options.has_output()) MaskValue(*options.mutable_output());
  if (options.has_secret()) MaskValue(*options.mutable_secret());
  for (v1::Option& option : *options.mutable_options()) {
    if (option.has_value()) MaskValue(*option.mutable_value());
  }
  return spec;
}

StopOutcome OutcomeOf(StopReason reason, const absl::Status& log_error) {
  switch (reason) {
    case StopReason::kClientGone:
      return {v1::Build::STATE_CANCELLED,
              Failure("CLIENT_GONE",
                      "nobody was attached to the build any more: its caller "
                      "cancelled, a deadline passed, or a connection was lost",
                      false)};
    case StopReason::kCancelledByCaller:
      return {v1::Build::STATE_CANCELLED,
              Failure("CANCELLED_BY_CALLER", "a caller cancelled the build",
                      false)};
    case StopReason::kTimedOut:
      return {v1::Build::STATE_TIMED_OUT,
              Failure("TIMED_OUT", "the build ran longer than policy.timeout",
                      false)};
    case StopReason::kExpired:
      return {v1::Build::STATE_EXPIRED,
              Failure("EXPIRED",
                      "the build waited longer than policy.queue_ttl", true)};
    case StopReason::kShutdown:
      return {v1::Build::STATE_INTERRUPTED,
              Failure("SHUTDOWN", "the service was stopped while the build ran",
                      true)};
    case StopReason::kLogLimit:
      return {v1::Build::STATE_FAILED,
              Failure("LOG_LIMIT",
                      "the build printed more than the service keeps of one "
                      "build (--max_log_bytes)",
                      false)};
    case StopReason::kNoSpace:
      return {v1::Build::STATE_FAILED, Failure("NO_SPACE", kDiskIsFull, true)};
    case StopReason::kLogFailed:
      return {
          v1::Build::STATE_FAILED,
          Failure(absl::IsResourceExhausted(log_error) ? "NO_SPACE" : "STORAGE",
                  log_error.message(), true)};
  }
  return {v1::Build::STATE_FAILED, Failure("UNKNOWN", "", false)};
}

std::string BuildMark(absl::string_view name) {
  return absl::StrCat("CONTAINER_BUILDER_BUILD=", name);
}

std::shared_ptr<Build> Build::Create(storage::v1::BuildRecord record,
                                     AdmittedSpec spec,
                                     std::shared_ptr<Journal> journal,
                                     std::string folder,
                                     Surroundings surroundings) {
  return std::shared_ptr<Build>(new Build(std::move(record), std::move(spec),
                                          std::move(journal), std::move(folder),
                                          std::move(surroundings)));
}

Build::Build(storage::v1::BuildRecord record, AdmittedSpec spec,
             std::shared_ptr<Journal> journal, std::string folder,
             Surroundings surroundings)
    : name_(record.build().name()),
      requester_(record.build().requester()),
      spec_(std::move(spec)),
      journal_(std::move(journal)),
      folder_(std::move(folder)),
      surroundings_(std::move(surroundings)),
      record_(std::move(record)) {}

bool Build::has_secrets() const { return HasSecrets(spec_.spec()); }

std::int64_t Build::arrival() const {
  absl::MutexLock lock(&mutex_);
  return record_.arrival();
}

v1::Build Build::Snapshot() const {
  absl::MutexLock lock(&mutex_);
  const std::int64_t last_sequence = journal_->last_sequence();
  if (ended_ && last_sequence >= ended_->last_sequence()) return *ended_;
  v1::Build build = record_.build();
  build.set_last_sequence(last_sequence);
  if (build.has_start_time() && last_sequence < started_sequence_) {
    build.set_state(v1::Build::STATE_QUEUED);
    build.clear_start_time();
  }
  return build;
}

void Build::Wait() {
  absl::MutexLock lock(&mutex_);
  if (phase_ == Phase::kWaiting &&
      spec_.queue_ttl() != absl::InfiniteDuration()) {
    // Counted from its admission, be that before a restart.
    const absl::Duration waited =
        surroundings_.now() - FromTimestamp(record_.build().create_time());
    queue_ttl_ = surroundings_.executor->After(
        std::max(spec_.queue_ttl() - waited, absl::ZeroDuration()),
        [weak = weak_from_this()] {
          if (auto build = weak.lock()) build->Stop(StopReason::kExpired);
        });
  }
  StartLinger();
}

void Build::TellPosition(int position) {
  absl::MutexLock position_lock(&position_mutex_);
  {
    absl::MutexLock lock(&mutex_);
    if (phase_ != Phase::kWaiting || position == position_) return;
  }
  position_ = position;
  v1::BuildEvent event = NewEvent();
  event.mutable_queued()->set_position(position);
  Append(std::move(event));
}

bool Build::DoesWithoutLogins() const {
  absl::MutexLock lock(&mutex_);
  return !record_.trusted_caller() && !surroundings_.share_registry_logins &&
         spec_.spec().registry_auths_size() == 0;
}

std::string Build::NoLoginsFolder() const {
  return absl::StrCat(folder_, "/tmp/docker");
}

Command Build::MakeCommand(std::vector<std::string> environment) const {
  Command command;
  command.program = spec_.nerdctl().path;
  command.argv = {spec_.nerdctl().path, "build"};
  command.argv.insert(command.argv.end(), spec_.args().begin(),
                      spec_.args().end());
  command.working_folder = spec_.working_folder();
  command.environment = std::move(environment);
  command.environment.insert(command.environment.end(),
                             spec_.environment().begin(),
                             spec_.environment().end());
  if (DoesWithoutLogins()) {
    command.environment.push_back(
        absl::StrCat("DOCKER_CONFIG=", NoLoginsFolder()));
  }
  // buildctl would fetch tokens for buildkitd, from whatever URL the registry
  // of a FROM says. So buildkitd does, whose network is for that.
  command.environment.emplace_back("BUILDKIT_NO_CLIENT_TOKEN=1");
  // What nerdctl and buildctl leave in TMPDIR when they are killed goes with
  // the build's end.
  command.environment.push_back(absl::StrCat("TMPDIR=", folder_, "/tmp"));
  command.mark = BuildMark(name_);
  command.environment.push_back(command.mark);
  return command;
}

void Build::Start(ProcessRunner& runner, std::vector<std::string> environment) {
  {
    absl::MutexLock position_lock(&position_mutex_);
    absl::MutexLock lock(&mutex_);
    if (phase_ != Phase::kWaiting) return;
    phase_ = Phase::kStarting;
    queue_ttl_.reset();
  }
  if (const absl::Status prepared = PrepareCredentials(); !prepared.ok()) {
    Finish(v1::Build::STATE_FAILED,
           Failure(absl::IsResourceExhausted(prepared) ? "NO_SPACE"
                                                       : "SPAWN_FAILED",
                   absl::StrCat("the build's credentials cannot be written: ",
                                prepared.message()),
                   true));
    return;
  }
  const Command command = MakeCommand(std::move(environment));
  argv_ = command.argv;
  absl::StatusOr<std::shared_ptr<Process>> process =
      runner.Start(command, shared_from_this());
  if (!process.ok()) {
    // A process table or memory that is full now need not be so later.
    const bool retryable = !absl::IsNotFound(process.status()) &&
                           !absl::IsPermissionDenied(process.status());
    Finish(v1::Build::STATE_FAILED,
           Failure("SPAWN_FAILED", process.status().message(), retryable));
    return;
  }
  bool stop = false;
  absl::Duration grace = spec_.grace_period();
  {
    absl::MutexLock lock(&mutex_);
    if (phase_ != Phase::kRunning) return;
    process_ = *process;
    stop = stop_.has_value();
    if (grace_cut_) grace = absl::ZeroDuration();
    if (spec_.timeout() != absl::InfiniteDuration()) {
      timeout_ = surroundings_.executor->After(
          spec_.timeout(), [weak = weak_from_this()] {
            if (auto build = weak.lock()) build->Stop(StopReason::kTimedOut);
          });
    }
    const StagingPlan& plan = spec_.staging();
    if (!plan.outputs.empty() || !plan.artifacts.empty()) WatchRoom();
  }
  if (stop) (*process)->Stop(grace);
}

void Build::WatchRoom() {
  room_ = surroundings_.executor->After(
      limits::kRoomCheckInterval, [weak = weak_from_this()] {
        const std::shared_ptr<Build> build = weak.lock();
        if (build == nullptr) return;
        const bool has_room = build->surroundings_.has_room();
        {
          absl::MutexLock lock(&build->mutex_);
          if (build->phase_ != Phase::kRunning) return;
          if (has_room) build->WatchRoom();
        }
        if (!has_room) build->Stop(StopReason::kNoSpace);
      });
}

absl::Status Build::PrepareCredentials() {
  if (DoesWithoutLogins()) {
    CONTAINERBUILDER_RETURN_IF_ERROR(WriteNoLogins(NoLoginsFolder()));
  }
  const v1::BuildSpec& spec = spec_.spec();
  if (!HasSecrets(spec)) return absl::OkStatus();
  if (!spec_.policy().keep_secrets_in_output()) {
    const auto patterns =
        std::make_shared<const PatternSet>(RevealingTextsOf(spec));
    stdout_redactor_.emplace(patterns);
    stderr_redactor_.emplace(patterns);
  }
  return surroundings_.secret_folder->Write(BuildId(name_),
                                            SecretFilesOf(spec));
}

bool Build::Stop(StopReason reason) {
  std::shared_ptr<Process> process;
  bool waits = false;
  {
    absl::MutexLock lock(&mutex_);
    if (phase_ == Phase::kParked) return false;
    if (stop_ || phase_ >= Phase::kEnding) return true;
    if (reason == StopReason::kExpired && phase_ != Phase::kWaiting) {
      return true;
    }
    stop_ = reason;
    waits = phase_ == Phase::kWaiting;
    if (waits) {
      phase_ = Phase::kEnding;
    } else {
      record_.mutable_build()->set_state(v1::Build::STATE_CANCELLING);
    }
    process = process_;
  }
  CONTAINERBUILDER_FAILPOINT("stop-begun");
  // Where the process is not there yet, Start sees stop_.
  if (process != nullptr) process->Stop(spec_.grace_period());
  surroundings_.executor->Post([self = shared_from_this(), reason, waits] {
    if (!waits) return self->Keep();
    StopOutcome outcome = OutcomeOf(reason, absl::OkStatus());
    self->Finish(outcome.state, std::move(outcome.failure));
  });
  return true;
}

void Build::CutGraceShort() {
  std::shared_ptr<Process> process;
  {
    absl::MutexLock lock(&mutex_);
    grace_cut_ = true;
    if (stop_) process = process_;
  }
  if (process != nullptr) process->Stop(absl::ZeroDuration());
}

bool Build::Park(const absl::Status& why) {
  {
    absl::MutexLock lock(&mutex_);
    if (phase_ != Phase::kWaiting) return false;
    phase_ = Phase::kParked;
    queue_ttl_.reset();
    linger_.reset();
  }
  journal_->Close(why);
  return true;
}

std::shared_ptr<void> Build::Attach(Attachment attachment) {
  {
    absl::MutexLock lock(&mutex_);
    ++(attachment == Attachment::kBuildCall ? build_calls_ : watches_);
    linger_.reset();
  }
  // Any pointer will do that is not null.
  return {this, [self = shared_from_this(), attachment](void*) {
            self->Detach(attachment);
          }};
}

void Build::Detach(Attachment attachment) {
  bool gone = false;
  {
    absl::MutexLock lock(&mutex_);
    --(attachment == Attachment::kBuildCall ? build_calls_ : watches_);
    gone = spec_.policy().disconnect_policy() == v1::DISCONNECT_POLICY_CANCEL &&
           attachment == Attachment::kBuildCall && build_calls_ == 0;
    StartLinger();
  }
  if (gone) Stop(StopReason::kClientGone);
}

void Build::StartLinger() {
  if (spec_.policy().disconnect_policy() != v1::DISCONNECT_POLICY_LINGER ||
      build_calls_ + watches_ > 0 || phase_ == Phase::kParked ||
      phase_ >= Phase::kEnding) {
    return;
  }
  linger_ =
      surroundings_.executor->After(spec_.linger(), [weak = weak_from_this()] {
        const std::shared_ptr<Build> build = weak.lock();
        if (build == nullptr) return;
        {
          absl::MutexLock lock(&build->mutex_);
          if (build->build_calls_ + build->watches_ > 0) return;
        }
        build->Stop(StopReason::kClientGone);
      });
}

bool Build::WhenEnded(std::function<void()> on_end) {
  absl::MutexLock lock(&mutex_);
  if (end_told_) return false;
  when_ended_.push_back(std::move(on_end));
  return true;
}

void Build::TellEnded() {
  std::vector<std::function<void()>> when_ended;
  {
    absl::MutexLock lock(&mutex_);
    end_told_ = true;
    when_ended.swap(when_ended_);
  }
  for (const std::function<void()>& on_end : when_ended) on_end();
}

void Build::Keep() {
  absl::MutexLock keep_lock(&keep_mutex_);
  storage::v1::BuildRecord record;
  {
    absl::MutexLock lock(&mutex_);
    record = record_;
  }
  surroundings_.keep(record);
}

void Build::OnStart(std::int64_t pid) {
  CONTAINERBUILDER_FAILPOINT("process-spawned");
  const std::optional<ProcessId> process =
      IdentifyProcess(static_cast<pid_t>(pid));
  {
    absl::MutexLock lock(&mutex_);
    phase_ = Phase::kRunning;
    v1::Build& build = *record_.mutable_build();
    started_sequence_ = journal_->last_sequence() + 1;
    // Stop may have come in between.
    if (!stop_) build.set_state(v1::Build::STATE_RUNNING);
    *build.mutable_start_time() = ToTimestamp(surroundings_.now());
    if (process) {
      storage::v1::ProcessIdentity& identity = *record_.mutable_process();
      identity.set_pid(process->pid);
      identity.set_start_ticks(process->start_ticks);
      identity.set_boot_id(process->boot_id);
    }
  }
  v1::BuildEvent event = NewEvent();
  v1::BuildStarted& started = *event.mutable_started();
  for (const std::string& argument : argv_) {
    started.add_argv(MaskSecrets(argument));
  }
  started.set_pid(pid);
  started.set_nerdctl_version(spec_.nerdctl().version);
  for (std::string& warning : SecretWarnings(spec_.spec())) {
    started.add_warnings(std::move(warning));
  }
  Append(std::move(event), /*synced=*/true);
  CONTAINERBUILDER_FAILPOINT("started-synced");
  Keep();
  CONTAINERBUILDER_FAILPOINT("process-recorded");
}

void Build::OnOutput(OutputStream stream, absl::string_view data) {
  Redactor* redactor = RedactorOf(stream);
  if (redactor == nullptr) return RelayChunk(stream, data);
  Relay(stream, redactor->Feed(data));
}

Redactor* Build::RedactorOf(OutputStream stream) {
  std::optional<Redactor>& redactor =
      stream == OutputStream::kStdout ? stdout_redactor_ : stderr_redactor_;
  return redactor ? &*redactor : nullptr;
}

void Build::Relay(OutputStream stream, absl::string_view data) {
  while (!data.empty()) {
    RelayChunk(stream, data.substr(0, limits::kMaxOutputChunkBytes));
    data.remove_prefix(std::min(data.size(), limits::kMaxOutputChunkBytes));
  }
}

void Build::RelayChunk(OutputStream stream, absl::string_view data) {
  if (log_closed_) return;
  if (surroundings_.disk_is_full()) {
    log_closed_ = true;
    Stop(StopReason::kNoSpace);
    return;
  }
  v1::BuildEvent event = NewEvent();
  v1::BuildOutput& output = *event.mutable_output();
  bool limit_reached = false;
  {
    absl::MutexLock lock(&mutex_);
    const v1::Build& build = record_.build();
    const std::int64_t room = surroundings_.max_log_bytes -
                              build.stdout_bytes() - build.stderr_bytes();
    limit_reached = static_cast<std::int64_t>(data.size()) > room;
    if (limit_reached) data = data.substr(0, static_cast<std::size_t>(room));
    if (stream == OutputStream::kStdout) {
      output.set_stream(v1::BuildOutput::STREAM_STDOUT);
      output.set_offset(build.stdout_bytes());
    } else {
      output.set_stream(v1::BuildOutput::STREAM_STDERR);
      output.set_offset(build.stderr_bytes());
    }
  }
  if (!data.empty()) {
    const std::int64_t end =
        output.offset() + static_cast<std::int64_t>(data.size());
    output.set_data(data.data(), data.size());
    if (!Append(std::move(event))) {
      log_closed_ = true;
      return;
    }
    CONTAINERBUILDER_FAILPOINT("output-appended");
    {
      absl::MutexLock lock(&mutex_);
      v1::Build& build = *record_.mutable_build();
      if (stream == OutputStream::kStdout) {
        build.set_stdout_bytes(end);
      } else {
        build.set_stderr_bytes(end);
      }
    }
    AppendSteps(progress_.Feed(stream, data, surroundings_.now()));
  }
  if (limit_reached) {
    log_closed_ = true;
    Stop(StopReason::kLogLimit);
    return;
  }
  unchecked_bytes_ += static_cast<std::int64_t>(data.size());
  if (unchecked_bytes_ < limits::kDiskCheckBytes) return;
  unchecked_bytes_ = 0;
  if (!surroundings_.has_room()) {
    log_closed_ = true;
    Stop(StopReason::kNoSpace);
  }
}

void Build::OnExit(const ExitStatus& status) {
  // The end waits for the disk, and this is a thread that others' output needs.
  surroundings_.executor->Post(
      [self = shared_from_this(), status] { self->End(status); });
}

void Build::End(ExitStatus status) {
  for (const OutputStream stream :
       {OutputStream::kStdout, OutputStream::kStderr}) {
    Redactor* redactor = RedactorOf(stream);
    if (redactor != nullptr) Relay(stream, redactor->Finish());
  }
  AppendSteps(progress_.Finish(surroundings_.now()));
  v1::BuildFailure failure = progress_.Failure(status);
  if (status.exit_code == 1 && status.term_signal == 0 &&
      absl::StrContains(failure.log_tail(), kNoImage) &&
      HasWholeArchive(spec_.staging(), StagingFolder())) {
    // nerdctl 1.7 looks for the image that it was told not to load.
    status.exit_code = 0;
  }
  std::optional<StopReason> stop;
  absl::Status log_error;
  {
    absl::MutexLock lock(&mutex_);
    v1::Build& build = *record_.mutable_build();
    build.set_exit_code(status.exit_code);
    build.set_term_signal(status.term_signal);
    build.set_image_digest(progress_.image_digest());
    stop = stop_;
    log_error = log_error_;
  }
  // A sync in the background may have failed since the last event.
  if (log_error.ok()) log_error = journal_->status();
  const bool exited_well = status.exit_code == 0 && status.term_signal == 0;
  const bool log_is_whole = log_error.ok() && !log_closed_;
  // A stop that came too late has stopped nothing: the image is there.
  if (exited_well && log_is_whole) {
    if (spec_.staging().outputs.empty() && spec_.staging().artifacts.empty()) {
      Finish(v1::Build::STATE_SUCCEEDED, std::nullopt);
    } else {
      surroundings_.copies->Post(
          [self = shared_from_this()] { self->Deliver(); });
    }
    return;
  }
  if (!stop && !log_error.ok()) stop = StopReason::kLogFailed;
  if (!stop) {
    Finish(v1::Build::STATE_FAILED, std::move(failure));
    return;
  }
  const StopOutcome outcome = OutcomeOf(*stop, log_error);
  failure.set_reason(outcome.failure.reason());
  failure.set_message(outcome.failure.message());
  failure.set_retryable(outcome.failure.retryable());
  Finish(outcome.state, std::move(failure));
}

void Build::Deliver() {
  const auto stop = [this] {
    absl::MutexLock lock(&mutex_);
    return stop_;
  };
  TreeCopier::Limits limits = surroundings_.copy_limits();
  limits.cancelled = [&stop] { return stop().has_value(); };
  const absl::Status delivered = DeliverAll(limits);
  if (delivered.ok()) {
    Finish(v1::Build::STATE_SUCCEEDED, std::nullopt);
    return;
  }
  if (const std::optional<StopReason> reason = stop();
      reason && absl::IsCancelled(delivered)) {
    StopOutcome outcome = OutcomeOf(*reason, absl::OkStatus());
    Finish(outcome.state, std::move(outcome.failure));
    return;
  }
  const bool is_full = absl::IsResourceExhausted(delivered);
  Finish(v1::Build::STATE_FAILED, Failure(is_full ? "NO_SPACE" : "STORAGE",
                                          delivered.message(), is_full));
}

absl::Status Build::DeliverAll(const TreeCopier::Limits& limits) {
  CONTAINERBUILDER_RETURN_IF_ERROR(
      DeliverOutputs(spec_.staging(), StagingFolder(), limits));
  CopyLimits artifact_limits = limits;
  {
    absl::MutexLock lock(&mutex_);
    if (record_.trusted_caller()) {
      artifact_limits.max_bytes = std::numeric_limits<std::int64_t>::max();
    }
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const std::vector<v1::Artifact> artifacts,
      KeepArtifacts(spec_.staging(), folder_, name_, artifact_limits));
  absl::MutexLock lock(&mutex_);
  record_.mutable_build()->mutable_artifacts()->Assign(artifacts.begin(),
                                                       artifacts.end());
  return absl::OkStatus();
}

std::string Build::StagingFolder() const {
  return absl::StrCat(folder_, kStagingFolder);
}

v1::BuildEvent Build::NewEvent() const {
  v1::BuildEvent event;
  event.set_name(name_);
  *event.mutable_event_time() = ToTimestamp(surroundings_.now());
  return event;
}

bool Build::Append(v1::BuildEvent event, bool synced) {
  {
    absl::MutexLock lock(&mutex_);
    if (!log_error_.ok()) return false;
  }
  const absl::Status appended =
      synced ? journal_->AppendSynced(event) : journal_->Append(event);
  if (appended.ok()) return true;
  {
    absl::MutexLock lock(&mutex_);
    log_error_ = appended;
  }
  Stop(StopReason::kLogFailed);
  return false;
}

void Build::AppendSteps(std::vector<v1::BuildStep> steps) {
  for (v1::BuildStep& step : steps) {
    v1::BuildEvent event = NewEvent();
    *event.mutable_step() = std::move(step);
    Append(std::move(event));
  }
}

void Build::Finish(v1::Build::State state,
                   std::optional<v1::BuildFailure> failure) {
  ClearWork(folder_);
  if (state != v1::Build::STATE_SUCCEEDED) DropArtifacts(folder_);
  if (HasSecrets(spec_.spec())) {
    surroundings_.secret_folder->Remove(BuildId(name_));
  }
  v1::BuildEvent event = NewEvent();
  {
    // A position that is being told comes before, and is counted.
    absl::MutexLock position_lock(&position_mutex_);
    {
      absl::MutexLock lock(&mutex_);
      v1::Build build = record_.build();
      build.set_state(state);
      *build.mutable_finish_time() = event.event_time();
      if (failure) *build.mutable_failure() = *std::move(failure);
      build.set_last_sequence(journal_->last_sequence() + 1);
      *event.mutable_finished()->mutable_build() = build;
      ended_ = std::move(build);
      phase_ = Phase::kEnded;
      process_.reset();
      queue_ttl_.reset();
      timeout_.reset();
      linger_.reset();
      room_.reset();
    }
    // Where the disk does not take it, watchers get the end from memory, and
    // the record has it, too; it is no success then.
    const auto amend = [this](const absl::Status& error, v1::BuildEvent& last) {
      absl::MutexLock lock(&mutex_);
      if (ended_->state() != v1::Build::STATE_SUCCEEDED) return;
      StopOutcome outcome = OutcomeOf(StopReason::kLogFailed, error);
      ended_->set_state(outcome.state);
      *ended_->mutable_failure() = std::move(outcome.failure);
      ended_->clear_artifacts();
      DropArtifacts(folder_);
      *last.mutable_finished()->mutable_build() = *ended_;
    };
    journal_->Finish(event, amend).IgnoreError();
  }
  CONTAINERBUILDER_FAILPOINT("finished-synced");
  {
    absl::MutexLock lock(&mutex_);
    *record_.mutable_build() = *ended_;
    record_.set_journal_bytes(journal_->size_bytes() + ArtifactBytes(*ended_));
  }
  Keep();
  CONTAINERBUILDER_FAILPOINT("end-recorded");
  surroundings_.on_end(shared_from_this());
}

}  // namespace containerbuilder::service
