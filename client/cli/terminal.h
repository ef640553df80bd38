#ifndef CONTAINERBUILDER_CLI_TERMINAL_H_
#define CONTAINERBUILDER_CLI_TERMINAL_H_

#include <string_view>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "containerbuilder/client/client_options.h"

namespace containerbuilder::cli {

// Writes all of it, unbuffered. SIGPIPE must be ignored.
std::error_code Write(int fd, std::string_view bytes);

// What to exit with after Write failed; says so unless the reader just went
// away.
int WriteFailed(std::error_code error);

// Writes what was asked for to standard output; answers the exit code.
int PrintResult(std::string_view text);

// One message of our own, on standard error: `container-builder: text`.
void PrintMessage(absl::string_view text);

// The error with all that the service told of it, and the way out where the
// service could not be reached.
void PrintError(const absl::Status& status,
                const client::ClientOptions& options);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_TERMINAL_H_
