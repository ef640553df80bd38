#ifndef CONTAINERBUILDER_SERVICE_CALLER_H_
#define CONTAINERBUILDER_SERVICE_CALLER_H_

#include <string>

namespace containerbuilder::service {

// What a caller may do; each may do what those before it may.
enum class Role {
  // Look: Health, ConstructArgs, GetBuild, ListBuilds, WatchBuild and
  // DownloadArtifact, for builds of its name.
  kViewer,
  // Build, and cancel and delete builds of its name.
  kBuilder,
  // All that with everybody's builds; a build of its own may go first.
  kAdmin,
};

// Who asks. One that has a name and nothing else is not trusted.
struct Caller {
  // Whoever has this process's rights on the machine already: its own code, or
  // one who can open the service's 0600 unix socket.
  static Caller Local() { return {"local", /*trusted=*/true, Role::kAdmin}; }

  bool is_admin() const { return role == Role::kAdmin; }

  // Whose the builds are; goes into records and log lines. Two callers of one
  // name are one: they see and may end each other's builds.
  std::string name;
  // May name any path and option of this machine. Others may do what
  // EngineOptions::policy says.
  bool trusted = false;
  // A Server asks for it; of a BuildEngine the methods are the program's own,
  // and it only asks whether this is an admin.
  Role role = Role::kBuilder;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_CALLER_H_
