#ifndef CONTAINERBUILDER_BASE_CANONICAL_HASH_H_
#define CONTAINERBUILDER_BASE_CANONICAL_HASH_H_

#include <google/protobuf/message.h>

#include <string>

#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// The SHA-256 of `bytes`: 32 bytes.
std::string Sha256(absl::string_view bytes);

// The SHA-256 of `message` in a form that equal messages share, whatever they
// were read from: fields by number, maps sorted by key, without fields that
// this version does not know.
std::string CanonicalSha256(const google::protobuf::Message& message);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_CANONICAL_HASH_H_
