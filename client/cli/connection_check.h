#ifndef CONTAINERBUILDER_CLI_CONNECTION_CHECK_H_
#define CONTAINERBUILDER_CLI_CONNECTION_CHECK_H_

#include "absl/status/status.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/client_options.h"
#include "containerbuilder/v1/container_builder.pb.h"

// What `doctor` looks at beside the service's own health: the way there.
namespace containerbuilder::cli {

// How the service was reached, where `called` is OK; else why it was not, and
// what to do about it, for which the way is tried once more, step by step.
v1::HealthCheck CheckConnection(const absl::Status& called,
                                const client::ClientOptions& options);

// What the service lets the caller do with paths of its machine; tells from
// what it answers of one that exists everywhere.
v1::HealthCheck CheckTrust(client::Client& client);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_CONNECTION_CHECK_H_
