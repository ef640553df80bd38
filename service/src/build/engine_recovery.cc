// What the engine does about the past: at its start about what an earlier run
// left, and from then on about builds that are old enough to be forgotten.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/build_state.h"
#include "base/failpoint.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "base/timestamps.h"
#include "build/artifacts.h"
#include "build/engine.h"
#include "build/recovery.h"
#include "process/leftovers.h"
#include "store/sqlite_build_store.h"

namespace containerbuilder::service {
namespace {

using storage::v1::BuildRecord;

// The same caller, as far as the service may still know him.
Caller CallerOf(const BuildRecord& record) {
  return {record.build().requester(), record.trusted_caller(),
          record.admin_caller() ? Role::kAdmin : Role::kBuilder};
}

v1::BuildFailure Failure(absl::string_view reason, absl::string_view message,
                         bool retryable) {
  v1::BuildFailure failure;
  failure.set_reason(std::string(reason));
  failure.set_message(std::string(message));
  failure.set_retryable(retryable);
  return failure;
}

// The requester who has most of what there is too much of; nobody where there
// is not.
std::optional<std::string> WhoseToForget(
    const std::map<std::string, BuildStore::Totals>& totals,
    std::int64_t retain_builds, std::int64_t retain_bytes) {
  const auto most_of = [&](std::int64_t BuildStore::Totals::*amount,
                           std::int64_t limit) -> std::optional<std::string> {
    std::int64_t sum = 0;
    std::int64_t most = 0;
    std::string whose;
    for (const auto& [requester, has] : totals) {
      sum += has.*amount;
      if (has.*amount <= most) continue;
      most = has.*amount;
      whose = requester;
    }
    if (sum <= limit) return std::nullopt;
    return whose;
  };
  const auto whose = most_of(&BuildStore::Totals::ended_builds, retain_builds);
  return whose ? whose
               : most_of(&BuildStore::Totals::ended_bytes, retain_bytes);
}

}  // namespace

absl::Status Engine::OpenStore() {
  const std::string path = state_.records_path();
  const auto open = [&]() -> absl::StatusOr<std::unique_ptr<SqliteBuildStore>> {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        std::unique_ptr<SqliteBuildStore> opened,
        SqliteBuildStore::Open(path, {.uptime = host_.uptime}));
    // The records that the start needs: SQLite itself does not check them.
    CONTAINERBUILDER_RETURN_IF_ERROR(opened->Unfinished().status());
    return opened;
  };
  absl::StatusOr<std::unique_ptr<SqliteBuildStore>> store = open();
  if (absl::IsDataLoss(store.status())) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const std::string aside, SqliteBuildStore::SetAside(path, host_.now()));
    CONTAINERBUILDER_FAILPOINT("records-set-aside");
    logger_->error(
        "the records are damaged ({}); they are kept as {} and made anew from "
        "the journals",
        std::string(store.status().message()), aside);
    store = open();
  }
  if (absl::IsResourceExhausted(store.status())) {
    // What the last run kept back from a disk that is full.
    reserve_.Release();
    store = open();
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(store.status());
  store_ = *std::move(store);
  return absl::OkStatus();
}

