// container-builderd: settings, server, signals.

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "containerbuilder/service/server.h"
#include "daemon/log_formatter.h"
#include "daemon/settings.h"
#include "daemon/settings_pages.h"
#include "daemon/supervisor.h"
#include "spdlog/logger.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace containerbuilder::daemon {
namespace {

using service::Server;

constexpr int kExitUsage = 2;

int Fail(absl::string_view cause, int exit_code = EXIT_FAILURE) {
  std::cerr << "container-builderd: " << cause << "\n";
  return exit_code;
}

// Readers never see half of it. A link that somebody put there is replaced,
// not followed.
bool WriteAddressFile(const std::string& path,
                      const std::vector<std::string>& addresses) {
  const std::string temporary = path + ".new";
  unlink(temporary.c_str());
  const int fd =
      open(temporary.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
  if (fd < 0) return false;
  const std::string text = absl::StrCat(absl::StrJoin(addresses, "\n"), "\n");
  const bool written =
      write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written && std::rename(temporary.c_str(), path.c_str()) == 0;
}

// The signals that Serve waits for.
sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
    sigaddset(&signals, signal);
  }
  return signals;
}

// What belongs to the process is set here and nowhere in the library, before
// there is a second thread.
void SetUpProcess(const DaemonOptions& options) {
  umask(077);
  // Of this process, and so of all children: posix_spawn has no attribute for
  // it, and nothing that nerdctl starts needs more rights.
  if (options.no_new_privs) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // No core file may hold a caller's secret: neither this process's, also where
  // the kernel hands core files to a program whatever the limit is, nor its
  // children's. Other users cannot attach to it either. Children are dumpable
  // again, so that what is left of them is found by /proc.
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::signal(SIGPIPE, SIG_IGN);
  // gRPC has a line for each connection that speaks no TLS or HTTP/2, and so
  // strangers would fill the log.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  // A queue of a thousand builds holds two files open for each, and so does
  // each connection. nerdctl and buildctl, being Go programs, do the same.
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  // Blocked in all threads to come.
  const sigset_t signals = Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

std::vector<std::string> Environment() {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    entries.emplace_back(*entry);
  }
  return entries;
}

// On SIGHUP. `settings` are what the server runs with.
void ReloadSettings(const CommandLine& line, Server& server,
                    LoadedSettings& settings) {
  DaemonOptions& running = settings.options;
  spdlog::logger& logger = *running.server.logger;
  absl::StatusOr<LoadedSettings> loaded = LoadSettings(line, Environment());
  absl::Status status = loaded.status();
  std::vector<std::string> waiting;
  if (status.ok()) status = CheckReload(settings, *loaded);
  if (status.ok()) {
    waiting = KeepWhatNeedsRestart(running, loaded->options);
    loaded->options.server.reap_orphans = running.server.reap_orphans;
    loaded->options.server.logger = running.server.logger;
    status = server.Reload(loaded->options.server);
  }
  if (!status.ok()) {
    logger.error("settings stay as they are: {}",
                 std::string(status.message()));
    return;
  }
  settings = *std::move(loaded);
  logger.info("settings are read again");
  if (!waiting.empty()) {
    logger.warn("settings that need a restart have changed: {}",
                absl::StrJoin(waiting, ", "));
  }
}

int Serve(const CommandLine& line, LoadedSettings settings) {
  DaemonOptions& options = settings.options;
  SetUpProcess(options);
  const Supervisor supervisor(Environment());
  options.server.reap_orphans = true;
  options.server.logger = std::make_shared<spdlog::logger>(
      "container-builderd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  options.server.logger->set_formatter(MakeLogFormatter());
  spdlog::logger& logger = *options.server.logger;
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Create(options.server);
  if (!server.ok()) return Fail(server.status().message());
  if (!options.address_file.empty() &&
      !WriteAddressFile(options.address_file, (*server)->addresses())) {
    return Fail(absl::StrCat("--address_file=", options.address_file,
                             ": cannot be written"));
  }
  logger.info("ready on {}", absl::StrJoin((*server)->addresses(), ", "));
  supervisor.Ready();

  const sigset_t signals = Signals();
  const auto name_of = [](int signal) {
    return signal == SIGTERM ? "SIGTERM" : "SIGINT";
  };
  int signal = 0;
  for (sigwait(&signals, &signal); signal == SIGHUP;
       sigwait(&signals, &signal)) {
    supervisor.Reloading();
    ReloadSettings(line, **server, settings);
    supervisor.Ready();
  }
  supervisor.Stopping();
  logger.info("draining on {}", name_of(signal));
  const std::jthread hastener([&] {
    int second = SIGHUP;
    while (second == SIGHUP) sigwait(&signals, &second);
    logger.info("hastening on {}", name_of(second));
    (*server)->HastenShutdown();
  });
  (*server)->Shutdown();
  logger.flush();
  // All is ended. Taking gRPC 1.51 down in order would wait for a poll of its
  // own, for up to ten seconds, and the thread above for a second signal.
  std::_Exit(EXIT_SUCCESS);
}

int Main(const std::vector<std::string>& arguments) {
  const absl::StatusOr<CommandLine> line = ParseCommandLine(arguments);
  if (!line.ok()) return Fail(line.status().message(), kExitUsage);
  using Command = CommandLine::Command;
  switch (line->command) {
    case Command::kHelp:
      std::cout << HelpPage();
      return EXIT_SUCCESS;
    case Command::kVersion:
      std::cout << "container-builderd " CONTAINERBUILDER_VERSION "\n";
      return EXIT_SUCCESS;
    case Command::kDefault:
      std::cout << DefaultConfig();
      return EXIT_SUCCESS;
    case Command::kMan:
      std::cout << ManPage();
      return EXIT_SUCCESS;
    case Command::kServe:
    case Command::kShow:
      break;
  }
  absl::StatusOr<LoadedSettings> loaded = LoadSettings(*line, Environment());
  if (!loaded.ok()) return Fail(loaded.status().message(), kExitUsage);
  if (line->command == Command::kShow) {
    std::cout << EffectiveConfig(*std::move(loaded));
    return EXIT_SUCCESS;
  }
  return Serve(*line, *std::move(loaded));
}

}  // namespace
}  // namespace containerbuilder::daemon

int main(int argc, char** argv) {
  return containerbuilder::daemon::Main({argv + 1, argv + argc});
}
