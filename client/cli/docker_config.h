#ifndef CONTAINERBUILDER_CLI_DOCKER_CONFIG_H_
#define CONTAINERBUILDER_CLI_DOCKER_CONFIG_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "build_flags.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::cli {

// Runs `docker-credential-NAME ACTION` with that input; answers its output.
using CredentialHelper = std::function<absl::StatusOr<std::string>(
    const std::string& name, const std::string& action,
    const std::string& input)>;

// The programs on PATH.
absl::StatusOr<std::string> RunCredentialHelper(const std::string& name,
                                                const std::string& action,
                                                const std::string& input);

// Which registries a build may want to be known to. One is used where its host
// stands in the Dockerfile or in the value of a flag; Docker Hub, which need
// not be named, where an image without a host does.
class UsedRegistries {
 public:
  explicit UsedRegistries(std::vector<std::string> texts,
                          const std::string& dockerfile);
  bool Has(absl::string_view host) const;

 private:
  std::vector<std::string> texts_;
  bool uses_docker_hub_;
};

// The credentials of the caller's Docker configuration (DOCKER_CONFIG, else
// ~/.docker) for those registries: its `auths`, `credHelpers` and `credsStore`.
// Helpers are asked for no others. What does not work is told in `warnings`,
// as it is to Docker no error until the registry refuses.
std::vector<v1::RegistryAuth> ReadDockerCredentials(
    const UsedRegistries& used, const Surroundings& surroundings,
    const CredentialHelper& helper, std::vector<std::string>& warnings);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_DOCKER_CONFIG_H_
