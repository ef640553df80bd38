#ifndef CONTAINERBUILDER_SERVICE_ENGINE_H_
#define CONTAINERBUILDER_SERVICE_ENGINE_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "containerbuilder/service/build_watcher.h"
#include "containerbuilder/service/caller.h"
#include "containerbuilder/service/engine_options.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

class Engine;

// ContainerBuilder without gRPC: runs `nerdctl build` for this program, keeps
// what it prints, and takes up after a crash or restart what was left. What
// the RPCs of a Server do, the methods of the same name do here, by the same
// code: container_builder.proto says what requests and answers mean.
//
// Thread safety: all methods may be called from many threads at once. They may
// block for the disk, and where nerdctl or BuildKit is asked for what it is,
// for some seconds; those that block for longer say so.
//
// Errors: absl::Status with the code that the proto names for the RPC. The
// reason and the field at fault are its payloads: ErrorInfo and BadRequest of
// containerbuilder.errors.v1, serialized, under the type URLs of google.rpc's
// messages of these names.
//
// Callers: Caller::Local() has this process's own rights, and is asked for
// where no other caller is named. Name another to keep the builds of the
// program's users apart, and what they may reach on this machine.
//
// This process: no setting of it is changed, be it signals, umask, working
// folder or subreaper. Threads and child processes are the engine's own, and
// it waits for no child that it did not start. In turn SIGCHLD must be neither
// ignored nor blocked by waiting for any child (`waitpid(-1, ...)`): how
// nerdctl ended would be lost. Relative paths and a context of `.` are those
// of the working folder at Create; so are PATH and the other variables that
// reach nerdctl.
class BuildEngine {
 public:
  // Ends what still runs of an earlier engine's builds in options.state_dir,
  // and lets those wait again that waited. Blocks for that, usually shortly.
  //
  //   INVALID_ARGUMENT   the named option is wrong.
  //   ALREADY_EXISTS     another engine uses state_dir.
  //
  // Other errors name what could not be done. That nerdctl or BuildKit is
  // missing is none: Health tells, and they may be installed meanwhile.
  static absl::StatusOr<std::unique_ptr<BuildEngine>> Create(
      EngineOptions options);
  BuildEngine(const BuildEngine&) = delete;
  BuildEngine& operator=(const BuildEngine&) = delete;
  // Shuts down. Watchers must be gone, and no method be running.
  ~BuildEngine();

  // Whether builds can run, with a row for each thing that they need. Answers
  // are shared for a second.
  v1::HealthResponse Health();

  // The arguments that a build of these options would give to nerdctl.
  absl::StatusOr<v1::ConstructArgsResponse> ConstructArgs(
      const v1::BuildOptions& options, const Caller& caller = Caller::Local());

  // Starts a build and watches it from its beginning. Without a disconnect
  // policy in the request, the build is cancelled when its watcher is, or is
  // destroyed.
  absl::StatusOr<BuildWatcher> Build(const v1::BuildRequest& request,
                                     const Caller& caller = Caller::Local());

  // Starts a build that nobody needs to watch, and answers how it waits.
  absl::StatusOr<v1::Build> CreateBuild(const v1::CreateBuildRequest& request,
                                        const Caller& caller = Caller::Local());

  // Watches a build, running or ended, from the event behind `after_sequence`;
  // 0 begins at the first. Any number of times.
  absl::StatusOr<BuildWatcher> WatchBuild(
      absl::string_view name, std::int64_t after_sequence = 0,
      const Caller& caller = Caller::Local());

  // The build as it is now.
  absl::StatusOr<v1::Build> GetBuild(absl::string_view name,
                                     const Caller& caller = Caller::Local());

  // A page of builds, newest first; those of `caller`, for an admin all.
  absl::StatusOr<v1::ListBuildsResponse> ListBuilds(
      const v1::ListBuildsRequest& request,
      const Caller& caller = Caller::Local());

  // Stops a build, and blocks until nothing of it runs any more: it is sent
  // SIGTERM, and after policy.grace_period SIGKILL. DEADLINE_EXCEEDED where
  // that takes longer than until `deadline`; the build is being stopped all
  // the same. An ended build is answered as it is.
  absl::StatusOr<v1::Build> CancelBuild(
      absl::string_view name, absl::Time deadline = absl::InfiniteFuture(),
      const Caller& caller = Caller::Local());

  // Forgets an ended build with its log.
  absl::Status DeleteBuild(absl::string_view name,
                           const Caller& caller = Caller::Local());

  // Refuses new builds, leaves those that wait to the next engine, gives those
  // that run options.drain_timeout, then stops them, and blocks until nothing
  // of them runs. Every watcher comes to its end then, and what was kept can
  // still be read. Any number of times.
  void Shutdown();

  // Shutdown, under way or to come, gives running builds no more time, neither
  // to end nor to clean up. Returns at once.
  void HastenShutdown();

 private:
  explicit BuildEngine(std::unique_ptr<Engine> engine);
  const std::unique_ptr<Engine> engine_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_ENGINE_H_
