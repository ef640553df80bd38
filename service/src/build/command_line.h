#ifndef CONTAINERBUILDER_BUILD_COMMAND_LINE_H_
#define CONTAINERBUILDER_BUILD_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace containerbuilder::service {

// An argument as it may be shown: values of `token`, `secret_access_key`,
// `access_key_id`, `session_token` and `password` inside `k=v` values, and the
// userinfo of URLs, also of those without a scheme behind `http_proxy=` and its
// like, become `***`. Keys are matched as BuildKit reads them:
// CSV fields, quoted or not, in any case.
std::string MaskSecrets(absl::string_view argument);

// `text` as a message may quote it: a caller can send megabytes, and the status
// that tells him so travels in a header of few kilobytes.
std::string Shortened(absl::string_view text);

// The command quoted for a POSIX shell, secrets masked.
std::string CommandLine(absl::Span<const std::string> argv);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_COMMAND_LINE_H_
