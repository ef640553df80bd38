#ifndef CONTAINERBUILDER_CLI_BUILD_INPUT_H_
#define CONTAINERBUILDER_CLI_BUILD_INPUT_H_

#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "build_flags.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/client_options.h"
#include "containerbuilder/client/local_context.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "local_files.h"
#include "output_places.h"

namespace containerbuilder::cli {

// All that a build needs of this machine.
struct BuildInput {
  v1::BuildSpec spec;
  // To be uploaded; null where the service uses the folder in place.
  std::shared_ptr<const client::LocalContext> context;
  OutputPlaces places;
  // Of a context from standard input.
  std::optional<TemporaryFolder> unpacked;
};

// What is wrong with the command line by itself: an unknown `--context-mode`,
// flags that do not go together, no context.
absl::Status CheckBuildInput(const CommandLine& line);

// Reads what the command line names, by itself or on the service's machine: in
// place where `--context-mode` says so or, being `auto`, the service proves
// that it sees the same folder; else the context is read to be uploaded, and
// Dockerfile, secrets and logins are taken along by value.
absl::StatusOr<BuildInput> ReadBuildInput(const CommandLine& line,
                                          const Surroundings& surroundings,
                                          client::Client& client,
                                          const client::ClientOptions& options,
                                          const std::stop_token& stop);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_BUILD_INPUT_H_
