#ifndef CONTAINERBUILDER_BASE_FAILPOINT_H_
#define CONTAINERBUILDER_BASE_FAILPOINT_H_

// Named places where a test lets the process die as if the machine had killed
// it: CONTAINERBUILDER_FAILPOINT("name") sends the process SIGKILL where the
// environment variable CONTAINER_BUILDER_FAILPOINT is `name`, or `name:N` for
// the N-th time that the place is passed. The variable is read once, at the
// first place that is passed.
//
// Compiled in by the CMake option CONTAINERBUILDER_FAILPOINTS alone, which is
// for test builds; elsewhere the macro is nothing.
#ifdef CONTAINERBUILDER_FAILPOINTS

#include "absl/strings/string_view.h"

namespace containerbuilder::service {
void PassFailpoint(absl::string_view name);
}  // namespace containerbuilder::service

#define CONTAINERBUILDER_FAILPOINT(name) \
  ::containerbuilder::service::PassFailpoint(name)

#else

#define CONTAINERBUILDER_FAILPOINT(name) static_cast<void>(0)

#endif  // CONTAINERBUILDER_FAILPOINTS

#endif  // CONTAINERBUILDER_BASE_FAILPOINT_H_
