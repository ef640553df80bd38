#ifndef CONTAINERBUILDER_BUILD_OPTION_RULES_H_
#define CONTAINERBUILDER_BUILD_OPTION_RULES_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "build/nerdctl_args.h"
#include "build/toolchain.h"

// What Build refuses of options to everyone, because nerdctl or the system
// would take it for something else. `field` is where a request has it.
namespace containerbuilder::service {

// Whether the flag takes a value; nothing where nerdctl build has no such
// flag. The installed nerdctl knows best, and may know more than we do; it is
// null where it is not known.
std::optional<bool> TakesValue(absl::string_view flag,
                               const NerdctlInfo* nerdctl);

// The rule that an option's name breaks. `options_field` is that of the
// BuildOptions.
absl::Status CheckName(absl::string_view name, absl::string_view options_field,
                       absl::string_view field, const NerdctlInfo* nerdctl);

// What no program can be given.
absl::Status CheckArgument(absl::string_view argument, absl::string_view field);

// Whether buildctl, which takes white space off the ends of its arguments,
// would read another path than the one that is looked at.
absl::Status CheckBlanks(absl::string_view path, absl::string_view field);

// The rule that a flag breaks as it is written.
absl::Status CheckFlag(const WrittenFlag& flag, bool takes_value);

// Whether the system takes so much at once.
absl::Status CheckSpace(absl::Span<const WrittenFlag> flags,
                        absl::string_view context,
                        absl::Span<const std::string> environment,
                        absl::string_view options_field);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_OPTION_RULES_H_
