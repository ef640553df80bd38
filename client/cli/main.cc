#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "containerbuilder/client/client_options.h"
#include "exit_code.h"
#include "suggestion.h"
#include "terminal.h"

namespace containerbuilder::cli {
namespace {

constexpr char kHelp[] =
    R"(Usage: container-builder [--address=ADDRESS] COMMAND ...

Builds container images with a ContainerBuilder service.

Build:
  build    Build an image; takes the flags of `nerdctl build`
  args     Print the command that build would run

Builds, running and ended:
  watch    Print a build's output, from its begin or any event, to its end
  list     List builds, newest first
  get      Tell of one build
  cancel   Stop builds
  delete   Forget ended builds

Service:
  health   Check everything that a build needs

`container-builder COMMAND --help` tells more.

Examples:
  container-builder build -t app:dev .
  container-builder list --state running
  container-builder --address=build-host:50051 health

Options, before the command:
      --address ADDRESS       Where the service listens: unix:///path/to.sock
                              or host:port; also CONTAINER_BUILDER_ADDRESS
      --tls                   Use TLS; any of the following does so, too
      --tls-ca FILE           Who signed the service's certificate (PEM);
                              without it, the machine's authorities
      --tls-cert FILE         Your certificate (PEM), where it asks for one
      --tls-key FILE          Its key (PEM)
      --tls-server-name NAME  The name in the service's certificate, where it
                              is not the address's
      --token-file FILE       Your token; also CONTAINER_BUILDER_TOKEN, the
                              token itself
  -h, --help                  Print this help
      --version               Print the version
)";

struct Command {
  std::string_view name;
  int (*run)(const client::ClientOptions& options,
             std::span<const std::string> arguments);
};

constexpr Command kCommands[] = {
    {"args", RunArgs},     {"build", RunBuild}, {"cancel", RunCancel},
    {"delete", RunDelete}, {"get", RunGet},     {"health", RunHealth},
    {"list", RunList},     {"watch", RunWatch},
};

// Before anything opens a file: a standard stream that is closed must not
// become one of gRPC's sockets. To write there stays an error.
void OccupyStandardStreams() {
  int fd;
  do {
    fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  } while (0 <= fd && fd <= STDERR_FILENO);
  ::close(fd);
}

// The first line of a file.
std::optional<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path);
  std::string token;
  if (!std::getline(file, token) || token.empty()) return std::nullopt;
  if (token.back() == '\r') token.pop_back();
  return token;
}

int Main(int argc, char** argv) {
  client::ClientOptions options;
  CLI::App app;
  app.add_option("--address", options.address)
      ->envname("CONTAINER_BUILDER_ADDRESS");
  bool tls = false;
  client::TlsOptions tls_options;
  std::string token_file;
  app.add_flag("--tls", tls)->envname("CONTAINER_BUILDER_TLS");
  app.add_option("--tls-ca", tls_options.ca_file)
      ->envname("CONTAINER_BUILDER_TLS_CA");
  app.add_option("--tls-cert", tls_options.cert_file)
      ->envname("CONTAINER_BUILDER_TLS_CERT");
  app.add_option("--tls-key", tls_options.key_file)
      ->envname("CONTAINER_BUILDER_TLS_KEY");
  app.add_option("--tls-server-name", tls_options.server_name)
      ->envname("CONTAINER_BUILDER_TLS_SERVER_NAME");
  app.add_option("--token-file", token_file)
      ->envname("CONTAINER_BUILDER_TOKEN_FILE");
  app.set_version_flag("--version",
                       "container-builder " CONTAINERBUILDER_VERSION "\n");
  // What follows the command is the command's.
  app.prefix_command();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return PrintHelp(kHelp);
  } catch (const CLI::CallForVersion& version) {
    return PrintHelp(version.what());
  } catch (const CLI::ParseError& error) {
    return WrongUsage(error.what());
  }

  if (options.address.find(':') == std::string::npos) {
    return WrongUsage("not an address: \"" + options.address +
                      "\"; use unix:///path/to.sock or host:port");
  }

  if (tls || !tls_options.ca_file.empty() || !tls_options.cert_file.empty() ||
      !tls_options.key_file.empty() || !tls_options.server_name.empty()) {
    options.tls = tls_options;
  }
  if (!token_file.empty()) {
    const std::optional<std::string> token = ReadToken(token_file);
    if (!token) {
      return WrongUsage("--token-file=" + token_file +
                        ": cannot be read, or is empty");
    }
    options.token = *token;
  } else if (const char* token = std::getenv("CONTAINER_BUILDER_TOKEN")) {
    options.token = token;
  }

  // Who calls by hand wants to know at once that nobody listens.
  options.wait_for_ready = false;

  const std::vector<std::string> rest = app.remaining();
  if (rest.empty()) return WrongUsage("a command needs to be specified");
  const std::string& word = rest.front();
  for (const Command& command : kCommands) {
    if (word == command.name) {
      return command.run(options, std::span(rest).subspan(1));
    }
  }

  std::vector<std::string_view> known = {
      "--address",         "--help",       "--tls",
      "--tls-ca",          "--tls-cert",   "--tls-key",
      "--tls-server-name", "--token-file", "--version"};
  for (const Command& command : kCommands) known.push_back(command.name);
  std::string text =
      (word.starts_with('-') ? "unknown flag: " : "unknown command: ") + word;
  const std::string_view meant =
      Suggestion(word.substr(0, word.find('=')), known);
  if (!meant.empty()) text.append("; did you mean ").append(meant).append("?");
  return WrongUsage(text);
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
    return containerbuilder::cli::Main(argc, argv);
  } catch (const std::exception& error) {
    containerbuilder::cli::PrintMessage(error.what());
    return containerbuilder::cli::kFailed;
  }
}
