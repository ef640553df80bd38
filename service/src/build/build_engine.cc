#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "build/engine.h"
#include "containerbuilder/service/engine.h"

namespace containerbuilder::service {

absl::StatusOr<std::unique_ptr<BuildEngine>> BuildEngine::Create(
    EngineOptions options) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine,
                                    Engine::Create(std::move(options)));
  return std::unique_ptr<BuildEngine>(new BuildEngine(std::move(engine)));
}

BuildEngine::BuildEngine(std::unique_ptr<Engine> engine)
    : engine_(std::move(engine)) {}

BuildEngine::~BuildEngine() = default;

v1::HealthResponse BuildEngine::Health() {
  return engine_->Health(limits::kHealthFreshness);
}

absl::StatusOr<v1::ConstructArgsResponse> BuildEngine::ConstructArgs(
    const v1::BuildOptions& options, const Caller& caller) {
  return engine_->ConstructArgs(options, caller);
}

absl::StatusOr<BuildWatcher> BuildEngine::Build(const v1::BuildRequest& request,
                                                const Caller& caller) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(BuildWatch watch,
                                    engine_->StartBuild(request, caller));
  return BuildWatcher(std::move(watch));
}

absl::StatusOr<v1::Build> BuildEngine::CreateBuild(
    const v1::CreateBuildRequest& request, const Caller& caller) {
  return engine_->CreateBuild(request, caller);
}

absl::StatusOr<BuildWatcher> BuildEngine::WatchBuild(
    absl::string_view name, std::int64_t after_sequence, const Caller& caller) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      BuildWatch watch, engine_->WatchBuild(name, after_sequence, caller));
  return BuildWatcher(std::move(watch));
}

absl::StatusOr<v1::Build> BuildEngine::GetBuild(absl::string_view name,
                                                const Caller& caller) {
  return engine_->GetBuild(name, caller);
}

absl::StatusOr<v1::ListBuildsResponse> BuildEngine::ListBuilds(
    const v1::ListBuildsRequest& request, const Caller& caller) {
  return engine_->ListBuilds(request, caller);
}

absl::StatusOr<v1::Build> BuildEngine::CancelBuild(absl::string_view name,
                                                   absl::Time deadline,
                                                   const Caller& caller) {
  // The build may end after this call.
  struct Answer {
    absl::StatusOr<v1::Build> build;
    absl::Notification given;
  };
  const auto answer = std::make_shared<Answer>();
  CONTAINERBUILDER_RETURN_IF_ERROR(engine_->CancelBuild(
      name, caller, [answer](absl::StatusOr<v1::Build> build) {
        answer->build = std::move(build);
        answer->given.Notify();
      }));
  if (!answer->given.WaitForNotificationWithDeadline(deadline)) {
    return absl::DeadlineExceededError(
        absl::StrCat(name, " is still being stopped"));
  }
  return std::move(answer->build);
}

absl::Status BuildEngine::DeleteBuild(absl::string_view name,
                                      const Caller& caller) {
  return engine_->DeleteBuild(name, caller);
}

void BuildEngine::Shutdown() { engine_->Shutdown(); }

void BuildEngine::HastenShutdown() { engine_->HastenShutdown(); }

}  // namespace containerbuilder::service
