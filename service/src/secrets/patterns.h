#ifndef CONTAINERBUILDER_SECRETS_PATTERNS_H_
#define CONTAINERBUILDER_SECRETS_PATTERNS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// What shows a secret value: the value without its final newline, each of its
// lines, and its base64, each where it has limits::kMinRedactedBytes or more.
// Programs encode more than the value, such as a whole line of a log, so its
// base64 is looked for at each of the three places that a byte can have there.
std::vector<std::string> RevealingTexts(absl::string_view value);

// Whether output that has the value in it cannot be told from other output.
bool IsTooShortToRedact(absl::string_view value);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SECRETS_PATTERNS_H_
