#include "build/request_hash.h"

#include <string>

#include "base/canonical_hash.h"

namespace containerbuilder::service {

std::string RequestSha256(
    const v1::BuildSpec& spec, const v1::BuildPolicy& policy,
    const google::protobuf::Map<std::string, std::string>& annotations) {
  v1::BuildRequest request;
  *request.mutable_spec() = spec;
  for (v1::Secret& secret : *request.mutable_spec()->mutable_secrets()) {
    secret.clear_value();
  }
  for (v1::RegistryAuth& auth :
       *request.mutable_spec()->mutable_registry_auths()) {
    auth.clear_password();
  }
  *request.mutable_policy() = policy;
  *request.mutable_annotations() = annotations;
  return CanonicalSha256(request);
}

}  // namespace containerbuilder::service
