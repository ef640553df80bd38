#include "build/policy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "build/command_line.h"
#include "build/secrets.h"
#include "containerbuilder/nerdctl_build_flags.h"

namespace containerbuilder::service {

// The rules that a request breaks, as many as are asked for: a request can
// break millions.
class Violations {
 public:
  explicit Violations(std::size_t most) : most_(most) {}

  void Add(absl::Status status) {
    if (!status.ok() && !full()) all_.push_back(std::move(status));
  }
  // Nothing more is asked for.
  bool full() const { return all_.size() == most_; }
  const std::vector<absl::Status>& all() const { return all_; }

 private:
  const std::size_t most_;
  std::vector<absl::Status> all_;
};

namespace {

// BuildOptions' own fields, which `options` must not name again.
constexpr absl::string_view kNamedOptions[] = {
    "context-path", "build-arg", "cache-from", "cache-to",
    "label",        "output",    "secret"};

// What an untrusted caller may use. Everything else of `nerdctl build` reads
// or writes the server's files, environment or network.
constexpr absl::string_view kUntrustedOptions[] = {
    "build-arg", "file", "label", "network", "no-cache", "platform",
    "progress",  "pull", "quiet", "tag",     "target"};

// Whether `path` is `folder` or beneath it by its text, and is above it at no
// point on the way: `folder/../folder` is not.
bool IsBeneath(absl::string_view path, absl::string_view folder) {
  const std::vector<absl::string_view> above =
      absl::StrSplit(folder, '/', absl::SkipEmpty());
  std::size_t matched = 0;
  int depth = 0;
  for (const absl::string_view part :
       absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    if (matched < above.size()) {
      if (part != above[matched++]) return false;
    } else {
      depth += part == ".." ? -1 : 1;
      if (depth < 0) return false;
    }
  }
  return matched == above.size();
}

// With no links left; nothing where it does not exist.
std::optional<std::string> ResolveLinks(const std::string& path) {
  // The kernel takes no longer paths; realpath would, at length.
  if (path.size() >= PATH_MAX || absl::StrContains(path, '\0')) {
    return std::nullopt;
  }
  const std::unique_ptr<char, decltype(&std::free)> resolved(
      realpath(path.c_str(), nullptr), &std::free);
  if (resolved == nullptr) return std::nullopt;
  return resolved.get();
}

bool IsOptionName(absl::string_view name) {
  return !name.empty() && absl::ascii_islower(name[0]) &&
         absl::c_all_of(name, [](const char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) ||
                  c == '_' || c == '-';
         });
}

// Whether the flag takes a value; nothing where nerdctl build has no such
// flag. The installed nerdctl knows best, and may know more than we do.
std::optional<bool> TakesValue(absl::string_view flag,
                               const NerdctlInfo* nerdctl) {
  // `nerdctl build --help` succeeds and builds nothing.
  if (flag == "help") return std::nullopt;
  if (nerdctl != nullptr) {
    const auto installed = nerdctl->flags.find(flag);
    if (installed != nerdctl->flags.end()) return installed->second;
  }
  const NerdctlBuildFlag* known =
      FindNerdctlBuildFlag(std::string_view(flag.data(), flag.size()));
  if (known == nullptr) return std::nullopt;
  return known->kind != NerdctlBuildFlag::Kind::kSwitch;
}

// The rule that an option's name breaks.
absl::Status CheckName(absl::string_view name, absl::string_view options_field,
                       absl::string_view field, const NerdctlInfo* nerdctl) {
  if (!IsOptionName(name)) {
    return errors::OptionInvalid(
        field,
        "an option's name has the form [a-z][a-z0-9_-]*; send the long name "
        "of a flag of nerdctl build without its dashes, such as no_cache");
  }
  const std::string flag = absl::StrReplaceAll(name, {{"_", "-"}});
  if (absl::c_linear_search(kNamedOptions, flag)) {
    return errors::OptionInvalid(
        field, absl::StrCat("\"", name, "\" has a field of its own; use ",
                            options_field, ".",
                            absl::StrReplaceAll(flag, {{"-", "_"}})));
  }
  if (!TakesValue(flag, nerdctl)) {
    const auto known = absl::StrJoin(
        kNerdctlBuildFlags, ", ",
        [](std::string* list, const NerdctlBuildFlag& known_flag) {
          list->append(known_flag.name);
        });
    return errors::OptionUnknown(
        field, absl::StrCat("nerdctl build has no flag --", Shortened(flag),
                            "; it knows ", known));
  }
  return absl::OkStatus();
}

// What no program can be given.
absl::Status CheckArgument(absl::string_view argument,
                           absl::string_view field) {
  if (absl::StrContains(argument, '\0')) {
    return errors::OptionInvalid(
        field, "an argument of a program cannot hold a NUL byte; leave it out");
  }
  if (argument.size() > limits::kMaxArgumentBytes) {
    return errors::OptionInvalid(
        field, absl::StrCat("the system takes arguments of at most ",
                            limits::kMaxArgumentBytes, " bytes; this one has ",
                            argument.size()));
  }
  return absl::OkStatus();
}

// The rules for everyone that a flag breaks.
absl::Status CheckFlag(const WrittenFlag& flag, bool takes_value) {
  if (takes_value && flag.bare) {
    return errors::OptionInvalid(
        flag.field, absl::StrCat("--", flag.name,
                                 " needs a value, or it swallows the argument "
                                 "after it; send values, not flag"));
  }
  if (!takes_value && !flag.bare) {
    return errors::OptionInvalid(
        flag.field, absl::StrCat("--", flag.name,
                                 " takes no value, and nerdctl would take this "
                                 "one for the context; send flag"));
  }
  for (const std::string& value : flag.values) {
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckArgument(value, flag.field));
    if (flag.name == "tag" && value.empty()) {
      return errors::OptionInvalid(
          flag.field,
          "a tag must not be empty; leave the option out to build "
          "an image with no name");
    }
  }
  return absl::OkStatus();
}

