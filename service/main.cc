// container-builderd: flags, options, server, wait.

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "containerbuilder/service/server.h"
#include "spdlog/logger.h"
#include "spdlog/sinks/stdout_sinks.h"

using containerbuilder::service::Server;
using containerbuilder::service::ServerOptions;

// The defaults are ServerOptions' own.
ABSL_FLAG(std::vector<std::string>, listen, ServerOptions().listen,
          "Addresses to listen on: unix:///path/to.sock (mode 0600; who can "
          "open it may name any path of this machine) or host:port (port 0 "
          "picks a free one)");
ABSL_FLAG(
    std::string, state_dir, "/var/lib/container-builder",
    "Folder for builds, their logs and records, kept across restarts; one "
    "daemon alone may use it");
ABSL_FLAG(std::string, address_file, "",
          "Write the bound addresses here, one a line, when ready");
ABSL_FLAG(bool, insecure, false,
          "Take addresses other than loopback, in the clear and without "
          "asking who calls");
ABSL_FLAG(bool, trust_local, true,
          "Callers on the unix socket may name any path and option");
ABSL_FLAG(std::vector<std::string>, read_roots, {},
          "Folders that other callers may read contexts and files from");
ABSL_FLAG(std::vector<std::string>, write_roots, {},
          "Folders that other callers may have outputs written to");
ABSL_FLAG(std::vector<std::string>, allowed_options,
          ServerOptions().policy.allowed_options,
          "All options that other callers may use, named as nerdctl's flags");
ABSL_FLAG(std::vector<std::string>, allowed_entitlements, {},
          "Entitlements that they may use; network=host needs network.host and "
          "security.insecure");
ABSL_FLAG(std::vector<std::string>, allowed_networks,
          ServerOptions().policy.allowed_networks,
          "Networks that they may use");
ABSL_FLAG(std::vector<std::string>, allowed_ssh, {},
          "Ids, and sockets and keys by path, that they may name with ssh");
ABSL_FLAG(std::vector<std::string>, allowed_registries, {},
          "Registries, by host, that they may push to, have caches in and name "
          "images for");
ABSL_FLAG(std::vector<std::string>, allowed_tags,
          ServerOptions().policy.allowed_tags,
          "Patterns of names that they may give images");
ABSL_FLAG(std::vector<std::string>, allowed_environment, {},
          "Variables of nerdctl's that any request may set besides "
          "SOURCE_DATE_EPOCH, TRACEPARENT and TRACESTATE");
ABSL_FLAG(std::vector<std::string>, allowed_buildkit_hosts, {},
          "Values of buildkit_host that they may use");
ABSL_FLAG(std::vector<std::string>, allowed_frontends,
          ServerOptions().policy.allowed_frontends,
          "Patterns of images that their Dockerfiles' syntax lines may name");
ABSL_FLAG(std::int64_t, max_staged_bytes,
          ServerOptions().policy.max_staged_bytes,
          "How many bytes one of their builds may have copied from "
          "--read_roots");
ABSL_FLAG(std::int64_t, max_staged_files,
          ServerOptions().policy.max_staged_files, "... and how many files");
ABSL_FLAG(std::string, nerdctl, "", "nerdctl's path; default: from PATH");
ABSL_FLAG(std::string, containerd_address, "",
          "containerd's socket; default: $CONTAINERD_ADDRESS, else nerdctl's");
ABSL_FLAG(std::string, containerd_namespace, "",
          "containerd's namespace, such as k8s.io; default: "
          "$CONTAINERD_NAMESPACE, else nerdctl's");
ABSL_FLAG(std::string, buildkit_host, "",
          "buildkitd's address; default: $BUILDKIT_HOST, else nerdctl's");
ABSL_FLAG(std::string, snapshotter, "",
          "containerd's snapshotter; default: $CONTAINERD_SNAPSHOTTER, else "
          "nerdctl's");
ABSL_FLAG(int, max_running_builds, ServerOptions().max_running_builds,
          "Builds that run at the same time; 0: as many as there are cores");
ABSL_FLAG(int, max_queued_builds, ServerOptions().max_queued_builds,
          "Builds that wait besides; further ones are refused (QUEUE_FULL)");
ABSL_FLAG(absl::Duration, drain_timeout, ServerOptions().drain_timeout,
          "How long builds may go on after SIGTERM before they are stopped");
ABSL_FLAG(absl::Duration, retain_age, ServerOptions().retain_age,
          "Ended builds are forgotten, with their logs, when they are older");
ABSL_FLAG(std::int64_t, retain_builds, ServerOptions().retain_builds,
          "... or when there are more of them, oldest first");
ABSL_FLAG(std::int64_t, retain_bytes, ServerOptions().retain_bytes,
          "... or when their logs have more bytes, oldest first");
ABSL_FLAG(std::int64_t, max_log_bytes, ServerOptions().max_log_bytes,
          "A build that prints more bytes is ended (LOG_LIMIT)");
ABSL_FLAG(std::int64_t, min_free_bytes, ServerOptions().min_free_bytes,
          "Where the disk of --state_dir has less free, no build is taken, and "
          "one that prints is ended (NO_SPACE)");
ABSL_FLAG(absl::Duration, health_interval, ServerOptions().health_interval,
          "How often grpc.health.v1 is brought up to date");

