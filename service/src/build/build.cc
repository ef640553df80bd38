#include "build/build.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/timestamps.h"
#include "base/utf8.h"
#include "build/command_line.h"

namespace containerbuilder::service {
namespace {

std::string Joined(const v1::PairList& pairs) {
  return absl::StrJoin(pairs.pairs(), ",",
                       [](std::string* out, const v1::Pair& pair) {
                         absl::StrAppend(out, pair.key(), "=", pair.value());
                       });
}

void MaskPairs(v1::PairList& pairs) {
  for (v1::Pair& pair : *pairs.mutable_pairs()) {
    const std::string shown =
        MaskSecrets(absl::StrCat(pair.key(), "=", pair.value()));
    pair.set_value(shown.substr(shown.find('=') + 1));
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

// The spec as it may be kept and shown.
v1::BuildSpec Masked(v1::BuildSpec spec) {
  v1::BuildOptions& options = *spec.mutable_options();
  for (v1::OptionValue* value :
       {options.mutable_build_arg(), options.mutable_cache_from(),
        options.mutable_cache_to(), options.mutable_label(),
        options.mutable_output(), options.mutable_secret()}) {
    MaskValue(*value);
  }
  for (v1::Option& option : *options.mutable_options()) {
    MaskValue(*option.mutable_value());
  }
  return spec;
}

struct StopOutcome {
  v1::Build::State state;
  absl::string_view reason;
  absl::string_view message;
  bool retryable;
};

StopOutcome OutcomeOf(StopReason reason, const absl::Status& log_error) {
  switch (reason) {
    case StopReason::kClientGone:
      return {v1::Build::STATE_CANCELLED, "CLIENT_GONE",
              "the caller went away: it cancelled the call, its deadline "
              "passed, or the connection was lost",
              false};
    case StopReason::kCancelledByCaller:
      return {v1::Build::STATE_CANCELLED, "CANCELLED_BY_CALLER",
              "a caller cancelled the build", false};
    case StopReason::kTimedOut:
      return {v1::Build::STATE_TIMED_OUT, "TIMED_OUT",
              "the build ran longer than policy.timeout", false};
    case StopReason::kShutdown:
      return {v1::Build::STATE_INTERRUPTED, "SHUTDOWN",
              "the service was stopped while the build ran", true};
    case StopReason::kLogFailed:
      return {v1::Build::STATE_FAILED,
              absl::IsResourceExhausted(log_error) ? "NO_SPACE" : "STORAGE",
              log_error.message(), true};
  }
  return {v1::Build::STATE_FAILED, "UNKNOWN", "", false};
}

}  // namespace

absl::StatusOr<std::shared_ptr<Build>> Build::Create(
    const std::string& id, AdmittedSpec spec,
    const google::protobuf::Map<std::string, std::string>& annotations,
    const std::string& requester, const std::string& folder,
    std::function<absl::Time()> now, Executor* executor) {
  std::error_code error;
  std::filesystem::create_directories(folder + "/tmp", error);
  if (error) {
    return absl::ErrnoToStatus(error.value(), absl::StrCat("making ", folder));
  }
  absl::StatusOr<std::shared_ptr<Journal>> journal =
      Journal::Create(folder + "/journal");
  if (!journal.ok()) {
    std::filesystem::remove_all(folder, error);
    return std::move(journal).status();
  }
  std::shared_ptr<Build> build(
      new Build(absl::StrCat("builds/", id), std::move(spec), folder,
                std::move(now), executor, *std::move(journal)));
  v1::Build& record = build->record_;
  record.set_name(build->name_);
  record.set_state(v1::Build::STATE_QUEUED);
  *record.mutable_create_time() = ToTimestamp(build->now_());
  *record.mutable_spec() = Masked(build->spec_.spec());
  *record.mutable_policy() = build->spec_.policy();
  record.set_requester(requester);
  *record.mutable_annotations() = annotations;
  return build;
}

Build::Build(std::string name, AdmittedSpec spec, std::string folder,
             std::function<absl::Time()> now, Executor* executor,
             std::shared_ptr<Journal> journal)
    : name_(std::move(name)),
      spec_(std::move(spec)),
      folder_(std::move(folder)),
      now_(std::move(now)),
      executor_(executor),
      journal_(std::move(journal)) {}

Build::~Build() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void Build::Start(ProcessRunner& runner, std::vector<std::string> environment,
                  std::function<void(const v1::Build&)> on_end) {
  on_end_ = std::move(on_end);

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
  // What nerdctl and buildctl leave in TMPDIR when they are killed goes with
  // the build's folder.
  command.environment.push_back(absl::StrCat("TMPDIR=", folder_, "/tmp"));
  command.mark = absl::StrCat("CONTAINER_BUILDER_BUILD=", name_);
  command.environment.push_back(command.mark);
  argv_ = command.argv;

  absl::StatusOr<std::shared_ptr<Process>> process =
      runner.Start(command, shared_from_this());
  if (!process.ok()) {
    v1::BuildFailure failure;
    failure.set_reason("SPAWN_FAILED");
    failure.set_message(ToUtf8(process.status().message()));
    // A process table or memory that is full now need not be so later.
    failure.set_retryable(!absl::IsNotFound(process.status()) &&
                          !absl::IsPermissionDenied(process.status()));
    Finish(v1::Build::STATE_FAILED, std::move(failure));
    return;
  }
  bool stop = false;
  {
    absl::MutexLock lock(&mutex_);
    if (ended_) return;
    process_ = *process;
    stop = stop_.has_value();
    if (spec_.timeout() != absl::InfiniteDuration()) {
      timeout_ = executor_->After(spec_.timeout(), [weak = weak_from_this()] {
        if (auto build = weak.lock()) build->Stop(StopReason::kTimedOut);
      });
    }
  }
  if (stop) (*process)->Stop(spec_.grace_period());
}

void Build::Stop(StopReason reason) {
  std::shared_ptr<Process> process;
  {
    absl::MutexLock lock(&mutex_);
    if (stop_ || ended_) return;
    stop_ = reason;
    process = process_;
  }
  // Where it is not there yet, Start sees stop_.
  if (process != nullptr) process->Stop(spec_.grace_period());
}

void Build::OnStart(std::int64_t pid) {
  record_.set_state(v1::Build::STATE_RUNNING);
  *record_.mutable_start_time() = ToTimestamp(now_());
  v1::BuildEvent event = NewEvent();
  v1::BuildStarted& started = *event.mutable_started();
  for (const std::string& argument : argv_) {
    started.add_argv(MaskSecrets(argument));
  }
  started.set_pid(pid);
  started.set_nerdctl_version(spec_.nerdctl().version);
  Append(std::move(event));
}

void Build::OnOutput(OutputStream stream, absl::string_view data) {
  v1::BuildEvent event = NewEvent();
  v1::BuildOutput& output = *event.mutable_output();
  output.set_data(data.data(), data.size());
  const auto bytes = static_cast<std::int64_t>(data.size());
  if (stream == OutputStream::kStdout) {
    output.set_stream(v1::BuildOutput::STREAM_STDOUT);
    output.set_offset(record_.stdout_bytes());
    record_.set_stdout_bytes(record_.stdout_bytes() + bytes);
  } else {
    output.set_stream(v1::BuildOutput::STREAM_STDERR);
    output.set_offset(record_.stderr_bytes());
    record_.set_stderr_bytes(record_.stderr_bytes() + bytes);
  }
  Append(std::move(event));
  AppendSteps(progress_.Feed(stream, data, now_()));
}

void Build::OnExit(const ExitStatus& status) {
  AppendSteps(progress_.Finish(now_()));
  record_.set_exit_code(status.exit_code);
  record_.set_term_signal(status.term_signal);
  record_.set_image_digest(progress_.image_digest());

  std::optional<StopReason> stop;
  {
    absl::MutexLock lock(&mutex_);
    stop = stop_;
  }
  const bool exited_well = status.exit_code == 0 && status.term_signal == 0;
  // A stop that came too late has stopped nothing: the image is there.
  if (exited_well && (!stop || *stop != StopReason::kLogFailed)) {
    Finish(v1::Build::STATE_SUCCEEDED, std::nullopt);
    return;
  }
  v1::BuildFailure failure = progress_.Failure(status);
  if (!stop) {
    Finish(v1::Build::STATE_FAILED, std::move(failure));
    return;
  }
  const StopOutcome outcome = OutcomeOf(*stop, log_error_);
  failure.set_reason(std::string(outcome.reason));
  failure.set_message(std::string(outcome.message));
  failure.set_retryable(outcome.retryable);
  Finish(outcome.state, std::move(failure));
}

v1::BuildEvent Build::NewEvent() const {
  v1::BuildEvent event;
  event.set_name(name_);
  *event.mutable_event_time() = ToTimestamp(now_());
  return event;
}

void Build::Append(v1::BuildEvent event) {
  if (!log_error_.ok()) return;
  log_error_ = journal_->Append(event);
  if (!log_error_.ok()) Stop(StopReason::kLogFailed);
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
  record_.set_state(state);
  *record_.mutable_finish_time() = ToTimestamp(now_());
  if (failure) *record_.mutable_failure() = *std::move(failure);
  record_.set_last_sequence(journal_->last_sequence() + 1);
  v1::BuildEvent event = NewEvent();
  *event.mutable_finished()->mutable_build() = record_;
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    process_.reset();
    timeout_.reset();
  }
  journal_->Finish(event);
  on_end_(record_);
}

}  // namespace containerbuilder::service