// What execve takes of arguments and environment together, as it counts:
// strings with their NUL, and a pointer to each.
std::size_t ArgumentSpace() {
  // Linux grants a quarter of the stack's limit and never more than this.
  constexpr std::size_t kMost = 6 * 1024 * 1024;
  // For what the service adds: nerdctl's path, its own environment, and what
  // the kernel puts there.
  constexpr std::size_t kReserve = 64 * 1024;
  const std::int64_t granted = sysconf(_SC_ARG_MAX);
  return (granted < 0 ? kMost
                      : std::min(kMost, static_cast<std::size_t>(granted))) -
         kReserve;
}

std::size_t SpaceOf(absl::string_view text) {
  return text.size() + 1 + sizeof(char*);
}

absl::Status CheckSpace(absl::Span<const WrittenFlag> flags,
                        absl::string_view context,
                        absl::Span<const std::string> environment,
                        absl::string_view options_field) {
  const std::size_t granted = ArgumentSpace();
  std::size_t total = SpaceOf(context);
  std::size_t biggest = total;
  std::string biggest_field = absl::StrCat(options_field, ".context_path");
  for (const std::string& variable : environment) total += SpaceOf(variable);
  for (const WrittenFlag& flag : flags) {
    const std::size_t name = SpaceOf(flag.name) + 2;
    std::size_t size = flag.bare ? name : 0;
    for (const std::string& value : flag.values) size += name + SpaceOf(value);
    total += size;
    if (size > biggest) {
      biggest = size;
      biggest_field = flag.field;
    }
  }
  if (total <= granted) return absl::OkStatus();
  return errors::OptionInvalid(
      biggest_field,
      absl::StrCat("all arguments together need ", total,
                   " bytes, and the system grants ", granted,
                   "; this field needs most of them, ", biggest));
}

