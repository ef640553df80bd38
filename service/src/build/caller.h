#ifndef CONTAINERBUILDER_BUILD_CALLER_H_
#define CONTAINERBUILDER_BUILD_CALLER_H_

#include <string>

namespace containerbuilder::service {

// Who asks.
struct Caller {
  // `local` or `anonymous`; goes into records and log lines.
  std::string name;
  // May name any path and option of this machine: who can open the 0600 unix
  // socket has the service's rights already.
  bool trusted = false;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_CALLER_H_
