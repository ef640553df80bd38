#include "build/engine.h"

#include <sys/stat.h>

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/build_id.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "build/command_line.h"
#include "build/nerdctl_args.h"

namespace containerbuilder::service {
namespace {

absl::Status MakeStateFolder(const std::string& state_folder) {
  std::error_code error;
  std::filesystem::create_directories(state_folder, error);
  if (!error && chmod(state_folder.c_str(), 0700) != 0) {
    error = std::error_code(errno, std::generic_category());
  }
  if (error) {
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("--state_dir=", state_folder));
  }
  return absl::OkStatus();
}

// Empties the folder for builds: in this version nobody can ask for a build
// after the service that ran it is gone.
absl::Status EmptyFolder(const std::string& builds_folder) {
  std::error_code error;
  std::filesystem::remove_all(builds_folder, error);
  if (!error) std::filesystem::create_directory(builds_folder, error);
  if (error) return absl::ErrnoToStatus(error.value(), builds_folder);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(
    EngineOptions options, Host host, ProcessRunner* runner, Executor* executor,
    std::shared_ptr<spdlog::logger> logger) {
  CONTAINERBUILDER_RETURN_IF_ERROR(MakeStateFolder(options.state_folder));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(FolderLock lock,
                                    FolderLock::Take(options.state_folder));
  std::unique_ptr<Engine> engine(new Engine(std::move(options), std::move(host),
                                            std::move(lock), runner, executor,
                                            std::move(logger)));
  CONTAINERBUILDER_RETURN_IF_ERROR(EmptyFolder(engine->builds_folder_));
  return engine;
}

Engine::Engine(EngineOptions options, Host host, FolderLock lock,
               ProcessRunner* runner, Executor* executor,
               std::shared_ptr<spdlog::logger> logger)
    : lock_(std::move(lock)),
      builds_folder_(options.state_folder + "/builds"),
      host_(std::move(host)),
      runner_(runner),
      executor_(executor),
      logger_(std::move(logger)),
      toolchain_(std::move(options.toolchain), host_, runner),
      health_(&toolchain_, options.state_folder),
      policy_(options.policy, host_) {}

v1::HealthResponse Engine::Health(absl::Duration freshness) {
  return health_.Check(freshness);
}

absl::StatusOr<v1::ConstructArgsResponse> Engine::ConstructArgs(
    const v1::BuildOptions& options, const Caller& caller) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const std::vector<std::string> args,
      service::ConstructArgs(options, policy_.PathRulesFor(caller), "options"));
  v1::ConstructArgsResponse response;
  response.mutable_args()->Assign(args.begin(), args.end());
  std::vector<std::string> argv = {"nerdctl", "build"};
  argv.insert(argv.end(), args.begin(), args.end());
  response.set_command_line(CommandLine(argv));
  // The answer does not depend on nerdctl; only the warnings do.
  const absl::StatusOr<NerdctlInfo> nerdctl = toolchain_.Nerdctl();
  for (std::string& warning :
       policy_.Warnings(options, caller, nerdctl.ok() ? &*nerdctl : nullptr)) {
    *response.add_warnings() = std::move(warning);
  }
  return response;
}

absl::StatusOr<std::shared_ptr<Build>> Engine::StartBuild(
    const v1::BuildRequest& request, const Caller& caller) {
  {
    absl::MutexLock lock(&mutex_);
    if (draining_) return errors::Draining();
  }
  if (!request.request_id().empty()) {
    return errors::FieldUnimplemented(
        "request_id",
        "this version cannot join builds by request id; leave it empty");
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const NerdctlInfo nerdctl,
                                    toolchain_.Nerdctl());
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      AdmittedSpec spec,
      policy_.Admit(request.spec(), request.policy(), caller, nerdctl));

  const std::string id = NewBuildId(host_.now());
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      std::shared_ptr<Build> build,
      Build::Create(id, std::move(spec), request.annotations(), caller.name,
                    absl::StrCat(builds_folder_, "/", id), host_.now,
                    executor_));
  const std::string name = build->name();
  {
    absl::MutexLock lock(&mutex_);
    if (draining_) return errors::Draining();
    running_.emplace(name, build);
  }
  logger_->info("{}: started for {}", name, caller.name);
  build->Start(*runner_, toolchain_.Environment(),
               [this, name](const v1::Build& record) {
                 logger_->info("{}: {} {}", name,
                               v1::Build::State_Name(record.state()),
                               record.failure().reason());
                 // The build may go with its last reference, and its folder
                 // with it: not under the lock.
                 std::shared_ptr<Build> ended;
                 absl::MutexLock lock(&mutex_);
                 const auto entry = running_.find(name);
                 ended = std::move(entry->second);
                 running_.erase(entry);
               });
  return build;
}

void Engine::Shutdown() {
  std::vector<std::shared_ptr<Build>> running;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    for (const auto& [name, build] : running_) running.push_back(build);
  }
  for (const std::shared_ptr<Build>& build : running) {
    build->Stop(StopReason::kShutdown);
  }
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](Engine* engine)
           ABSL_NO_THREAD_SAFETY_ANALYSIS { return engine->running_.empty(); },
      this));
}

}  // namespace containerbuilder::service