// Every message of a path that an untrusted caller may not name: it must not
// tell whether there is something.
absl::Status PathRefused(absl::string_view field, absl::string_view what) {
  return errors::PathNotAllowed(
      field,
      absl::StrCat(what,
                   " is missing, or outside the folders that the operator "
                   "opens to untrusted callers with --read_roots"),
      "--read_roots");
}

// 0 where `duration` is no valid one, and a violation then.
absl::Duration ReadDuration(const google::protobuf::Duration& duration,
                            absl::string_view field, Violations& violations) {
  const int64_t max_seconds = absl::ToInt64Seconds(limits::kMaxPolicyDuration);
  const int64_t seconds = duration.seconds();
  const int32_t nanos = duration.nanos();
  if (seconds < 0 || seconds > max_seconds || nanos < 0 ||
      nanos > 999'999'999 || (seconds == max_seconds && nanos > 0)) {
    violations.Add(errors::OptionInvalid(
        field,
        "a duration is from 0, which means the default, to 7 days "
        "(604800s)"));
    return absl::ZeroDuration();
  }
  return absl::Seconds(seconds) + absl::Nanoseconds(nanos);
}

void SetDuration(google::protobuf::Duration& field, absl::Duration duration) {
  field.set_seconds(absl::ToInt64Seconds(duration));
}

void CheckUnimplemented(const v1::BuildSpec& spec, Violations& violations) {
  const auto check = [&](bool is_set, absl::string_view field,
                         absl::string_view description) {
    if (!is_set) return;
    violations.Add(errors::FieldUnimplemented(field, description));
  };
  check(!spec.context_digest().empty(), "spec.context_digest",
        "this version takes no uploaded contexts; name a folder of the server "
        "in spec.options.context_path");
  check(!spec.dockerfile().empty(), "spec.dockerfile",
        "this version takes no Dockerfile by value; name one with the option "
        "\"file\"");
}

// The rules about policy that are no durations.
void CheckPolicy(const v1::BuildPolicy& policy, const Caller& caller,
                 bool allow_secrets_in_output, Violations& violations) {
  if (policy.keep_secrets_in_output() && !allow_secrets_in_output) {
    violations.Add(errors::OptionNotAllowed(
        "policy.keep_secrets_in_output",
        "the operator lets no build show its secrets; leave it out, or have "
        "--allow_secrets_in_output set",
        "--allow_secrets_in_output"));
  }
  if (policy.priority() > 0 && !caller.admin) {
    violations.Add(errors::OptionNotAllowed(
        "policy.priority", "only admins may go before others; send 0 or less",
        ""));
  }
  if (!v1::DisconnectPolicy_IsValid(policy.disconnect_policy())) {
    violations.Add(errors::OptionInvalid(
        "policy.disconnect_policy",
        "there is no such policy; it is CANCEL, DETACH or LINGER, or left out "
        "for the default"));
  }
}

bool IsHex(absl::string_view text) {
  return absl::c_all_of(text, [](const char c) {
    return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
  });
}

// https://www.w3.org/TR/trace-context/#traceparent-header
bool IsTraceParent(absl::string_view value) {
  const std::vector<absl::string_view> parts = absl::StrSplit(value, '-');
  const auto is_zero = [](absl::string_view id) {
    return absl::c_all_of(id, [](const char c) { return c == '0'; });
  };
  return parts.size() == 4 && absl::c_all_of(parts, IsHex) &&
         parts[0].size() == 2 && parts[0] != "ff" && parts[1].size() == 32 &&
         !is_zero(parts[1]) && parts[2].size() == 16 && !is_zero(parts[2]) &&
         parts[3].size() == 2;
}

