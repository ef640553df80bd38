// The policy on any request: what it admits is read by nerdctl as what was
// asked for, and what an untrusted caller may not have is not among it.

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "build/nerdctl_args.h"
#include "build/policy.h"
#include "build/staging.h"
#include "containerbuilder/nerdctl_build_flags.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "fuzz/fuzz.h"
#include "fuzz/pflag.h"

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

constexpr char kStaging[] = "/state/builds/x/staging";

// Whoever asks, and what the operator allows.
struct Case {
  bool trusted;
  bool generous;
};

// What a build of a caller who is not trusted gets at.
void CheckUntrusted(const AdmittedSpec& admitted, const fuzz::Reading& reading,
                    const Case& the_case) {
  const std::set<std::string> harmless = {
      "build-arg", "file", "label", "network", "no-cache", "platform",
      "progress",  "pull", "quiet", "tag",     "target"};
  for (const auto& [name, value] : reading.flags) {
    const bool is_secret =
        name == "secret" && absl::StrContains(value, ",src=/secrets/");
    const bool comes_back =
        !admitted.spec().context_digest().empty() &&
        (name == "iidfile" ||
         (name == "output" &&
          absl::StrContains(value, absl::StrCat("dest=", kStaging, "/"))));
    Check(
        the_case.generous || harmless.contains(name) || is_secret || comes_back,
        "an option that nobody allowed", name);
    if (name == "network" && !the_case.generous) {
      Check(value == "default" || value == "none", "the host's network", value);
    }
    if (name == "build-arg") {
      Check(absl::StrContains(value, "="), "the service's variable", value);
      Check(the_case.generous || !absl::StartsWith(value, "BUILDKIT_ATTEST_"),
            "an option that nobody allowed", value);
    }
    if (name == "file" || name == "iidfile") {
      Check(absl::StartsWith(value, absl::StrCat(kStaging, "/")),
            "a file that is no copy", value);
    }
    Check(name != "ssh" && name != "allow" && name != "buildkit-host",
          "a right that nobody gave", name);
  }
  Check(
      absl::StartsWith(admitted.working_folder(), absl::StrCat(kStaging, "/")),
      "a context that is no copy", admitted.working_folder());
  const std::string open = absl::StrCat(World::kHome, "/open");
  for (const StagedInput& input : admitted.staging().inputs) {
    if (input.kind == StagedInput::Kind::kText ||
        input.kind == StagedInput::Kind::kTree) {
      continue;
    }
    Check(input.place.root == open, "read from elsewhere", input.place.root);
    // As openat2 would find it: there are no links left in it.
    const std::string path = absl::StrCat(open, "/", input.place.path);
    Check(absl::StartsWith(std::filesystem::canonical(path).string(), open),
          "read from outside the root", path);
  }
  for (const StagedOutput& output : admitted.staging().outputs) {
    Check(the_case.generous && output.place.root == open, "written elsewhere",
          output.place.root);
    Check(!absl::StrContains(absl::StrCat("/", output.place.path, "/"), "/../"),
          "written outside the root", output.place.path);
  }
}

