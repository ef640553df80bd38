// The policy on any request: what it admits is read by nerdctl as what was
// asked for, and what an untrusted caller may not have is not among it.

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "build/nerdctl_args.h"
#include "build/policy.h"
#include "containerbuilder/nerdctl_build_flags.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "fuzz/fuzz.h"
#include "fuzz/pflag.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using fuzz::Check;

NerdctlInfo Nerdctl() {
  NerdctlInfo info;
  info.path = "/usr/bin/nerdctl";
  info.version = "1.7.7";
  for (const NerdctlBuildFlag& flag : kNerdctlBuildFlags) {
    if (flag.since != "1.7") continue;
    info.flags[std::string(flag.name)] =
        flag.kind != NerdctlBuildFlag::Kind::kSwitch;
  }
  return info;
}

// A working folder with contexts in reach and out of it. Requests name them
// relative to the root of the file system that the inputs know: /tmp/cbfuzz.
class World {
 public:
  World() {
    std::filesystem::remove_all(kHome);
    for (const char* context : {"open/ctx", "shut/ctx"}) {
      const std::string folder = absl::StrCat(kHome, "/", context);
      std::filesystem::create_directories(folder);
      std::filesystem::create_symlink("/etc/hostname", folder + "/link");
    }
    std::filesystem::create_symlink("../shut/ctx",
                                    absl::StrCat(kHome, "/open/out"));
  }
  ~World() {
    std::error_code ignored;
    std::filesystem::remove_all(kHome, ignored);
  }

  static constexpr char kHome[] = "/tmp/cbfuzz";
};

void CheckAdmitted(const AdmittedSpec& admitted, bool trusted) {
  const std::vector<std::string>& args = admitted.args();
  for (const std::string& arg : args) {
    Check(arg.find('\0') == std::string::npos, "no argument has a NUL");
  }
  const std::optional<fuzz::Reading> reading = fuzz::ReadAsPflag(args);
  Check(reading.has_value(), "nerdctl can read it");
  const v1::BuildOptions& options = admitted.spec().options();
  const std::string context =
      options.context_path().empty() ? "." : options.context_path();
  Check(reading->arguments == std::vector<std::string>{context},
        "the context, and nothing else, is its argument");

  const auto flags = WriteFlags(
      options, {"/", [](const std::string&) { return false; }}, "options");
  Check(flags.ok(), "what was admitted can be written");
  std::vector<std::pair<std::string, std::string>> asked;
  for (const WrittenFlag& flag : *flags) {
    if (flag.bare) asked.emplace_back(flag.name, "true");
    for (const std::string& value : flag.values) {
      asked.emplace_back(flag.name, value);
    }
  }
  std::vector<std::pair<std::string, std::string>> read = reading->flags;
  const auto made =
      std::remove_if(read.begin(), read.end(),
                     [](const std::pair<std::string, std::string>& flag) {
                       return flag.first == "secret" &&
                              absl::StrContains(flag.second, ",src=/secrets/");
                     });
  Check(read.end() - made == admitted.spec().secrets_size(),
        "a file for each secret by value, and no other");
  read.erase(made, read.end());
  Check(std::equal(read.begin(), read.end(), asked.begin(), asked.end(),
                   [](const auto& one, const auto& other) {
                     return one.first == other.first;
                   }),
        "the flags asked for", absl::StrJoin(args, " "));

  if (trusted) return;
  const std::set<std::string> harmless = {
      "build-arg", "file", "label", "network", "no-cache", "platform",
      "progress",  "pull", "quiet", "tag",     "target"};
  for (const auto& [name, value] : read) {
    Check(harmless.contains(name), "an option that nobody allowed", name);
    if (name == "network") {
      Check(value == "default" || value == "none", "the host's network", value);
    }
    if (name == "build-arg") {
      Check(absl::StrContains(value, "="), "the service's variable", value);
    }
    if (name == "file") {
      Check(absl::StartsWith(value, absl::StrCat(World::kHome, "/open/")),
            "a file outside the roots", value);
    }
  }
  Check(
      absl::StartsWith(
          std::filesystem::weakly_canonical(admitted.working_folder()).string(),
          absl::StrCat(World::kHome, "/open")),
      "a context outside the roots", admitted.working_folder());
}

void CheckRequest(const v1::BuildRequest& request, bool trusted) {
  static const World world;
  static const NerdctlInfo nerdctl = Nerdctl();
  static const Policy policy = [] {
    Host host;
    host.working_folder = World::kHome;
    PolicyOptions options;
    options.read_roots = {absl::StrCat(World::kHome, "/open")};
    return Policy(options, host);
  }();
  const Caller caller{trusted ? "local" : "anonymous", trusted};
  v1::BuildPolicy build_policy = request.policy();
  if (build_policy.disconnect_policy() == v1::DISCONNECT_POLICY_UNSPECIFIED) {
    build_policy.set_disconnect_policy(v1::DISCONNECT_POLICY_DETACH);
  }
  const absl::StatusOr<AdmittedSpec> admitted =
      policy.Admit(request.spec(), build_policy, caller, nerdctl, "/secrets");
  for (const std::string& warning :
       policy.Warnings(request.spec().options(), caller, &nerdctl)) {
    Check(!warning.empty(), "a warning says something");
  }
  if (admitted.ok()) {
    CheckAdmitted(*admitted, trusted);
    return;
  }
  switch (admitted.status().code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnimplemented:
      break;
    default:
      Check(false, "refused by a rule", admitted.status().ToString());
  }
  Check(!admitted.status().message().empty(), "a refusal says why");
}

}  // namespace
}  // namespace containerbuilder::service

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  containerbuilder::v1::BuildRequest request;
  containerbuilder::fuzz::Input input(data, size);
  const bool trusted = input.Byte() % 2 == 0;
  if (containerbuilder::fuzz::Parse(input.Rest(), request)) {
    containerbuilder::service::CheckRequest(request, trusted);
  }
  return 0;
}
