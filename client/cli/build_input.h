#ifndef CONTAINERBUILDER_CLI_BUILD_INPUT_H_
#define CONTAINERBUILDER_CLI_BUILD_INPUT_H_

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "command_line.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/client_options.h"
#include "containerbuilder/client/local_context.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "leftovers.h"
#include "output_places.h"
#include "surroundings.h"

namespace containerbuilder::cli {

// All that a build needs of this machine.
struct BuildInput {
  v1::BuildSpec spec;
  // To be uploaded; null where the service uses the folder in place.
  std::shared_ptr<const client::LocalContext> context;
  OutputPlaces places;
  // Of a context from standard input: where it is unpacked.
  Leftover unpacked;
};

// What `--context-mode` may be.
std::vector<std::string> ContextModes();

// What is wrong with the command line by itself: an unknown `--context-mode`,
// flags that do not go together, no context; and, as far as it is known before
// the service is asked, what CheckUpload says.
absl::Status CheckBuildInput(const CommandLine& line,
                             const client::ClientOptions& options);

// What is wrong with the command line where the context is uploaded.
absl::Status CheckUpload(const CommandLine& line);

// Whether the service uses the context in place: where `--context-mode` says so
// or, being `auto`, the service proves that it sees the same folder.
absl::StatusOr<bool> IsUsedInPlace(const CommandLine& line,
                                   const Surroundings& surroundings,
                                   client::Client& client,
                                   const client::ClientOptions& options,
                                   Leftovers& leftovers);

// Reads what the command line names, by itself or on the service's machine.
absl::StatusOr<BuildInput> ReadInPlace(const CommandLine& line,
                                       const Surroundings& surroundings,
                                       const std::stop_token& stop);

// Reads the context to be uploaded, and takes Dockerfile, secrets and logins
// along by value.
absl::StatusOr<BuildInput> ReadUpload(const CommandLine& line,
                                      const Surroundings& surroundings,
                                      Leftovers& leftovers,
                                      const std::stop_token& stop);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_BUILD_INPUT_H_
