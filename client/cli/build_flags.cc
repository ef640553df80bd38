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

}  // namespace

absl::StatusOr<std::string> ContextOf(const CommandLine& line) {
  const std::vector<std::string>& arguments = line.arguments;
  if (arguments.empty()) return UsageError("context needs to be specified");
  if (arguments.size() > 1) {
    return UsageError("exactly one context needs to be specified, not ",
                      arguments.size(), ": \"",
                      absl::StrJoin(arguments, "\", \""), "\"");
  }
  const std::string& context = arguments.front();
  if (context.empty()) return UsageError("unsupported build context: \"\"");
  if (context.find("://") != std::string::npos) {
    return UsageError("unsupported build context: ", Quoted(context),
                      ": a context cannot be a URL; name a folder");
  }
  return context;
}

void AddFlag(const Flag& flag, const std::string& value,
             v1::BuildOptions& options) {
  v1::OptionValue& option = *MutableValue(flag.name, options);
  if (flag.kind == Kind::kSwitch) {
    option.set_flag(value == "true");
    return;
  }
  v1::ValueList& values = *option.mutable_values();
  if (flag.kind == Kind::kText) values.clear_values();
  values.add_values(value);
}

std::optional<std::string> ResolveBuildArg(const std::string& build_arg,
                                           const Surroundings& surroundings) {
  if (build_arg.empty() || build_arg.find('=') != std::string::npos) {
    return build_arg;
  }
  const auto value = surroundings.environment(build_arg);
  if (!value) return std::nullopt;
  return absl::StrCat(build_arg, "=", *value);
}

absl::StatusOr<v1::BuildOptions> MakeBuildOptions(
    const CommandLine& line, const Surroundings& surroundings) {
  const auto context = ContextOf(line);
  if (!context.ok()) return context.status();
  if (*context == "-") {
    return UsageError(
        "unsupported build context: \"-\": what comes from standard input is "
        "uploaded, and has no path on the service's machine");
  }

  v1::BuildOptions options;
  options.set_context_path(MakeAbsolute(surroundings.folder, *context));
  bool file_is_stdin = false;
  for (const auto& [flag, given] : line.flags) {
    if (FindNerdctlBuildFlag(flag.name) == nullptr) continue;
    if (flag.name == "file") file_is_stdin = given == "-";
    std::optional<std::string> value =
        MakePathsAbsolute(flag, surroundings.folder, given);
    if (flag.name == "build-arg") value = ResolveBuildArg(given, surroundings);
    if (value) AddFlag(flag, *value, options);
  }
  if (file_is_stdin) {
    return UsageError(
        "unsupported Dockerfile: \"-\": what comes from standard input has no "
        "path on the service's machine");
  }
  return options;
}

}  // namespace containerbuilder::cli
