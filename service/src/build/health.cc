#include "build/health.h"

#include <algorithm>
#include <cstddef>
#include <future>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/timestamps.h"
#include "base/utf8.h"
#include "build/command_line.h"

namespace containerbuilder::service {
namespace {

using v1::HealthCheck;

// Under so many times what must be kept free, a build with a large log, and
// what BuildKit keeps beside it, may end there.
constexpr std::uint64_t kLowFreeDisk = 4;

double ToGib(double bytes) { return bytes / (1 << 30); }

constexpr absl::string_view kSetUpPage =
    "https://github.com/containerd/nerdctl/blob/main/docs/build.md";

// A row, and what it learned by the way.
struct Finding {
  HealthCheck check;
  std::string version = "";
};

HealthCheck Row(absl::string_view name, HealthCheck::State state,
                absl::string_view message, absl::string_view hint = "") {
  HealthCheck check;
  check.set_name(std::string(name));
  check.set_state(state);
  check.set_message(ToUtf8(message));
  check.set_hint(ToUtf8(hint));
  return check;
}

HealthCheck CheckPlatform(Platform platform) {
  constexpr absl::string_view kName = "platform";
  switch (platform) {
    case Platform::kLinux:
      return Row(kName, HealthCheck::STATE_OK, "Linux");
    case Platform::kMacOs:
      return Row(kName, HealthCheck::STATE_OK, "macOS");
    case Platform::kWindows:
      return Row(kName, HealthCheck::STATE_FAILED,
                 "nerdctl is not supported on Windows",
                 "Run the service on Linux, or on macOS with lima");
    case Platform::kOther:
      break;
  }
  return Row(kName, HealthCheck::STATE_OK, "neither Linux, macOS nor Windows");
}

HealthCheck CheckDockerBuildkit(const Host& host) {
  constexpr absl::string_view kName = "docker_buildkit";
  const std::string value = host.getenv("DOCKER_BUILDKIT").value_or("");
  if (value.empty()) {
    return Row(kName, HealthCheck::STATE_OK, "DOCKER_BUILDKIT is not set");
  }
  return Row(kName, HealthCheck::STATE_WARNING,
             absl::StrCat("DOCKER_BUILDKIT=", value,
                          " has no effect with nerdctl, which always builds "
                          "with BuildKit"),
             "Unset DOCKER_BUILDKIT in the service's environment");
}

// `path`: where nerdctl was found.
Finding CheckNerdctl(Toolchain& toolchain,
                     const absl::StatusOr<std::string>& path) {
  constexpr absl::string_view kName = "nerdctl";
  const std::string hint = toolchain.InstallHint();
  const absl::StatusOr<NerdctlInfo> nerdctl =
      path.ok() ? toolchain.Nerdctl() : path.status();
  if (!nerdctl.ok()) {
    // The hint has a field of its own here.
    absl::string_view message = nerdctl.status().message();
    absl::ConsumeSuffix(&message, absl::StrCat(" ", hint));
    return {Row(kName, HealthCheck::STATE_FAILED, message, hint)};
  }
  if (!nerdctl->problem.empty()) {
    return {Row(kName, HealthCheck::STATE_WARNING, nerdctl->problem,
                absl::StrCat("Check that this is nerdctl: options of builds "
                             "cannot be checked against what it has. ",
                             hint)),
            nerdctl->version};
  }
  return {Row(kName, HealthCheck::STATE_OK,
              absl::StrCat("nerdctl ",
                           nerdctl->version.empty() ? "of an unknown version"
                                                    : nerdctl->version,
                           " at ", nerdctl->path)),
          nerdctl->version};
}

// How a BuildKit daemon is had where there is none.
std::string BuildkitdHint(const Toolchain& toolchain) {
  for (const absl::string_view tool : {"docker", "podman"}) {
    if (const std::optional<std::string> path = toolchain.Find(tool)) {
      return absl::StrCat(
          "To run a portable buildkitd (via container), do the following in a "
          "terminal:\n    ",
          *path,
          " run -d --name buildkitd --privileged moby/buildkit:master\n    "
          "export BUILDKIT_HOST=",
          tool,
          "-container://buildkitd\n"
          "Then start the service again from there.");
    }
  }
  return absl::StrCat(
      "Install BuildKit, or name a buildkitd that runs by --buildkit_host or "
      "BUILDKIT_HOST; see ",
      kSetUpPage);
}

Finding CheckBuildkit(const Toolchain& toolchain) {
  constexpr absl::string_view kName = "buildkit";
  std::vector<std::string> problems;
  std::vector<std::string> hints;

  const std::string host = toolchain.Variable("BUILDKIT_HOST");
  const std::optional<std::string> buildkitd = toolchain.Find("buildkitd");
  if (!buildkitd && host.empty()) {
    problems.emplace_back(
        "buildkitd is not on the service's PATH, and BUILDKIT_HOST is not set");
    hints.push_back(BuildkitdHint(toolchain));
  }

  std::string version;
  const std::optional<std::string> buildctl = toolchain.Find("buildctl");
  if (!buildctl) {
    problems.emplace_back(
        "buildctl, which nerdctl runs, is not on the service's PATH");
    hints.emplace_back(
        "Install BuildKit's buildctl, see https://github.com/moby/buildkit");
  } else if (const auto output = toolchain.Ask({*buildctl, "--version"});
             output.ok()) {
    version = FindVersion(*output);
  } else {
    problems.emplace_back(output.status().message());
    hints.emplace_back(
        "Install BuildKit's buildctl anew, see "
        "https://github.com/moby/buildkit");
  }
  if (!problems.empty()) {
    return {Row(kName, HealthCheck::STATE_FAILED, absl::StrJoin(problems, "; "),
                absl::StrJoin(hints, "\n")),
            version};
  }
  return {Row(kName, HealthCheck::STATE_OK,
              absl::StrCat("buildctl ", version, version.empty() ? "" : " ",
                           "at ", *buildctl, ", ",
                           host.empty() ? "buildkitd at " : "BUILDKIT_HOST=",
                           host.empty() ? *buildkitd : MaskSecrets(host))),
          version};
}

// Where nerdctl build looks for buildkitd, in its order.
std::vector<std::string> BuildkitHosts(const Toolchain& toolchain) {
  const std::string host = toolchain.Variable("BUILDKIT_HOST");
  if (!host.empty()) return {host};

  std::string run = "/run";
  if (const uid_t user = toolchain.host().user; user != 0) {
    run = toolchain.Variable("XDG_RUNTIME_DIR");
    if (run.empty()) run = absl::StrCat("/run/user/", user);
  }
  std::vector<std::string> folders = {"buildkit-default", "buildkit"};
  const std::string name_space = toolchain.Variable("CONTAINERD_NAMESPACE");
  if (!name_space.empty() && name_space != "default") {
    folders.insert(folders.begin(), absl::StrCat("buildkit-", name_space));
  }
  std::vector<std::string> hosts;
  hosts.reserve(folders.size());
  for (const std::string& folder : folders) {
    hosts.push_back(
        absl::StrCat("unix://", run, "/", folder, "/buildkitd.sock"));
  }
  return hosts;
}

// Of `buildctl debug workers`, whose first line may be a heading.
bool ListsWorker(absl::string_view output) {
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty() &&
        !(absl::StartsWith(line, "ID") && absl::EndsWith(line, "PLATFORMS"))) {
      return true;
    }
  }
  return false;
}