absl::Status CheckVariable(absl::string_view name, absl::string_view value) {
  const std::string field =
      absl::StrCat("spec.environment[", Shortened(name), "]");
  if (value.size() + name.size() + 1 > limits::kMaxArgumentBytes) {
    return errors::OptionInvalid(
        field, absl::StrCat("the system takes variables of at most ",
                            limits::kMaxArgumentBytes, " bytes with name"));
  }
  if (name == "SOURCE_DATE_EPOCH") {
    int64_t ignored;
    if (absl::c_all_of(value, absl::ascii_isdigit) &&
        absl::SimpleAtoi(value, &ignored)) {
      return absl::OkStatus();
    }
    return errors::OptionInvalid(
        field, "SOURCE_DATE_EPOCH is a count of seconds in decimal digits");
  }
  if (name == "TRACEPARENT") {
    if (IsTraceParent(value)) return absl::OkStatus();
    return errors::OptionInvalid(
        field,
        "TRACEPARENT has the form of W3C Trace Context, "
        "00-<32 hex digits>-<16 hex digits>-<2 hex digits>");
  }
  if (name == "TRACESTATE") {
    if (absl::c_all_of(value, absl::ascii_isprint)) return absl::OkStatus();
    return errors::OptionInvalid(field, "TRACESTATE is printable ASCII");
  }
  return errors::OptionNotAllowed(
      field,
      "a build may set SOURCE_DATE_EPOCH, TRACEPARENT and TRACESTATE; the rest "
      "of nerdctl's environment is the operator's",
      "");
}

// `NAME=VALUE` for each, sorted.
std::vector<std::string> ReadEnvironment(const v1::BuildSpec& spec,
                                         Violations& violations) {
  const std::map<std::string, std::string> sorted(spec.environment().begin(),
                                                  spec.environment().end());
  std::vector<std::string> environment;
  for (const auto& [name, value] : sorted) {
    violations.Add(CheckVariable(name, value));
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

}  // namespace

Policy::Policy(const PolicyOptions& options, Host host)
    : allow_secrets_in_output_(options.allow_secrets_in_output),
      host_(std::move(host)) {
  for (const auto* list : {&options.read_roots, &options.write_roots}) {
    for (const std::string& root : *list) {
      if (!absl::StartsWith(root, "/")) continue;
      std::optional<std::string> resolved = ResolveLinks(root);
      if (!resolved) continue;
      roots_.push_back({AbsolutePath(root, "/"), *std::move(resolved)});
    }
  }
}

absl::StatusOr<AdmittedSpec> Policy::Admit(
    const v1::BuildSpec& spec, const v1::BuildPolicy& policy,
    const Caller& caller, const NerdctlInfo& nerdctl,
    absl::string_view secret_folder) const {
  constexpr absl::string_view kOptionsField = "spec.options";
  Violations violations(1);
  CheckUnimplemented(spec, violations);
  CheckPolicy(policy, caller, allow_secrets_in_output_, violations);
  violations.Add(CheckSecrets(spec));
  AdmittedSpec admitted;
  admitted.environment_ = ReadEnvironment(spec, violations);
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      std::vector<WrittenFlag> flags,
      WriteFlags(spec.options(), PathRulesFor(caller), kOptionsField));
  CheckOptions(spec.options(), flags, admitted.environment_, kOptionsField,
               caller, &nerdctl, violations);
  admitted.timeout_ =
      ReadDuration(policy.timeout(), "policy.timeout", violations);
  admitted.grace_period_ =
      ReadDuration(policy.grace_period(), "policy.grace_period", violations);
  admitted.queue_ttl_ =
      ReadDuration(policy.queue_ttl(), "policy.queue_ttl", violations);
  admitted.linger_ = ReadDuration(policy.linger(), "policy.linger", violations);
  if (violations.full()) return violations.all().front();

  admitted.spec_ = spec;
  admitted.policy_ = policy;
  if (admitted.timeout_ == absl::ZeroDuration()) {
    admitted.timeout_ = absl::InfiniteDuration();
  }
  if (admitted.queue_ttl_ == absl::ZeroDuration()) {
    admitted.queue_ttl_ = absl::InfiniteDuration();
  }
  if (admitted.grace_period_ == absl::ZeroDuration()) {
    admitted.grace_period_ = limits::kDefaultGracePeriod;
    SetDuration(*admitted.policy_.mutable_grace_period(),
                admitted.grace_period_);
  }
  if (admitted.linger_ == absl::ZeroDuration() &&
      policy.disconnect_policy() == v1::DISCONNECT_POLICY_LINGER) {
    admitted.linger_ = limits::kDefaultLinger;
    SetDuration(*admitted.policy_.mutable_linger(), admitted.linger_);
  }
  AddSecretFiles(spec, secret_folder, flags);
  admitted.args_ = Arguments(flags, spec.options());
  for (std::string& variable : SecretEnvironment(spec, secret_folder)) {
    admitted.environment_.push_back(std::move(variable));
  }
  admitted.working_folder_ = ContextFolder(spec.options().context_path());
  admitted.nerdctl_ = nerdctl;
  return admitted;
}

