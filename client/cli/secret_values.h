#ifndef CONTAINERBUILDER_CLI_SECRET_VALUES_H_
#define CONTAINERBUILDER_CLI_SECRET_VALUES_H_

#include <string>

#include "absl/status/status.h"
#include "build_flags.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::cli {

// What is wrong with the value of `--secret` by itself.
absl::Status CheckSecret(const std::string& value);

// Adds the secret that `--secret VALUE` names to the spec by value, read as
// buildctl reads it: `id=ID,src=FILE`, `id=ID,env=NAME`, or `id=ID`, which is a
// variable of that name, else a file. Of several with one id the last counts.
absl::Status AddSecret(const std::string& value,
                       const Surroundings& surroundings, v1::BuildSpec& spec);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_SECRET_VALUES_H_