// buildkitd's version in `buildctl debug workers -v`, a line `BuildKit:
// github.com/moby/buildkit v0.34.2 REVISION`; empty where it is too old to
// tell.
std::string BuildkitdVersion(absl::string_view output) {
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    if (absl::ConsumePrefix(&line, "BuildKit:")) return FindVersion(line);
  }
  return "";
}

Finding CheckBuildkitd(const Toolchain& toolchain) {
  constexpr absl::string_view kName = "buildkitd";
  const std::optional<std::string> buildctl = toolchain.Find("buildctl");
  if (!buildctl) {
    return {Row(kName, HealthCheck::STATE_SKIPPED,
                "cannot be asked without buildctl")};
  }
  std::vector<std::string> problems;
  for (const std::string& host : BuildkitHosts(toolchain)) {
    const absl::StatusOr<std::string> output =
        toolchain.Ask({*buildctl, "--addr", host, "debug", "workers", "-v"});
    if (!output.ok()) {
      problems.emplace_back(output.status().message());
    } else if (!ListsWorker(*output)) {
      problems.push_back(absl::StrCat("buildkitd at ", MaskSecrets(host),
                                      " answers, but has no worker"));
    } else {
      const std::string version = BuildkitdVersion(*output);
      return {
          Row(kName, HealthCheck::STATE_OK,
              absl::StrCat("buildkitd ", version, version.empty() ? "" : " ",
                           "answers at ", MaskSecrets(host))),
          version};
    }
  }
  return {Row(kName, HealthCheck::STATE_FAILED, absl::StrJoin(problems, "; "),
              absl::StrCat("Start buildkitd with a worker, or name one that "
                           "runs by --buildkit_host or BUILDKIT_HOST; see ",
                           kSetUpPage))};
}