PathRules Policy::PathRulesFor(const Caller& caller) const {
  const std::string& folder = host_.working_folder;
  if (caller.trusted) {
    return {folder, [folder](const std::string& path) {
              return PathExists(path, folder);
            }};
  }
  return {folder, [this](const std::string& path) {
            return !path.empty() &&
                   IsUnderRoots(JoinPath(host_.working_folder, path));
          }};
}

std::vector<std::string> Policy::Warnings(const v1::BuildOptions& options,
                                          const Caller& caller,
                                          const NerdctlInfo* nerdctl) const {
  constexpr absl::string_view kOptionsField = "options";
  constexpr std::size_t kMostWarnings = 100;
  Violations violations(kMostWarnings);
  const absl::StatusOr<std::vector<WrittenFlag>> flags =
      WriteFlags(options, PathRulesFor(caller), kOptionsField);
  if (flags.ok()) {
    CheckOptions(options, *flags, {}, kOptionsField, caller, nerdctl,
                 violations);
  } else {
    violations.Add(flags.status());
  }
  std::vector<std::string> warnings;
  for (const absl::Status& violation : violations.all()) {
    warnings.push_back(
        absl::StrCat("Build would refuse ", violation.message(), "."));
  }
  if (!flags.ok()) return warnings;

  std::map<absl::string_view, std::size_t> counts;
  for (const WrittenFlag& flag : *flags) {
    counts[flag.name] += flag.values.size();
  }
  for (const auto& [name, count] : counts) {
    const NerdctlBuildFlag* flag =
        FindNerdctlBuildFlag(std::string_view(name.data(), name.size()));
    if (count < 2 || flag == nullptr || name == "output" ||
        flag->kind != NerdctlBuildFlag::Kind::kText) {
      continue;
    }
    warnings.push_back(absl::StrCat("nerdctl takes one --", name,
                                    " and uses only the last of these ", count,
                                    "."));
  }
  return warnings;
}

void Policy::CheckOptions(const v1::BuildOptions& options,
                          absl::Span<const WrittenFlag> flags,
                          absl::Span<const std::string> environment,
                          absl::string_view field, const Caller& caller,
                          const NerdctlInfo* nerdctl,
                          Violations& violations) const {
  for (int i = 0; i < options.options_size(); ++i) {
    if (violations.full()) return;
    violations.Add(CheckName(options.options(i).name(), field,
                             absl::StrCat(field, ".options[", i, "].name"),
                             nerdctl));
  }

  const std::string context = ContextFolder(options.context_path());
  std::size_t outputs = 0;
  for (const WrittenFlag& flag : flags) {
    if (violations.full()) return;
    const std::optional<bool> takes_value = TakesValue(flag.name, nerdctl);
    if (!takes_value) continue;  // its name was refused above
    if (!caller.trusted &&
        !absl::c_linear_search(kUntrustedOptions, flag.name)) {
      violations.Add(errors::OptionNotAllowed(
          flag.field,
          absl::StrCat("untrusted callers may not use --", flag.name,
                       "; they may use ",
                       absl::StrJoin(kUntrustedOptions, ", ")),
          ""));
      continue;
    }
    if (nerdctl != nullptr && !nerdctl->flags.empty() &&
        !nerdctl->flags.contains(flag.name)) {
      violations.Add(
          errors::OptionUnsupported(flag.field, flag.name, nerdctl->version));
    }
    violations.Add(CheckFlag(flag, *takes_value));
    if (flag.name == "output" && (outputs += flag.values.size()) > 1) {
      violations.Add(
          errors::OptionInvalid(flag.field,
                                "nerdctl takes one output and would use the "
                                "last one; send one"));
    }
    if (!caller.trusted) violations.Add(CheckUntrustedValues(flag, context));
  }
  const std::string context_field = absl::StrCat(field, ".context_path");
  violations.Add(CheckContext(options.context_path(), context_field, caller));
  violations.Add(CheckSpace(flags, options.context_path(), environment, field));
}

