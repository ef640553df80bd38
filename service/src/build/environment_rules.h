#ifndef CONTAINERBUILDER_BUILD_ENVIRONMENT_RULES_H_
#define CONTAINERBUILDER_BUILD_ENVIRONMENT_RULES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "build/violations.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// Whether an operator may let requests set a variable of that name: nerdctl's
// own surroundings, and what a program's loader heeds, are never theirs.
bool MayBeAllowed(absl::string_view variable);

// `NAME=VALUE` for each variable of the request, sorted, and what is wrong
// with them. `allowed` are the names that the operator adds to the three that
// everyone may set.
std::vector<std::string> ReadEnvironment(const v1::BuildSpec& spec,
                                         absl::Span<const std::string> allowed,
                                         Violations& violations);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_ENVIRONMENT_RULES_H_
