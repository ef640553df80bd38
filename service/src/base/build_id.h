#ifndef CONTAINERBUILDER_BASE_BUILD_ID_H_
#define CONTAINERBUILDER_BASE_BUILD_ID_H_

#include <string>

#include "absl/time/time.h"

namespace containerbuilder::service {

// A new id of the form of a ULID in lower case, 26 characters: 48 bits of
// milliseconds, so that ids sort by creation, and 80 random bits from the
// kernel, so that they cannot be guessed.
std::string NewBuildId(absl::Time now);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_BUILD_ID_H_