absl::Status Policy::CheckContext(const std::string& path,
                                  absl::string_view field,
                                  const Caller& caller) const {
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckArgument(path, field));
  if (absl::StartsWith(path, "-")) {
    return errors::OptionInvalid(
        field,
        "nerdctl would take a context that begins with \"-\" for a flag; send "
        "an absolute path");
  }
  if (absl::StrContains(path, "://")) {
    return errors::OptionInvalid(
        field,
        "nerdctl takes no URL as a context; fetch it first and name the "
        "folder");
  }
  if (!path.empty() && path != "." && !absl::StartsWith(path, "/")) {
    return errors::ContextRelative(field, Shortened(path));
  }
  const std::string folder = ContextFolder(path);
  if (!caller.trusted && !IsUnderRoots(folder)) {
    return PathRefused(field, "the context");
  }
  struct stat info;
  if (stat(folder.c_str(), &info) != 0) {
    return errors::ContextNotFound(field, Shortened(path));
  }
  if (!S_ISDIR(info.st_mode)) {
    return errors::ContextNotADirectory(field, Shortened(path));
  }
  return absl::OkStatus();
}

absl::Status Policy::CheckUntrustedValues(const WrittenFlag& flag,
                                          const std::string& context) const {
  const auto refused = [&](absl::string_view rule) {
    return errors::OptionNotAllowed(flag.field, rule, "");
  };
  for (const std::string& value : flag.values) {
    const std::size_t equals = value.find('=');
    if (flag.name == "build-arg" &&
        (equals == std::string::npos || equals == 0)) {
      return refused(
          "a build_arg without a value reads the service's environment, which "
          "untrusted callers may not; send KEY=VALUE");
    }
    if (flag.name == "progress" && value != "plain" && value != "rawjson") {
      return refused("untrusted callers may use progress plain or rawjson");
    }
    if (flag.name == "network" && value != "default" && value != "none") {
      return refused("untrusted callers may use network default or none");
    }
    if (flag.name == "file") {
      // nerdctl looks from the context, where it runs, and gives BuildKit all
      // of the folder that the file's name leads to.
      const std::string file = JoinPath(context, value);
      const std::string folder = file.substr(0, file.rfind('/') + 1);
      if (!IsUnderRoots(file) || !IsUnderRoots(folder)) {
        return PathRefused(flag.field, "the file");
      }
    }
  }
  return absl::OkStatus();
}

std::string Policy::ContextFolder(const std::string& path) const {
  if (path.empty() || path == ".") return host_.working_folder;
  return JoinPath(host_.working_folder, path);
}

bool Policy::IsUnderRoots(const std::string& path) const {
  // By its text first: resolving what is outside would tell what is there.
  const bool named = absl::c_any_of(roots_, [&](const Root& root) {
    return IsBeneath(path, root.name) || IsBeneath(path, root.resolved);
  });
  if (!named) return false;
  const auto is_inside = [&](const std::string& spelling) {
    const std::optional<std::string> resolved = ResolveLinks(spelling);
    return resolved && absl::c_any_of(roots_, [&](const Root& root) {
             return IsBeneath(*resolved, root.resolved);
           });
  };
  // nerdctl drops `..` by text, the kernel after links.
  return is_inside(path) && is_inside(AbsolutePath(path, "/"));
}

}  // namespace containerbuilder::service
