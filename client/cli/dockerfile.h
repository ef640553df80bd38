#ifndef CONTAINERBUILDER_CLI_DOCKERFILE_H_
#define CONTAINERBUILDER_CLI_DOCKERFILE_H_

#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"

namespace containerbuilder::cli {

// A Dockerfile by value.
struct Dockerfile {
  std::string text;
  // Of its own ignore file, which counts in place of the context's.
  std::optional<std::string> dockerignore;
};

// The file that nerdctl would take: `file`, absolute, or where that is empty
// Dockerfile or Containerfile of the context.
absl::StatusOr<Dockerfile> ReadDockerfile(const std::string& file,
                                          const std::string& context);

// What standard input has.
absl::StatusOr<Dockerfile> ReadDockerfileFromStdin(const std::stop_token& stop);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_DOCKERFILE_H_
