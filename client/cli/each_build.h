#ifndef CONTAINERBUILDER_CLI_EACH_BUILD_H_
#define CONTAINERBUILDER_CLI_EACH_BUILD_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "command_line.h"
#include "containerbuilder/client/client_options.h"

namespace containerbuilder::cli {

// A command that does one thing to each build that is named, and prints what
// `act` answers. An error is told and does not keep it from the others. The
// exit code is the first error's.
int ForEachBuild(
    absl::string_view command, const client::ClientOptions& options,
    const CommandLine& line,
    const std::function<absl::StatusOr<std::string>(const std::string& name)>&
        act);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_EACH_BUILD_H_
