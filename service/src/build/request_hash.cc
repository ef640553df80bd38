#include "build/request_hash.h"

#include <string>

#include "base/canonical_hash.h"
#include "build/secrets.h"

namespace containerbuilder::service {

std::string RequestSha256(
    const v1::BuildSpec& spec, const v1::BuildPolicy& policy,
    const google::protobuf::Map<std::string, std::string>& annotations) {
  v1::BuildRequest request;
  *request.mutable_spec() = WithoutSecrets(spec);
  *request.mutable_policy() = policy;
  *request.mutable_annotations() = annotations;
  return CanonicalSha256(request);
}

}  // namespace containerbuilder::service
