#include "containerbuilder/service/policy_options.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "build/command_line.h"
#include "build/environment_rules.h"
#include "build/grammar.h"
#include "build/image_reference.h"
#include "build/untrusted_rules.h"
#include "containerbuilder/nerdctl_build_flags.h"

namespace containerbuilder::service {

absl::Status ValidatePolicyOptions(const PolicyOptions& options) {
  const auto wrong = [](absl::string_view setting, absl::string_view value,
                        absl::string_view rule) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", setting, ": \"", Shortened(value), "\": ", rule));
  };
  for (const auto& [setting, roots] :
       {std::pair<absl::string_view, const std::vector<std::string>&>{
            "read_roots", options.read_roots},
        {"write_roots", options.write_roots}}) {
    for (const std::string& root : roots) {
      if (!absl::StartsWith(root, "/")) {
        return wrong(setting, root, "name the folder by its absolute path");
      }
    }
  }
  for (const std::string& option : options.allowed_options) {
    const std::string name = FlagName(option);
    if (FindNerdctlBuildFlag(name) == nullptr) {
      return wrong("allowed_options", option,
                   "nerdctl build has no such option");
    }
  }
  for (const std::string& entitlement : options.allowed_entitlements) {
    if (!IsName(entitlement, ".-=/:_")) {
      return wrong("allowed_entitlements", entitlement,
                   "name an entitlement, such as network.host");
    }
  }
  for (const std::string& registry : options.allowed_registries) {
    const auto reference = ReadImageReference(absl::StrCat(registry, "/a/b"));
    if (!reference || reference->host != registry) {
      return wrong("allowed_registries", registry,
                   "name a registry by its host, such as docker.io or "
                   "registry.example:5000");
    }
  }
  for (const std::string& variable : options.allowed_environment) {
    if (!MayBeAllowed(variable)) {
      return wrong("allowed_environment", variable,
                   "requests may never set this");
    }
  }
  for (const std::string& ssh : options.allowed_ssh) {
    if (!absl::StartsWith(ssh, "/") && !IsName(ssh, "._-")) {
      return wrong("allowed_ssh", ssh,
                   "name an id, or a path that is absolute");
    }
  }
  if (options.max_staged_bytes < 0) {
    return absl::InvalidArgumentError(
        "--max_staged_bytes: must not be negative");
  }
  if (options.max_staged_files < 0) {
    return absl::InvalidArgumentError(
        "--max_staged_files: must not be negative");
  }
  return absl::OkStatus();
}

}  // namespace containerbuilder::service
