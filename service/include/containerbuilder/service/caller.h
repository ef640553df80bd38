#ifndef CONTAINERBUILDER_SERVICE_CALLER_H_
#define CONTAINERBUILDER_SERVICE_CALLER_H_

#include <string>

namespace containerbuilder::service {

// Who asks. One that has a name and nothing else is not trusted.
struct Caller {
  // Whoever has this process's rights on the machine already: its own code, or
  // one who can open the service's 0600 unix socket.
  static Caller Local() { return {"local", /*trusted=*/true, /*admin=*/true}; }

  // Whose the builds are; goes into records and log lines. Two callers of one
  // name are one: they see and may end each other's builds.
  std::string name;
  // May name any path and option of this machine. Others may do what
  // EngineOptions::policy says.
  bool trusted = false;
  // Sees and ends everybody's builds, and may put its own first.
  bool admin = false;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_CALLER_H_