// containerd's version in what `nerdctl version` prints: under `Server:`,
// ` containerd:`, the line `  Version: v1.7.22`. Nothing where it tells of no
// containerd.
std::optional<std::string> ContainerdVersion(absl::string_view output) {
  constexpr absl::string_view kServer = "Server:";
  const std::size_t server = output.find(kServer);
  if (server == absl::string_view::npos) return std::nullopt;
  bool is_containerd = false;
  for (absl::string_view line :
       absl::StrSplit(output.substr(server + kServer.size()), '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line == "containerd:") {
      is_containerd = true;
    } else if (is_containerd && absl::ConsumePrefix(&line, "Version:")) {
      return FindVersion(line);
    }
  }
  return std::nullopt;
}

Finding CheckContainerd(const Toolchain& toolchain,
                        const absl::StatusOr<std::string>& nerdctl) {
  constexpr absl::string_view kName = "containerd";
  if (!nerdctl.ok()) {
    return {Row(kName, HealthCheck::STATE_SKIPPED,
                "cannot be asked without nerdctl")};
  }
  // Exits with 0, but tells of the client alone, where nerdctl gave up.
  const absl::StatusOr<std::string> output =
      toolchain.Ask({*nerdctl, "version"});
  const std::optional<std::string> version =
      output.ok() ? ContainerdVersion(*output) : std::nullopt;
  if (!version) {
    return {Row(kName, HealthCheck::STATE_FAILED,
                output.ok()
                    ? absl::StrCat(*nerdctl, " version: tells of no containerd")
                    : std::string(output.status().message()),
                "Start containerd, or name the socket of one that runs by "
                "--containerd_address; check that the service may open it. For "
                "an ordinary user: containerd-rootless-setuptool.sh install")};
  }
  const std::string address = toolchain.Variable("CONTAINERD_ADDRESS");
  return {Row(kName, HealthCheck::STATE_OK,
              absl::StrCat("containerd ", *version, version->empty() ? "" : " ",
                           "answers", address.empty() ? "" : " at ", address)),
          *version};
}

HealthCheck CheckDisk(const Host& host, const std::string& folder,
                      std::int64_t min_free_bytes, const absl::Status& state) {
  constexpr absl::string_view kName = "disk";
  if (!state.ok()) {
    return Row(kName, HealthCheck::STATE_FAILED,
               absl::StrCat("The state folder cannot be used any more: ",
                            state.message()),
               "Bring the folder of --state_dir back, so that it can be "
               "written to; where it was removed or replaced, start the "
               "service anew");
  }
  const absl::StatusOr<std::uint64_t> free = host.free_disk(folder);
  if (!free.ok()) {
    return Row(kName, HealthCheck::STATE_FAILED,
               absl::StrCat("The state folder cannot be looked at: ",
                            free.status().message()),
               "Check that the folder of --state_dir exists and is mounted");
  }
  const std::string message = absl::StrFormat(
      "%.1f GiB free in %s", ToGib(static_cast<double>(*free)), folder);
  const std::string hint =
      "Free some space, or put --state_dir on a larger disk; `nerdctl builder "
      "prune` frees BuildKit's cache";
  if (*free < static_cast<std::uint64_t>(min_free_bytes)) {
    return Row(
        kName, HealthCheck::STATE_FAILED,
        absl::StrFormat("%s, but %.1f GiB are kept free "
                        "(--min_free_bytes)",
                        message, ToGib(static_cast<double>(min_free_bytes))),
        hint);
  }
  if (*free < kLowFreeDisk * static_cast<std::uint64_t>(min_free_bytes)) {
    return Row(kName, HealthCheck::STATE_WARNING,
               absl::StrCat(message, ", little for a build"), hint);
  }
  return Row(kName, HealthCheck::STATE_OK, message);
}

HealthCheck CheckQueue(const QueueState& queue) {
  constexpr absl::string_view kName = "queue";
  const std::string message =
      absl::StrCat(queue.running, " builds run, ", queue.queued, " wait");
  if (queue.draining) {
    return Row(
        kName, HealthCheck::STATE_FAILED,
        absl::StrCat("The service is stopping and takes no builds; ", message));
  }
  if (queue.full) {
    return Row(kName, HealthCheck::STATE_WARNING,
               absl::StrCat(message, ", which is all that may"),
               "Wait, or raise --max_queued_builds");
  }
  return Row(kName, HealthCheck::STATE_OK, message);
}

