#ifndef CONTAINERBUILDER_BASE_UTF8_H_
#define CONTAINERBUILDER_BASE_UTF8_H_

#include <string>

#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// `text` with each byte that is no part of valid UTF-8 as `?`: proto strings
// must be UTF-8, and neither file names nor what programs print need be.
std::string ToUtf8(absl::string_view text);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_UTF8_H_