namespace {

ServerOptions OptionsFromFlags() {
  ServerOptions options;
  options.listen = absl::GetFlag(FLAGS_listen);
  options.state_dir = absl::GetFlag(FLAGS_state_dir);
  options.insecure = absl::GetFlag(FLAGS_insecure);
  options.trust_local = absl::GetFlag(FLAGS_trust_local);
  options.policy.read_roots = absl::GetFlag(FLAGS_read_roots);
  options.policy.write_roots = absl::GetFlag(FLAGS_write_roots);
  options.policy.allowed_options = absl::GetFlag(FLAGS_allowed_options);
  options.policy.allowed_entitlements =
      absl::GetFlag(FLAGS_allowed_entitlements);
  options.policy.allowed_networks = absl::GetFlag(FLAGS_allowed_networks);
  options.policy.allowed_ssh = absl::GetFlag(FLAGS_allowed_ssh);
  options.policy.allowed_registries = absl::GetFlag(FLAGS_allowed_registries);
  options.policy.allowed_tags = absl::GetFlag(FLAGS_allowed_tags);
  options.policy.allowed_environment = absl::GetFlag(FLAGS_allowed_environment);
  options.policy.allowed_buildkit_hosts =
      absl::GetFlag(FLAGS_allowed_buildkit_hosts);
  options.policy.allowed_frontends = absl::GetFlag(FLAGS_allowed_frontends);
  options.policy.max_staged_bytes = absl::GetFlag(FLAGS_max_staged_bytes);
  options.policy.max_staged_files = absl::GetFlag(FLAGS_max_staged_files);
  options.nerdctl = absl::GetFlag(FLAGS_nerdctl);
  options.containerd_address = absl::GetFlag(FLAGS_containerd_address);
  options.containerd_namespace = absl::GetFlag(FLAGS_containerd_namespace);
  options.buildkit_host = absl::GetFlag(FLAGS_buildkit_host);
  options.snapshotter = absl::GetFlag(FLAGS_snapshotter);
  options.max_running_builds = absl::GetFlag(FLAGS_max_running_builds);
  options.max_queued_builds = absl::GetFlag(FLAGS_max_queued_builds);
  options.drain_timeout = absl::GetFlag(FLAGS_drain_timeout);
  options.retain_age = absl::GetFlag(FLAGS_retain_age);
  options.retain_builds = absl::GetFlag(FLAGS_retain_builds);
  options.retain_bytes = absl::GetFlag(FLAGS_retain_bytes);
  options.max_log_bytes = absl::GetFlag(FLAGS_max_log_bytes);
  options.min_free_bytes = absl::GetFlag(FLAGS_min_free_bytes);
  options.health_interval = absl::GetFlag(FLAGS_health_interval);
  options.reap_orphans = true;
  options.logger = std::make_shared<spdlog::logger>(
      "container-builderd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  return options;
}

// Readers never see half of it.
bool WriteAddressFile(const std::string& path,
                      const std::vector<std::string>& addresses) {
  const std::string temporary = path + ".new";
  {
    std::ofstream file(temporary, std::ios::trunc);
    file << absl::StrJoin(addresses, "\n") << "\n";
    if (!file.flush()) return false;
  }
  return std::rename(temporary.c_str(), path.c_str()) == 0;
}

int Fail(absl::string_view cause) {
  std::cerr << "container-builderd: " << cause << "\n";
  return EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "builds container images with nerdctl for gRPC callers.\n"
      "  container-builderd --listen=ADDRESS[,ADDRESS...] --state_dir=DIR");
  if (absl::ParseCommandLine(argc, argv).size() > 1) {
    return Fail("takes flags only; see --help");
  }
  // What belongs to the process is set here and nowhere in the library. The
  // signals are blocked before the first thread is made, and so in all.
  umask(077);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::signal(SIGPIPE, SIG_IGN);
  // A queue of a thousand builds holds two files open for each, and gRPC 1.51
  // never listens again after it ran out of them once. nerdctl and buildctl,
  // being Go programs, do the same.
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  const ServerOptions options = OptionsFromFlags();
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Create(options);
  if (!server.ok()) return Fail(server.status().message());
  const std::string address_file = absl::GetFlag(FLAGS_address_file);
  if (!address_file.empty() &&
      !WriteAddressFile(address_file, (*server)->addresses())) {
    return Fail(
        absl::StrCat("--address_file=", address_file, ": cannot be written"));
  }
  options.logger->info("ready on {}",
                       absl::StrJoin((*server)->addresses(), ", "));

  const auto name_of = [](int signal) {
    return signal == SIGTERM ? "SIGTERM" : "SIGINT";
  };
  int signal = 0;
  sigwait(&signals, &signal);
  options.logger->info("draining on {}", name_of(signal));
  const std::jthread hastener([&] {
    int second = 0;
    sigwait(&signals, &second);
    options.logger->info("hastening on {}", name_of(second));
    (*server)->HastenShutdown();
  });
  (*server)->Shutdown();
  options.logger->flush();
  // All is ended. Taking gRPC 1.51 down in order would wait for a poll of its
  // own, for up to ten seconds, and the thread above for a second signal.
  std::_Exit(EXIT_SUCCESS);
}
