#ifndef CONTAINERBUILDER_BUILD_REQUEST_HASH_H_
#define CONTAINERBUILDER_BUILD_REQUEST_HASH_H_

#include <google/protobuf/map.h>

#include <string>

#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// What tells whether two requests with one request_id are the same: the
// SHA-256, 32 bytes, of all that was asked for but the values of secrets and
// passwords. Take it of the request as it came, before defaults are filled in.
// It is kept in records: what it is made of must not change.
std::string RequestSha256(
    const v1::BuildSpec& spec, const v1::BuildPolicy& policy,
    const google::protobuf::Map<std::string, std::string>& annotations);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_REQUEST_HASH_H_
