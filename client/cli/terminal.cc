#include "terminal.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "containerbuilder/client/error_info.h"
#include "exit_code.h"

namespace containerbuilder::cli {
namespace {

std::error_code WriteWhole(int fd, std::string_view text) {
  Output output(fd);
  const std::error_code error = output.Write(text);
  return error ? error : output.End();
}

}  // namespace

std::error_code Write(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      // Whoever shares this terminal or pipe made it non-blocking.
      pollfd writable{fd, POLLOUT, 0};
      ::poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return {errno, std::generic_category()};
    }
  }
  return {};
}

Output::Output(int fd, bool is_raw) : fd_(fd) {
  if (!is_raw && ::isatty(fd) == 1) filter_.emplace();
}

std::error_code Output::Write(std::string_view bytes) {
  if (!filter_) return cli::Write(fd_, bytes);
  return cli::Write(fd_, filter_->Pass(bytes));
}

std::error_code Output::End() {
  return filter_ ? cli::Write(fd_, filter_->End()) : std::error_code();
}

int WriteFailed(std::error_code error) {
  if (error == std::errc::broken_pipe) return SignalExitCode(SIGPIPE);
  PrintMessage(absl::StrCat("cannot write the output: ", error.message()));
  return kFailed;
}

int PrintResult(std::string_view text) {
  const std::error_code error = WriteWhole(STDOUT_FILENO, text);
  return error ? WriteFailed(error) : kSucceeded;
}

void PrintMessage(absl::string_view text) {
  const std::string line = absl::StrCat("container-builder: ", text, "\n");
  // There is nobody to tell where this fails.
  (void)WriteWhole(STDERR_FILENO, line);
}

void PrintError(const absl::Status& status,
                const client::ClientOptions& options) {
  PrintMessage(status.message());
  const auto info = client::GetErrorInfo(status);
  if (!info) {
    if (absl::IsUnavailable(status)) {
      PrintMessage(absl::StrCat("no service answers at ", options.address));
      PrintMessage(absl::StrCat(
          "start one: container-builderd --listen=", options.address,
          " --state_dir=DIR; or name another: "
          "--address=ADDRESS, CONTAINER_BUILDER_ADDRESS"));
    }
    return;
  }
  for (const auto& violation : info->field_violations) {
    if (absl::StrContains(status.message(), violation.description)) continue;
    PrintMessage(absl::StrCat(violation.field, ": ", violation.description));
  }
  if (!info->reason.empty()) {
    PrintMessage(absl::StrCat("reason: ", info->reason));
  }
}

}  // namespace containerbuilder::cli
