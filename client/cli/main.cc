#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "commands.h"
#include "exit_code.h"
#include "global_flags.h"
#include "help.h"
#include "suggestion.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

// Before anything opens a file: a standard stream that is closed must not
// become one of gRPC's sockets. To write there stays an error.
void OccupyStandardStreams() {
  int fd;
  do {
    fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  } while (0 <= fd && fd <= STDERR_FILENO);
  ::close(fd);
}

int UnknownCommand(const std::string& word) {
  std::vector<std::string_view> known;
  for (const CommandGroup& group : CommandGroups()) {
    if (group.title.empty()) continue;
    for (const Command* command : group.commands) {
      known.push_back(command->name);
    }
  }
  const std::string meant(Suggestion(word, known));
  return WrongUsage(absl::StrCat(
      "unknown command: ", word,
      meant.empty() ? "" : absl::StrCat("; did you mean ", meant, "?")));
}

int Run(const Command& command, const CommandLine& program_line,
        std::span<const std::string> arguments) {
  const auto line = SplitCommandLine(arguments, FlagsOf(command));
  const std::string name(command.name);
  if (!line.ok()) return WrongUsage(line.status().message(), name);
  if (IsOn(*line, "help")) return PrintResult(CommandHelp(command));
  if (command.argument == Command::Argument::kNothing &&
      !line->arguments.empty()) {
    return WrongUsage(absl::StrCat(name, " takes no arguments, such as \"",
                                   line->arguments.front(), "\""),
                      name);
  }
  const auto options = ClientOptionsOf(program_line);
  if (options.ok()) return command.run(*options, *line);
  if (command.calls_service) return WrongUsage(options.status().message());
  return command.run({}, *line);
}

int Main(std::span<const std::string> arguments) {
  const auto line = SplitProgramLine(arguments);
  if (!line.ok()) return WrongUsage(line.status().message());
  if (IsOn(*line, "help")) return PrintResult(ProgramHelp());
  if (IsOn(*line, "version")) {
    return PrintResult("container-builder " CONTAINERBUILDER_VERSION "\n");
  }
  if (line->arguments.empty()) {
    return WrongUsage("a command needs to be specified");
  }
  const std::string& word = line->arguments.front();
  const Command* const command = FindCommand(word);
  if (command == nullptr) return UnknownCommand(word);
  return Run(*command, *line, std::span(line->arguments).subspan(1));
}

}  // namespace
}  // namespace containerbuilder::cli

int main(int argc, char** argv) {
  containerbuilder::cli::OccupyStandardStreams();
  // Writing to a pipe that nobody reads is an error to handle here.
  std::signal(SIGPIPE, SIG_IGN);
  // Standard error is nerdctl's and ours.
  ::setenv("GRPC_VERBOSITY", "NONE", 0);
  try {
    const std::vector<std::string> arguments(argv + std::min(argc, 1),
                                             argv + argc);
    return containerbuilder::cli::Main(arguments);
  } catch (const std::exception& error) {
    containerbuilder::cli::PrintMessage(error.what());
    return containerbuilder::cli::kFailed;
  }
}
