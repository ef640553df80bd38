#ifndef CONTAINERBUILDER_BASE_BUILD_STATE_H_
#define CONTAINERBUILDER_BASE_BUILD_STATE_H_

#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// Whether a build in this state stays in it for good.
inline bool HasEnded(v1::Build::State state) {
  switch (state) {
    case v1::Build::STATE_SUCCEEDED:
    case v1::Build::STATE_FAILED:
    case v1::Build::STATE_CANCELLED:
    case v1::Build::STATE_TIMED_OUT:
    case v1::Build::STATE_EXPIRED:
    case v1::Build::STATE_INTERRUPTED:
      return true;
    default:
      return false;
  }
}

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_BUILD_STATE_H_
