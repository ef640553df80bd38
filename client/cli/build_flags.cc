#include "build_flags.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "local_paths.h"

namespace containerbuilder::cli {
namespace {

using Kind = NerdctlBuildFlag::Kind;

// Errors are worded as pflag and nerdctl word them.
template <typename... Parts>
absl::Status UsageError(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", text, "\"");
}

absl::Status CheckContext(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return UsageError("context needs to be specified");
  if (arguments.size() > 1) {
    return UsageError("exactly one context needs to be specified, not ",
                      arguments.size(), ": \"",
                      absl::StrJoin(arguments, "\", \""), "\"");
  }
  const std::string& context = arguments.front();
  if (context.empty()) return UsageError("unsupported build context: \"\"");
  if (context == "-") {
    return UsageError(
        "unsupported build context: \"-\": a context cannot be "
        "read from standard input; name a folder");
  }
  if (context.find("://") != std::string::npos) {
    return UsageError("unsupported build context: ", Quoted(context),
                      ": a context cannot be a URL; name a folder");
  }
  return absl::OkStatus();
}

// Where the value of that flag goes; made where it is not there yet.
v1::OptionValue* MutableValue(std::string_view name,
                              v1::BuildOptions& options) {
  if (name == "build-arg") return options.mutable_build_arg();
  if (name == "cache-from") return options.mutable_cache_from();
  if (name == "cache-to") return options.mutable_cache_to();
  if (name == "label") return options.mutable_label();
  if (name == "output") return options.mutable_output();
  if (name == "secret") return options.mutable_secret();
  for (v1::Option& option : *options.mutable_options()) {
    if (option.name() == name) return option.mutable_value();
  }
  v1::Option* option = options.add_options();
  option->set_name(std::string(name));
  return option->mutable_value();
}

// nerdctl gives `--build-arg NAME` the value from its own environment and
// drops it where there is none.
std::optional<std::string> ResolveBuildArg(const std::string& build_arg,
                                           const Surroundings& surroundings) {
  if (build_arg.empty() || build_arg.find('=') != std::string::npos) {
    return build_arg;
  }
  const auto value = surroundings.environment(build_arg);
  if (!value) return std::nullopt;
  return absl::StrCat(build_arg, "=", *value);
}

}  // namespace

absl::StatusOr<CommandLine> SplitBuildCommandLine(
    std::span<const std::string> arguments, std::span<const Flag> own) {
  std::vector<Flag> known(kNerdctlBuildFlags.begin(), kNerdctlBuildFlags.end());
  known.insert(known.end(), own.begin(), own.end());
  return SplitCommandLine(arguments, known);
}

absl::StatusOr<v1::BuildOptions> MakeBuildOptions(
    const CommandLine& line, const Surroundings& surroundings) {
  absl::Status status = CheckContext(line.arguments);
  if (!status.ok()) return status;

  v1::BuildOptions options;
  options.set_context_path(
      MakeAbsolute(surroundings.folder, line.arguments.front()));
  bool file_is_stdin = false;
  for (const auto& [flag, given] : line.flags) {
    if (FindNerdctlBuildFlag(flag.name) == nullptr) continue;
    if (flag.kind == Kind::kSwitch) {
      MutableValue(flag.name, options)->set_flag(given == "true");
      continue;
    }
    if (flag.name == "file") file_is_stdin = given == "-";
    std::optional<std::string> value =
        MakePathsAbsolute(flag, surroundings.folder, given);
    if (flag.name == "build-arg") value = ResolveBuildArg(given, surroundings);
    if (!value) continue;
    v1::ValueList& values = *MutableValue(flag.name, options)->mutable_values();
    if (flag.kind == Kind::kText) values.clear_values();
    values.add_values(*std::move(value));
  }
  if (file_is_stdin) {
    return UsageError(
        "unsupported Dockerfile: \"-\": a Dockerfile cannot be "
        "read from standard input; name a file");
  }
  return options;
}

}  // namespace containerbuilder::cli