absl::Status Engine::Recover() {
  for (const std::string& kept : state_.ClearLeftovers()) {
    logger_->error("left over, and cannot be removed: {}", kept);
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                                    state_.FindBuilds());
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                                    store_->Names());
  CONTAINERBUILDER_ASSIGN_OR_RETURN(std::vector<BuildRecord> unfinished,
                                    store_->Unfinished());

  // A record with no folder: a crash came between the two steps of Forget.
  absl::flat_hash_set<std::string> with_folder;
  for (const std::string& id : ids) with_folder.insert(BuildName(id));
  absl::flat_hash_set<std::string> recorded;
  for (const std::string& name : names) {
    if (with_folder.contains(name)) {
      recorded.insert(name);
    } else {
      CONTAINERBUILDER_RETURN_IF_ERROR(store_->Delete(name));
    }
  }

  // What the journals tell of builds that have not ended, and of those that
  // the store does not know. Ended builds that it knows are left alone.
  std::vector<Leftover> leftovers;
  std::vector<RecoveredBuild> builds;
  const auto recover =
      [&](const std::string& name,
          const std::optional<BuildRecord>& stored) -> absl::Status {
    RecoveredBuild build = RecoverBuild(state_.build_path(BuildId(name)), name,
                                        stored, JournalOptions());
    // Nothing is wrong with the build then, and the next start may do better.
    if (absl::IsResourceExhausted(build.damage)) return build.damage;
    if (!build.record && absl::IsNotFound(build.damage)) {
      // The crash came before it was admitted.
      state_.DiscardBuild(BuildId(name)).IgnoreError();
      return absl::OkStatus();
    }
    if (!build.damage.ok()) {
      logger_->error("{}: {}", name, std::string(build.damage.message()));
    }
    for (const std::string& repair : build.repairs) {
      logger_->warn("{}: {}", name, repair);
    }
    if (!build.record) return absl::OkStatus();
    if (!HasEnded(build.record->build().state())) {
      Leftover leftover = {BuildMark(name), std::nullopt};
      if (build.record->has_process()) {
        const storage::v1::ProcessIdentity& process = build.record->process();
        leftover.leader = ProcessId{static_cast<pid_t>(process.pid()),
                                    process.start_ticks(), process.boot_id()};
      }
      leftovers.push_back(std::move(leftover));
    }
    builds.push_back(std::move(build));
    return absl::OkStatus();
  };
  for (BuildRecord& record : unfinished) {
    const std::string name = record.build().name();
    if (!recorded.contains(name)) continue;
    CONTAINERBUILDER_RETURN_IF_ERROR(recover(name, std::move(record)));
  }
  const std::size_t known = builds.size();
  for (const std::string& id : ids) {
    const std::string name = BuildName(id);
    if (recorded.contains(name)) continue;
    CONTAINERBUILDER_RETURN_IF_ERROR(recover(name, std::nullopt));
  }
  if (const absl::Status ended =
          EndLeftovers(leftovers, limits::kLeftoverTimeout);
      !ended.ok()) {
    logger_->error("what earlier builds left running: {}",
                   std::string(ended.message()));
  }
  CONTAINERBUILDER_FAILPOINT("leftovers-ended");

  CONTAINERBUILDER_RETURN_IF_ERROR(RecordUnknown(builds, known));
  CONTAINERBUILDER_FAILPOINT("unknown-recorded");
  for (std::size_t i = 0; i < builds.size(); ++i) {
    // Recorded as ended just now.
    if (i >= known && HasEnded(builds[i].record->build().state())) continue;
    CONTAINERBUILDER_RETURN_IF_ERROR(TakeUp(std::move(builds[i])));
  }
  return absl::OkStatus();
}

