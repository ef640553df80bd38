#ifndef CONTAINERBUILDER_BUILD_ENGINE_H_
#define CONTAINERBUILDER_BUILD_ENGINE_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/executor.h"
#include "base/folder_lock.h"
#include "build/build.h"
#include "build/caller.h"
#include "build/health.h"
#include "build/host.h"
#include "build/policy.h"
#include "build/toolchain.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "process/process_runner.h"
#include "spdlog/logger.h"

namespace containerbuilder::service {

struct EngineOptions {
  // Where builds keep their journals; made, mode 0700, where it is missing.
  std::string state_folder;
  ToolchainOptions toolchain;
  PolicyOptions policy;
};

// The service without its transport: takes requests through the policy, runs
// them, and knows what runs. Thread-safe; every call may block, but for a
// bounded time.
class Engine {
 public:
  // `runner` and `executor` must outlive it.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(
      EngineOptions options, Host host, ProcessRunner* runner,
      Executor* executor, std::shared_ptr<spdlog::logger> logger);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  // Call Shutdown first.
  ~Engine() = default;

  // Everything a build needs; an answer at most `freshness` old is shared.
  v1::HealthResponse Health(absl::Duration freshness);

  // The arguments that a build of these options would run.
  absl::StatusOr<v1::ConstructArgsResponse> ConstructArgs(
      const v1::BuildOptions& options, const Caller& caller);

  // Admits and starts a build; its journal tells the rest.
  absl::StatusOr<std::shared_ptr<Build>> StartBuild(
      const v1::BuildRequest& request, const Caller& caller);

  // Takes no more builds, stops those that run and waits for their ends.
  void Shutdown();

 private:
  Engine(EngineOptions options, Host host, FolderLock lock,
         ProcessRunner* runner, Executor* executor,
         std::shared_ptr<spdlog::logger> logger);

  const FolderLock lock_;
  const std::string builds_folder_;
  const Host host_;
  ProcessRunner* const runner_;
  Executor* const executor_;
  const std::shared_ptr<spdlog::logger> logger_;
  Toolchain toolchain_;
  HealthChecker health_;
  const Policy policy_;

  absl::Mutex mutex_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<std::string, std::shared_ptr<Build>> running_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_ENGINE_H_
