#ifndef CONTAINERBUILDER_CLI_TERMINAL_H_
#define CONTAINERBUILDER_CLI_TERMINAL_H_

#include <optional>
#include <string_view>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "containerbuilder/client/client_options.h"
#include "terminal_filter.h"

namespace containerbuilder::cli {

// Writes all of it, unbuffered. SIGPIPE must be ignored. Where others had a
// hand in the bytes, Output is to be used.
std::error_code Write(int fd, std::string_view bytes);

// What goes to standard output or error and may be of others' making: a
// terminal gets what TerminalFilter lets through, or all with `is_raw`; a file
// or a pipe always gets all.
class Output {
 public:
  explicit Output(int fd, bool is_raw = false);
  std::error_code Write(std::string_view bytes);
  // After the last of it, for what others write next.
  std::error_code End();

 private:
  const int fd_;
  std::optional<TerminalFilter> filter_;
};

// What to exit with after a Write failed; says so unless the reader just went
// away.
int WriteFailed(std::error_code error);

// Writes what was asked for to standard output; answers the exit code.
int PrintResult(std::string_view text);

// One message of our own, on standard error: `container-builder: text`. In the
// text may be what others said.
void PrintMessage(absl::string_view text);

// The error with all that the service told of it, and the way out where the
// service could not be reached.
void PrintError(const absl::Status& status,
                const client::ClientOptions& options);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_TERMINAL_H_