// Takes away, from builds[known] on, what was never admitted: it was to be
// taken back, but could not be, and its request made another build since.
absl::Status Engine::DropUnadmitted(std::vector<RecoveredBuild>& builds,
                                    std::size_t known) {
  absl::flat_hash_set<std::pair<std::string, std::string>> requests;
  // Of two of one request, the later one.
  for (std::size_t i = builds.size(); i-- > known;) {
    const BuildRecord& record = *builds[i].record;
    const std::string& requester = record.build().requester();
    const std::string& request_id = record.request_id();
    if (request_id.empty()) continue;
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const std::optional<BuildRecord> other,
        store_->FindByRequestId(requester, request_id));
    if (!other && requests.emplace(requester, request_id).second) continue;
    logger_->warn("{}: was never admitted; another build has its request id",
                  record.build().name());
    CONTAINERBUILDER_RETURN_IF_ERROR(
        state_.DiscardBuild(BuildId(record.build().name())));
    builds.erase(builds.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return absl::OkStatus();
}

// Gives builds[known] and those behind it a record, in their order of arrival.
absl::Status Engine::RecordUnknown(std::vector<RecoveredBuild>& builds,
                                   std::size_t known) {
  const auto created = [](const RecoveredBuild& build) {
    return FromTimestamp(build.record->build().create_time());
  };
  std::stable_sort(builds.begin() + static_cast<std::ptrdiff_t>(known),
                   builds.end(),
                   [&](const RecoveredBuild& a, const RecoveredBuild& b) {
                     return created(a) < created(b);
                   });
  CONTAINERBUILDER_RETURN_IF_ERROR(DropUnadmitted(builds, known));
  const auto unknown = builds.begin() + static_cast<std::ptrdiff_t>(known);
  if (unknown == builds.end()) return absl::OkStatus();
  std::vector<BuildRecord> records;
  for (auto build = unknown; build != builds.end(); ++build) {
    records.push_back(*build->record);
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(store_->InsertAll(records));
  logger_->warn("{} builds were made known again from their journals",
                records.size());
  for (auto build = unknown; build != builds.end(); ++build) {
    if (HasEnded(build->record->build().state())) continue;
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const BuildRecord record, store_->Get(build->record->build().name()));
    build->record->set_arrival(record.arrival());
  }
  return absl::OkStatus();
}

// Brings a build that was cut short to where it goes on from.
absl::Status Engine::TakeUp(RecoveredBuild build) {
  BuildRecord& record = *build.record;
  const std::string name = record.build().name();
  if (HasEnded(record.build().state())) {
    // The store has not heard of its end.
    return store_->Update(record);
  }
  if (record.build().has_start_time()) {
    return EndNow(
        std::move(build), v1::Build::STATE_INTERRUPTED,
        Failure("CRASHED", "the service died while the build ran", true));
  }
  if (build.journal == nullptr) {
    return EndNow(
        std::move(build), v1::Build::STATE_INTERRUPTED,
        Failure("STORAGE",
                "the service died while the build waited, and its journal is "
                "damaged; send it again",
                true));
  }
  if (record.has_secrets()) {
    return EndNow(
        std::move(build), v1::Build::STATE_INTERRUPTED,
        Failure("SECRETS_LOST",
                "the service died while the build waited, and its secrets, "
                "which are held in memory alone, with it; send it again",
                true));
  }
  return Requeue(std::move(build));
}

// Ends it as it is.
absl::Status Engine::EndNow(RecoveredBuild recovered, v1::Build::State state,
                            v1::BuildFailure failure) {
  BuildRecord& record = *recovered.record;
  v1::Build& build = *record.mutable_build();
  // First: once it has ended, nobody looks after it any more.
  ClearWork(state_.build_path(BuildId(build.name())));
  DropArtifacts(state_.build_path(BuildId(build.name())));
  build.set_state(state);
  *build.mutable_finish_time() = ToTimestamp(host_.now());
  *build.mutable_failure() = std::move(failure);
  if (recovered.journal != nullptr) {
    build.set_last_sequence(recovered.journal->last_sequence() + 1);
    v1::BuildEvent event;
    event.set_name(build.name());
    *event.mutable_event_time() = build.finish_time();
    *event.mutable_finished()->mutable_build() = build;
    if (const absl::Status written = recovered.journal->Finish(event);
        !written.ok()) {
      logger_->error("{}: {}", build.name(), std::string(written.message()));
    }
    CONTAINERBUILDER_FAILPOINT("interruption-synced");
    record.set_journal_bytes(recovered.journal->size_bytes());
  }
  logger_->warn("{}: {} for {}: {}", build.name(), v1::Build::State_Name(state),
                build.requester(), build.failure().reason());
  return store_->Update(record);
}

// Admits it again, unless its time is over: the operator's rules and the
// installed nerdctl may be others by now.
absl::Status Engine::Requeue(RecoveredBuild build) {
  const BuildRecord& record = *build.record;
  const absl::Duration queue_ttl =
      ToDuration(record.build().policy().queue_ttl());
  const absl::Duration waited =
      host_.now() - FromTimestamp(record.build().create_time());
  if (queue_ttl > absl::ZeroDuration() && waited >= queue_ttl) {
    StopOutcome outcome = OutcomeOf(StopReason::kExpired, absl::OkStatus());
    return EndNow(std::move(build), outcome.state, std::move(outcome.failure));
  }
  const std::string folder = state_.build_path(BuildId(record.build().name()));
  // What it reads was copied when it was admitted first.
  const StagingPlace staging = {absl::StrCat(folder, kStagingFolder),
                                /*filled=*/true};
  const std::shared_ptr<const Policy> rules = policy();
  absl::StatusOr<NerdctlInfo> nerdctl = toolchain_.Nerdctl();
  absl::StatusOr<AdmittedSpec> spec =
      nerdctl.ok()
          ? rules->Admit(record.build().spec(), record.build().policy(),
                         CallerOf(record), *nerdctl, staging)
          : nerdctl.status();
  if (spec.ok()) {
    const absl::Status checked =
        rules->CheckStaged(*spec, staging.folder, CallerOf(record));
    if (!checked.ok()) spec = checked;
  }
  if (!spec.ok()) {
    return EndNow(
        std::move(build), v1::Build::STATE_FAILED,
        Failure("SPAWN_FAILED",
                absl::StrCat("it was admitted before the service was started "
                             "anew, and cannot run now: ",
                             spec.status().message()),
                !nerdctl.ok()));
  }
  CONTAINERBUILDER_FAILPOINT("requeueing");
  const int priority = record.build().policy().priority();
  const std::int64_t arrival = record.arrival();
  Enqueue(
      Build::Create(*std::move(build.record), *std::move(spec),
                    std::move(build.journal), folder, SurroundingsOfBuilds()),
      priority, arrival, /*place=*/nullptr);
  return absl::OkStatus();
}

// --- Retention --------------------------------------------------------------

void Engine::SweepSoon(absl::Duration delay) {
  absl::MutexLock lock(&mutex_);
  if (draining_) return;
  sweep_timer_ = work_.After(delay, [this] {
    Sweep();
    SweepSoon(options_.retention_interval);
  });
}

// The time by which ages are told: a wall clock that is set forward makes no
// build older.
absl::Time Engine::RetentionTime() const {
  return std::min(host_.now(), made_ + (host_.uptime() - made_uptime_));
}

void Engine::Sweep() {
  // Where there is no room yet, the next sweep tries again.
  reserve_.Refill().IgnoreError();
  blobs_->Sweep();
  const absl::Status swept = ForgetOldest();
  if (!swept.ok()) {
    logger_->error("retention: {}", std::string(swept.message()));
  }
}

absl::Status Engine::ForgetOldest() {
  const Bounds bounds = [this] {
    absl::MutexLock lock(&mutex_);
    return bounds_;
  }();
  CONTAINERBUILDER_ASSIGN_OR_RETURN(TotalsByRequester totals,
                                    store_->EndedTotals());
  int left = limits::kMaxForgottenAtOnce;
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const std::vector<std::string> too_old,
      store_->OldestEnded({.ended_before = RetentionTime() - bounds.retain_age,
                           .limit = left}));
  for (const std::string& name : too_old) {
    left -= ForgetEnded(name, totals) ? 1 : 0;
  }
  // Beyond that nobody's builds are forgotten for those of somebody who has
  // more.
  std::map<std::string, std::deque<std::string>> oldest_of;
  while (left > 0) {
    const std::optional<std::string> requester =
        WhoseToForget(totals, bounds.retain_builds, bounds.retain_bytes);
    if (!requester) break;
    const auto [his, is_new] = oldest_of.try_emplace(*requester);
    if (is_new) {
      CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                                        store_->OldestEnded({
                                            .requester = requester,
                                            .limit = left,
                                        }));
      his->second.assign(names.begin(), names.end());
    }
    if (his->second.empty()) break;
    left -= ForgetEnded(his->second.front(), totals) ? 1 : 0;
    his->second.pop_front();
  }
  return absl::OkStatus();
}

bool Engine::ForgetEnded(const std::string& name, TotalsByRequester& totals) {
  if (FindLive(name) != nullptr) return false;  // its end is being recorded
  const absl::StatusOr<BuildRecord> record = store_->Get(name);
  // It was deleted just now.
  if (absl::IsNotFound(record.status())) return false;
  const absl::Status gone = record.ok() ? Forget(name) : record.status();
  if (!gone.ok()) {
    logger_->error("{}: cannot be forgotten: {}", name,
                   std::string(gone.message()));
    return false;
  }
  BuildStore::Totals& his = totals[record->build().requester()];
  --his.ended_builds;
  his.ended_bytes -= record->journal_bytes();
  logger_->info("{} of {}: forgotten", name, record->build().requester());
  return true;
}

}  // namespace containerbuilder::service
