#ifndef CONTAINERBUILDER_BUILD_UNTRUSTED_OPTION_H_
#define CONTAINERBUILDER_BUILD_UNTRUSTED_OPTION_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "build/nerdctl_args.h"
#include "build/staging.h"
#include "build/untrusted_rules.h"

// The rules of each option for callers who are not trusted. Part of
// UntrustedRules.
namespace containerbuilder::service {

// Whether there are any: without them an option cannot be allowed.
bool HasOptionRules(absl::string_view flag);

// The rule that a flag breaks that has some; else its values are made what is
// to run, and what they name goes on the plan.
absl::Status ApplyOptionRules(const UntrustedRules& rules,
                              const UntrustedRules::Request& request,
                              WrittenFlag& flag, StagingPlan& plan);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_UNTRUSTED_OPTION_H_
