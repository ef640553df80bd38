#ifndef CONTAINERBUILDER_NERDCTL_BUILD_FLAGS_H_
#define CONTAINERBUILDER_NERDCTL_BUILD_FLAGS_H_

#include <algorithm>
#include <array>
#include <string_view>

namespace containerbuilder {

// A flag of `nerdctl build`: the vocabulary of Option.name, which the service
// checks and the CLI parses.
struct NerdctlBuildFlag {
  enum class Kind {
    kSwitch,  // takes no separate value: `--no-cache`, `--no-cache=false`
    kText,    // one value; of several, nerdctl uses the last
    kList,    // may be repeated
  };
  // What of a value names a file or folder.
  enum class Path {
    kNone,
    kWhole,       // the value: `--file PATH`
    kAttributes,  // `src=`, `source=` or `dest=` inside a CSV value
    kNamed,       // what follows the first `=`: `--build-context NAME=PATH`
  };
  std::string_view name;  // without dashes
  char shorthand;         // '\0': none
  Kind kind;
  Path path;
  std::string_view since;  // the first nerdctl release line that has it
  std::string_view help;
};

// Read from the sources of nerdctl 1.7.7 and 2.1.3, in their order.
inline constexpr std::array kNerdctlBuildFlags = {
    NerdctlBuildFlag{"add-host", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kNone, "2.0",
                     "Add a custom host-to-IP mapping (host:ip)"},
    NerdctlBuildFlag{"allow", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Allow an extra entitlement (network.host, "
                     "security.insecure)"},
    NerdctlBuildFlag{"attest", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kNone, "2.0",
                     "Attestation parameters (type=sbom,generator=image)"},
    NerdctlBuildFlag{"build-arg", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Set a build-time variable (KEY=VALUE)"},
    NerdctlBuildFlag{"build-context", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kNamed, "2.0",
                     "Additional build context (NAME=PATH)"},
    NerdctlBuildFlag{"buildkit-host", '\0', NerdctlBuildFlag::Kind::kText,
                     NerdctlBuildFlag::Path::kNone, "1.7", "BuildKit address"},
    NerdctlBuildFlag{"cache-from", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kAttributes, "1.7",
                     "External cache source (user/app:cache, "
                     "type=local,src=DIR)"},
    NerdctlBuildFlag{"cache-to", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kAttributes, "1.7",
                     "Cache export destination (user/app:cache, "
                     "type=local,dest=DIR)"},
    NerdctlBuildFlag{"file", 'f', NerdctlBuildFlag::Kind::kText,
                     NerdctlBuildFlag::Path::kWhole, "1.7",
                     "Name of the Dockerfile"},
    NerdctlBuildFlag{"iidfile", '\0', NerdctlBuildFlag::Kind::kText,
                     NerdctlBuildFlag::Path::kWhole, "1.7",
                     "Write the image ID to the file"},
    NerdctlBuildFlag{"label", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Set metadata for an image (KEY=VALUE)"},
    NerdctlBuildFlag{"network", '\0', NerdctlBuildFlag::Kind::kText,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Network of RUN steps (default, none, host)"},
    NerdctlBuildFlag{"no-cache", '\0', NerdctlBuildFlag::Kind::kSwitch,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Do not use the cache"},
    NerdctlBuildFlag{"output", 'o', NerdctlBuildFlag::Kind::kText,
                     NerdctlBuildFlag::Path::kAttributes, "1.7",
                     "Output destination (type=local,dest=DIR)"},
    NerdctlBuildFlag{"platform", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Set target platform (linux/amd64, linux/arm64)"},
    NerdctlBuildFlag{"progress", '\0', NerdctlBuildFlag::Kind::kText,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Type of progress output (auto, plain, tty, rawjson)"},
    NerdctlBuildFlag{"provenance", '\0', NerdctlBuildFlag::Kind::kText,
                     NerdctlBuildFlag::Path::kNone, "2.0",
                     "Shorthand for --attest=type=provenance"},
    NerdctlBuildFlag{"pull", '\0', NerdctlBuildFlag::Kind::kSwitch,
                     NerdctlBuildFlag::Path::kNone, "2.0",
                     "Always try to pull newer base images"},
    NerdctlBuildFlag{"quiet", 'q', NerdctlBuildFlag::Kind::kSwitch,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Print the image ID only"},
    NerdctlBuildFlag{"rm", '\0', NerdctlBuildFlag::Kind::kSwitch,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Remove intermediate containers (always done)"},
    NerdctlBuildFlag{"sbom", '\0', NerdctlBuildFlag::Kind::kText,
                     NerdctlBuildFlag::Path::kNone, "2.0",
                     "Shorthand for --attest=type=sbom"},
    NerdctlBuildFlag{"secret", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kAttributes, "1.7",
                     "Secret file to expose to the build (id=ID,src=FILE)"},
    NerdctlBuildFlag{"ssh", '\0', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kNamed, "1.7",
                     "SSH agent socket or keys to expose "
                     "(default|ID[=SOCKET|KEY[,KEY]])"},
    NerdctlBuildFlag{"tag", 't', NerdctlBuildFlag::Kind::kList,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Name and optionally a tag (NAME:TAG)"},
    NerdctlBuildFlag{"target", '\0', NerdctlBuildFlag::Kind::kText,
                     NerdctlBuildFlag::Path::kNone, "1.7",
                     "Set the target build stage"},
};

// The flag of that name (with dashes between words, none in front), or null.
constexpr const NerdctlBuildFlag* FindNerdctlBuildFlag(std::string_view name) {
  const auto* flag = std::find_if(
      kNerdctlBuildFlags.begin(), kNerdctlBuildFlags.end(),
      [name](const NerdctlBuildFlag& known) { return known.name == name; });
  return flag == kNerdctlBuildFlags.end() ? nullptr : flag;
}

}  // namespace containerbuilder

#endif  // CONTAINERBUILDER_NERDCTL_BUILD_FLAGS_H_
