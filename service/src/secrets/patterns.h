#ifndef CONTAINERBUILDER_SECRETS_PATTERNS_H_
#define CONTAINERBUILDER_SECRETS_PATTERNS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// What shows one of a build's secret values: the value without its final
// newline, each of its lines, and its base64, in one line or in those that
// `base64`, openssl and PEM make, each where it has limits::kMinRedactedBytes
// or more. Programs encode more than the value, such as a whole line of a log,
// so its base64 is looked for at each of the three places that a byte can have
// there, in one line alone, and in the alphabet for URLs, too: of the shortest
// values that have limits::kMaxAlignedRedactionBytes together.
std::vector<std::string> RevealingTexts(std::vector<absl::string_view> values);

// What shows a text in base64, in one line or in those that programs make.
std::vector<std::string> RevealingPieces(absl::string_view base64);

// Whether output that has the value in it cannot be told from other output.
bool IsTooShortToRedact(absl::string_view value);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SECRETS_PATTERNS_H_