v1::HealthResponse::State Verdict(const v1::HealthResponse& response) {
  const auto any = [&](HealthCheck::State state) {
    return std::any_of(
        response.checks().begin(), response.checks().end(),
        [state](const HealthCheck& check) { return check.state() == state; });
  };
  if (any(HealthCheck::STATE_FAILED)) {
    return v1::HealthResponse::STATE_UNHEALTHY;
  }
  return any(HealthCheck::STATE_WARNING) ? v1::HealthResponse::STATE_DEGRADED
                                         : v1::HealthResponse::STATE_HEALTHY;
}

}  // namespace

HealthChecker::HealthChecker(Toolchain* toolchain, std::string state_folder,
                             std::int64_t min_free_bytes,
                             std::function<absl::Status()> check_state,
                             std::function<QueueState()> queue)
    : toolchain_(toolchain),
      state_folder_(std::move(state_folder)),
      min_free_bytes_(min_free_bytes),
      check_state_(std::move(check_state)),
      queue_(std::move(queue)) {}

v1::HealthResponse HealthChecker::Check(absl::Duration freshness) {
  {
    absl::MutexLock lock(&mutex_);
    // A clock that was set back makes no answer fresh.
    const absl::Duration age = toolchain_->host().now() - checked_;
    if (looks_ > 0 && age >= absl::ZeroDuration() && age <= freshness) {
      return last_;
    }
    if (looking_) {
      const auto is_over =
          [this, looks = looks_]()
              ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return looks_ != looks; };
      mutex_.Await(absl::Condition(&is_over));
      return last_;
    }
    looking_ = true;
  }
  v1::HealthResponse response = Look();
  absl::MutexLock lock(&mutex_);
  looking_ = false;
  ++looks_;
  checked_ = toolchain_->host().now();
  *response.mutable_check_time() = ToTimestamp(checked_);
  last_ = response;
  return response;
}

v1::HealthResponse HealthChecker::Look() const {
  const Host& host = toolchain_->host();
  v1::HealthResponse response;
  response.set_buildkit_support(true);
  *response.add_checks() = CheckPlatform(host.platform);

  if (host.platform == Platform::kWindows) {
    for (const absl::string_view name :
         {"docker_buildkit", "nerdctl", "buildkit", "buildkitd",
          "containerd"}) {
      *response.add_checks() = Row(name, HealthCheck::STATE_SKIPPED,
                                   "nerdctl is not supported on Windows");
    }
  } else {
    const absl::StatusOr<std::string> path = toolchain_->FindNerdctl();
    // Programs are asked side by side, so that the answer takes as long as
    // the slowest of them; on this thread where there can be no other.
    const auto side_by_side = [](auto check) {
      return std::async(std::launch::async | std::launch::deferred, check);
    };
    auto nerdctl =
        side_by_side([&] { return CheckNerdctl(*toolchain_, path); });
    auto buildkit = side_by_side([&] { return CheckBuildkit(*toolchain_); });
    auto buildkitd = side_by_side([&] { return CheckBuildkitd(*toolchain_); });
    auto containerd =
        side_by_side([&] { return CheckContainerd(*toolchain_, path); });

    *response.add_checks() = CheckDockerBuildkit(host);
    if (path.ok()) response.set_nerdctl_path(ToUtf8(*path));
    Finding finding = nerdctl.get();
    *response.add_checks() = std::move(finding.check);
    response.set_nerdctl_version(std::move(finding.version));
    finding = buildkit.get();
    *response.add_checks() = std::move(finding.check);
    response.set_buildkit_version(std::move(finding.version));
    finding = buildkitd.get();
    *response.add_checks() = std::move(finding.check);
    if (!finding.version.empty()) {
      response.set_buildkit_version(std::move(finding.version));
    }
    finding = containerd.get();
    *response.add_checks() = std::move(finding.check);
    response.set_containerd_version(std::move(finding.version));
  }

  *response.add_checks() =
      CheckDisk(host, state_folder_, min_free_bytes_, check_state_());
  *response.add_checks() = CheckQueue(queue_());
  response.set_state(Verdict(response));
  return response;
}

}  // namespace containerbuilder::service