void CheckAdmitted(const AdmittedSpec& admitted, const Case& the_case) {
  const std::vector<std::string>& args = admitted.args();
  for (const std::string& arg : args) {
    Check(arg.find('\0') == std::string::npos, "no argument has a NUL");
  }
  const std::optional<fuzz::Reading> reading = fuzz::ReadAsPflag(args);
  Check(reading.has_value(), "nerdctl can read it", absl::StrJoin(args, " "));
  Check(reading->arguments.size() == 1, "the context is the only argument",
        absl::StrJoin(args, " "));

  const v1::BuildOptions& options = admitted.spec().options();
  const auto flags = WriteFlags(
      options, {"/", [](const std::string&) { return false; }}, "options");
  Check(flags.ok(), "what was admitted can be written");
  std::vector<std::string> asked;
  for (const WrittenFlag& flag : *flags) {
    asked.insert(asked.end(), flag.bare ? 1 : flag.values.size(), flag.name);
  }
  std::vector<std::string> read;
  int secrets = 0;
  for (const auto& [name, value] : reading->flags) {
    if (name == "secret" && absl::StrContains(value, ",src=/secrets/")) {
      ++secrets;
    } else {
      read.push_back(name);
    }
  }
  Check(secrets == admitted.spec().secrets_size(),
        "a file for each secret by value, and no other");
  for (const ContextPart& part : admitted.staging().context_parts) {
    Check(!absl::StartsWith(part.path, "/") &&
              !absl::StrContains(absl::StrCat("/", part.path, "/"), "/../"),
          "a part outside the context", part.path);
  }
  if (!admitted.spec().dockerfile().empty()) asked.emplace_back("file");
  if (the_case.trusted) {
    Check(read == asked, "the flags asked for", absl::StrJoin(args, " "));
    if (!admitted.spec().context_digest().empty()) {
      Check(absl::StartsWith(reading->arguments[0] + "/",
                             absl::StrCat(kStaging, "/context/")),
            "in the uploaded context", reading->arguments[0]);
    } else {
      Check(reading->arguments[0] ==
                (options.context_path().empty() ? "." : options.context_path()),
            "in the context asked for");
    }
  } else {
    // Where no Dockerfile is named, the copy's may be.
    for (const std::string& name : read) {
      Check(name == "file" || absl::c_linear_search(asked, name),
            "a flag that was not asked for", name);
    }
    CheckUntrusted(admitted, *reading, the_case);
  }
}

std::shared_ptr<const Policy> MakePolicy(bool generous) {
  Host host;
  host.working_folder = World::kHome;
  PolicyOptions options;
  options.read_roots = {absl::StrCat(World::kHome, "/open")};
  if (generous) {
    options.write_roots = options.read_roots;
    options.allowed_options.clear();
    for (const NerdctlBuildFlag& flag : kNerdctlBuildFlags) {
      options.allowed_options.emplace_back(flag.name);
    }
    options.allowed_registries = {"r.example"};
  }
  absl::StatusOr<std::shared_ptr<const Policy>> policy =
      Policy::Create(options, host, {"/state"});
  Check(policy.ok(), "the policy is valid", policy.status().ToString());
  return *policy;
}

void CheckRequest(const v1::BuildRequest& request, const Case& the_case) {
  static const World world;
  static const NerdctlInfo nerdctl = Nerdctl();
  static const std::shared_ptr<const Policy> policies[] = {MakePolicy(false),
                                                           MakePolicy(true)};
  const Policy& policy = *policies[the_case.generous ? 1 : 0];
  const Caller caller{the_case.trusted ? "local" : "anonymous",
                      the_case.trusted};
  v1::BuildPolicy build_policy = request.policy();
  if (build_policy.disconnect_policy() == v1::DISCONNECT_POLICY_UNSPECIFIED) {
    build_policy.set_disconnect_policy(v1::DISCONNECT_POLICY_DETACH);
  }
  const absl::StatusOr<AdmittedSpec> admitted = policy.Admit(
      request.spec(), build_policy, caller, nerdctl, {kStaging}, "/secrets");
  for (const std::string& warning :
       policy.Warnings(request.spec().options(), caller, &nerdctl)) {
    Check(!warning.empty(), "a warning says something");
  }
  if (admitted.ok()) {
    CheckAdmitted(*admitted, the_case);
    return;
  }
  switch (admitted.status().code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kResourceExhausted:
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
  const std::uint8_t kind = input.Byte();
  if (containerbuilder::fuzz::Parse(input.Rest(), request)) {
    containerbuilder::service::CheckRequest(
        request, {.trusted = kind % 2 == 0, .generous = kind % 4 >= 2});
  }
  return 0;
}
