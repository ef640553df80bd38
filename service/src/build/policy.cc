#include "build/policy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "base/utf8.h"
#include "build/artifact_rules.h"
#include "build/command_line.h"
#include "build/environment_rules.h"
#include "build/option_rules.h"
#include "build/secrets.h"
#include "build/tree_copy.h"
#include "containerbuilder/nerdctl_build_flags.h"

namespace containerbuilder::service {
namespace {

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

// WriteFlags where the system takes so much. Looked at first: to resolve and
// check a million values takes minutes.
absl::StatusOr<std::vector<WrittenFlag>> WriteBounded(
    const v1::BuildOptions& options, const PathRules& rules,
    absl::Span<const std::string> environment, absl::string_view field) {
  const PathRules as_sent = {rules.working_folder,
                             [](const std::string&) { return false; }};
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::vector<WrittenFlag> flags,
                                    WriteFlags(options, as_sent, field));
  CONTAINERBUILDER_RETURN_IF_ERROR(
      CheckSpace(flags, options.context_path(), environment, field));
  return WriteFlags(options, rules, field);
}

// Where in the staging folder a Dockerfile by value is.
constexpr absl::string_view kStagedDockerfile = "dockerfile/Dockerfile";

// The rules about what is by value.
void CheckTexts(const v1::BuildSpec& spec, absl::Span<const WrittenFlag> flags,
                Violations& violations) {
  if (!spec.context_digest().empty() && !Digest::Parse(spec.context_digest())) {
    violations.Add(errors::OptionInvalid(
        "spec.context_digest",
        "a digest is written sha256: and 64 hex digits in lower case"));
  }
  const auto check_size = [&](const std::string& text,
                              absl::string_view field) {
    if (text.size() <= limits::kMaxDockerfileBytes) return;
    violations.Add(errors::TooLarge(
        field,
        absl::StrCat("it has at most ", limits::kMaxDockerfileBytes, " bytes"),
        ""));
  };
  check_size(spec.dockerfile(), "spec.dockerfile");
  check_size(spec.dockerignore(), "spec.dockerignore");
  if (spec.dockerfile().empty()) {
    if (spec.has_dockerignore()) {
      violations.Add(errors::OptionInvalid(
          "spec.dockerignore",
          "it goes with a Dockerfile by value; send spec.dockerfile as well, "
          "or have a .dockerignore in the context"));
    }
    return;
  }
  for (const WrittenFlag& flag : flags) {
    if (flag.name != "file") continue;
    violations.Add(errors::OptionInvalid(
        flag.field,
        "the Dockerfile is there by value; leave out this or "
        "spec.dockerfile"));
  }
}

// Secrets can be hidden where a log has text alone.
void CheckProgress(const v1::BuildSpec& spec, const v1::BuildPolicy& policy,
                   absl::Span<const WrittenFlag> flags,
                   Violations& violations) {
  if (spec.secrets().empty() || policy.keep_secrets_in_output()) return;
  for (const WrittenFlag& flag : flags) {
    if (flag.name != "progress" ||
        !absl::c_linear_search(flag.values, "rawjson")) {
      continue;
    }
    violations.Add(errors::OptionInvalid(
        flag.field,
        "rawjson has each write of a step in base64 of its own, where a secret "
        "that is printed in parts cannot be found and hidden; with "
        "spec.secrets use plain"));
  }
}

// Has what is by value staged and used, as if `file` named it.
void AddTexts(const v1::BuildSpec& spec, const StagingPlace& staging,
              std::vector<WrittenFlag>& flags, StagingPlan& plan) {
  if (spec.dockerfile().empty()) return;
  const auto add = [&](absl::string_view field, std::string name,
                       const std::string& text) {
    plan.inputs.push_back({.kind = StagedInput::Kind::kText,
                           .field = std::string(field),
                           .name = std::move(name),
                           .text = text});
  };
  add("spec.dockerfile", std::string(kStagedDockerfile), spec.dockerfile());
  if (spec.has_dockerignore()) {
    // BuildKit might take one with nothing in it for none.
    add("spec.dockerignore", absl::StrCat(kStagedDockerfile, ".dockerignore"),
        spec.dockerignore().empty() ? "#\n" : spec.dockerignore());
  }
  flags.push_back({"file",
                   "spec.dockerfile",
                   false,
                   {absl::StrCat(staging.folder, "/", kStagedDockerfile)}});
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
  if (policy.priority() > 0 && !caller.is_admin()) {
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

// Whether a link says by names alone where it leads. buildctl drops `..` by
// text, looks for links one after the other, and has patterns in them.
bool IsPlainLink(absl::string_view target) {
  return !absl::StartsWith(target, "/") &&
         target.find_first_of("*?[\\") == absl::string_view::npos &&
         !absl::c_linear_search(absl::StrSplit(target, '/'), "..");
}

// Opens the Dockerfile `name` of the folder that nerdctl gives to BuildKit.
// NOT_FOUND; FAILED_PRECONDITION where it is a link that BuildKit might follow
// to another file than the kernel does.
absl::StatusOr<UniqueFd> OpenDockerfile(int folder, const std::string& name) {
  constexpr int kFlags = O_RDONLY | O_NONBLOCK;
  absl::StatusOr<UniqueFd> file = OpenWithoutLinks(folder, name, kFlags);
  if (file.ok() || absl::IsNotFound(file.status())) return file;
  std::string target(PATH_MAX, '\0');
  const ssize_t size =
      readlinkat(folder, name.c_str(), target.data(), target.size());
  if (size < 0) return file.status();  // it is no link
  target.resize(static_cast<std::size_t>(size));
  if (IsPlainLink(target)) {
    file = OpenWithoutLinks(folder, target, kFlags);
    if (file.ok()) return file;
  }
  return absl::FailedPreconditionError(name);
}

// The text of the Dockerfile `path` in `folder`; nothing where there is none.
// Links to its own folder are followed as buildctl does, which is the kernel's
// way.
absl::StatusOr<std::optional<std::string>> ReadDockerfile(
    const std::string& folder, const std::string& path) {
  const UniqueFd root(
      open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root.valid()) return absl::ErrnoToStatus(errno, folder);
  const std::size_t slash = path.rfind('/');
  const bool is_deep = slash != std::string::npos;
  const std::string name = is_deep ? path.substr(slash + 1) : path;
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const UniqueFd around,
      OpenBeneath(root.get(), is_deep ? path.substr(0, slash) : ".",
                  O_RDONLY | O_DIRECTORY));
  const absl::StatusOr<UniqueFd> file = OpenDockerfile(around.get(), name);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  CONTAINERBUILDER_RETURN_IF_ERROR(file.status());
  struct stat info;
  if (fstat(file->get(), &info) != 0) return absl::ErrnoToStatus(errno, name);
  // A folder of that name is none to BuildKit either.
  if (!S_ISREG(info.st_mode)) return std::nullopt;
  if (info.st_size > limits::kMaxDockerfileBytes) {
    return absl::OutOfRangeError(name);
  }
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got =
        read(file->get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, name);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

// The rule that a staged cache breaks. buildctl reads its files by name, and
// what it cannot read it prints.
absl::Status CheckNoLinks(const std::string& folder, absl::string_view field) {
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(error)) {
    const bool is_link = entry->is_symlink(error);
    if (error) break;
    if (!is_link) continue;
    return errors::PathNotAllowed(
        field,
        absl::StrCat("a cache is made of files and folders, and \"",
                     Shortened(ToUtf8(entry->path().filename().string())),
                     "\" is a link, which would be followed on the server"),
        "");
  }
  // Modes are as they were sent.
  if (error == std::errc::permission_denied) {
    return errors::OptionInvalid(
        field, "a folder of the cache is closed to its owner; open it up");
  }
  return error ? errors::Internal(absl::StrCat(field, ": ", error.message()))
               : absl::OkStatus();
}

// Where in an uploaded context the build's own context is.
absl::StatusOr<std::string> ContextInUpload(const std::string& path,
                                            absl::string_view field,
                                            const Caller& caller) {
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckArgument(path, field));
  if (!caller.trusted) {
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckBlanks(path, field));
  }
  std::optional<std::string> inside;
  if (!absl::StartsWith(path, "/")) inside = PathBeneath(path);
  if (inside) return *std::move(inside);
  return errors::OptionInvalid(
      field, absl::StrCat("\"", Shortened(path),
                          "\" is not inside the uploaded context; name a "
                          "folder of it by a relative path, or leave this out "
                          "for its root"));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Policy>> Policy::Create(
    const PolicyOptions& options, Host host,
    const std::vector<std::string>& closed_folders) {
  CONTAINERBUILDER_RETURN_IF_ERROR(ValidatePolicyOptions(options));
  return std::shared_ptr<const Policy>(
      new Policy(options, std::move(host), closed_folders));
}

Policy::Policy(const PolicyOptions& options, Host host,
               const std::vector<std::string>& closed_folders)
    : options_(options),
      host_(std::move(host)),
      untrusted_(options, closed_folders) {}

absl::StatusOr<AdmittedSpec> Policy::Admit(
    const v1::BuildSpec& spec, const v1::BuildPolicy& policy,
    const Caller& caller, const NerdctlInfo& nerdctl,
    const StagingPlace& staging, absl::string_view secret_folder) const {
  constexpr absl::string_view kOptionsField = "spec.options";
  Violations violations(1);
  CheckPolicy(policy, caller, options_.allow_secrets_in_output, violations);
  violations.Add(CheckSecrets(spec));
  AdmittedSpec admitted;
  admitted.environment_ =
      ReadEnvironment(spec, options_.allowed_environment, violations);
  PathRules path_rules = PathRulesFor(caller);
  if (!spec.context_digest().empty()) {
    // Relative ones are the context's, and not of the service's folder.
    path_rules.exists =
        [exists = std::move(path_rules.exists)](const std::string& path) {
          return absl::StartsWith(path, "/") && exists(path);
        };
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const std::vector<WrittenFlag> flags,
      WriteBounded(spec.options(), path_rules, admitted.environment_,
                   kOptionsField));
  CheckTexts(spec, flags, violations);
  CheckProgress(spec, policy, flags, violations);
  if (!caller.trusted) {
    violations.Add(
        untrusted_.CheckDockerfile(spec.dockerfile(), "spec.dockerfile"));
  }
  Reading reading =
      Read(spec.options(), flags, admitted.environment_, kOptionsField, caller,
           &nerdctl, staging, spec.context_digest(), violations);
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
  AddTexts(spec, staging, reading.flags, reading.staging);
  AddSecretFiles(spec, secret_folder, reading.flags);
  admitted.args_ = Arguments(reading.flags, reading.context);
  for (std::string& variable : SecretEnvironment(spec, secret_folder)) {
    admitted.environment_.push_back(std::move(variable));
  }
  admitted.working_folder_ = std::move(reading.folder);
  admitted.staging_ = std::move(reading.staging);
  if (spec.dockerfile().empty()) {
    admitted.dockerfile_folder_ = std::move(reading.dockerfile_folder);
  }
  admitted.nerdctl_ = nerdctl;
  return admitted;
}

absl::Status Policy::CheckStaged(const AdmittedSpec& spec,
                                 const std::string& folder,
                                 const Caller& caller) const {
  for (const ContextPart& part : spec.staging().context_parts) {
    CONTAINERBUILDER_RETURN_IF_ERROR(
        CheckPart(part, absl::StrCat(folder, "/", kStagedContext)));
  }
  if (caller.trusted) return absl::OkStatus();
  for (const StagedInput& input : spec.staging().inputs) {
    if (input.kind == StagedInput::Kind::kCache) {
      CONTAINERBUILDER_RETURN_IF_ERROR(
          CheckNoLinks(absl::StrCat(folder, "/", input.name), input.field));
    }
    if (input.kind != StagedInput::Kind::kDockerfile) continue;
    CONTAINERBUILDER_RETURN_IF_ERROR(
        CheckDockerfileAt(folder, input.name, input.field));
  }
  for (const ContextPart& part : spec.staging().context_parts) {
    if (part.kind != ContextPart::Kind::kDockerfile) continue;
    const std::string context = absl::StrCat(folder, "/", kStagedContext);
    CONTAINERBUILDER_RETURN_IF_ERROR(
        CheckDockerfileAt(context, part.path, part.field));
    absl::string_view beside = part.path;
    if (!absl::ConsumeSuffix(&beside, "Dockerfile") ||
        (!beside.empty() && !absl::EndsWith(beside, "/"))) {
      continue;
    }
    // nerdctl compares it with the first one, and reads both whole for that.
    // BuildKit takes the second one where it cannot read the first.
    for (const char* name : {"Containerfile", "dockerfile"}) {
      CONTAINERBUILDER_RETURN_IF_ERROR(
          CheckDockerfileAt(context, absl::StrCat(beside, name), part.field));
    }
  }
  if (spec.dockerfile_folder_.empty()) return absl::OkStatus();
  // Those that nerdctl and BuildKit look for where none is named.
  for (const char* name : {"Dockerfile", "Containerfile", "dockerfile"}) {
    CONTAINERBUILDER_RETURN_IF_ERROR(
        CheckDockerfileAt(absl::StrCat(folder, "/", kStagedContext),
                          absl::StrCat(spec.dockerfile_folder_, "/", name),
                          "spec.options.context_path"));
  }
  return absl::OkStatus();
}

absl::Status Policy::CheckDockerfileAt(const std::string& folder,
                                       const std::string& name,
                                       absl::string_view field) const {
  const absl::StatusOr<std::optional<std::string>> text =
      ReadDockerfile(folder, name);
  if (absl::IsOutOfRange(text.status())) {
    return errors::TooLarge(field,
                            absl::StrCat("a Dockerfile has at most ",
                                         limits::kMaxDockerfileBytes, " bytes"),
                            "");
  }
  if (absl::IsFailedPrecondition(text.status())) {
    return errors::PathNotAllowed(
        field,
        absl::StrCat("the Dockerfile \"", Shortened(name),
                     "\" is a link with \"..\" or patterns in it, an absolute "
                     "one, or one to further links or to nothing, which "
                     "BuildKit may follow to another file than the one that is "
                     "checked; name the file itself"),
        "");
  }
  // Such as one in a folder that a link out of the context leads to.
  if (!text.ok()) return errors::PathRefused(field, "its Dockerfile");
  if (!text->has_value()) return absl::OkStatus();
  return untrusted_.CheckDockerfile(**text, field);
}

absl::Status Policy::CheckPart(const ContextPart& part,
                               const std::string& folder) const {
  const UniqueFd root(
      open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root.valid()) return errors::Internal("the uploaded context is gone");
  const absl::StatusOr<UniqueFd> opened =
      OpenBeneath(root.get(), part.path, O_PATH);
  struct stat info;
  const bool is_folder = part.kind == ContextPart::Kind::kFolder ||
                         part.kind == ContextPart::Kind::kCache;
  if (!opened.ok() || fstat(opened->get(), &info) != 0 ||
      (is_folder ? !S_ISDIR(info.st_mode) : !S_ISREG(info.st_mode))) {
    return errors::OptionInvalid(
        part.field,
        absl::StrCat("the uploaded context has no ",
                     is_folder ? "folder" : "file", " \"", Shortened(part.path),
                     "\", or a link leads out of the context"));
  }
  if (part.max_bytes > 0 && info.st_size > part.max_bytes) {
    return errors::TooLarge(part.field,
                            absl::StrCat("a file of this kind has at most ",
                                         part.max_bytes, " bytes"),
                            "");
  }
  if (part.kind != ContextPart::Kind::kCache) return absl::OkStatus();
  return CheckNoLinks(absl::StrCat(folder, "/", part.path), part.field);
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
                   untrusted_.readable()
                       .Find(JoinPath(host_.working_folder, path))
                       .has_value();
          }};
}

std::vector<std::string> Policy::Warnings(const v1::BuildOptions& options,
                                          const Caller& caller,
                                          const NerdctlInfo* nerdctl) const {
  constexpr absl::string_view kOptionsField = "options";
  constexpr std::size_t kMostWarnings = 100;
  Violations violations(kMostWarnings);
  const absl::StatusOr<std::vector<WrittenFlag>> flags =
      WriteBounded(options, PathRulesFor(caller), {}, kOptionsField);
  if (flags.ok()) {
    Read(options, *flags, {}, kOptionsField, caller, nerdctl, {}, "",
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
  if (warnings.empty() && !caller.trusted) {
    warnings.emplace_back(
        "Build would copy what these options name on the server, and run with "
        "the copies.");
  }

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

Policy::Reading Policy::Read(const v1::BuildOptions& options,
                             absl::Span<const WrittenFlag> flags,
                             absl::Span<const std::string> environment,
                             absl::string_view field, const Caller& caller,
                             const NerdctlInfo* nerdctl,
                             const StagingPlace& staging,
                             absl::string_view context_digest,
                             Violations& violations) const {
  Reading reading;
  for (int i = 0; i < options.options_size(); ++i) {
    if (violations.full()) return reading;
    violations.Add(CheckName(options.options(i).name(), field,
                             absl::StrCat(field, ".options[", i, "].name"),
                             nerdctl));
  }

  const std::string context_field = absl::StrCat(field, ".context_path");
  const std::string staged = absl::StrCat(staging.folder, "/", kStagedContext);
  const bool uploaded = !context_digest.empty();
  reading.folder = uploaded ? staged : ContextFolder(options.context_path());
  const UntrustedRules::Request request = {reading.folder, staging, flags,
                                           uploaded};
  std::size_t outputs = 0;
  for (WrittenFlag flag : flags) {
    if (violations.full()) return reading;
    const std::optional<bool> takes_value = TakesValue(flag.name, nerdctl);
    if (!takes_value) continue;  // its name was refused above
    // Before the rules: those of a push are about all tags.
    if (flag.name == "output" && (outputs += flag.values.size()) > 1) {
      violations.Add(
          errors::OptionInvalid(flag.field,
                                "nerdctl takes one output and would use the "
                                "last one; send one"));
      continue;
    }
    if (!caller.trusted) {
      absl::Status checked = untrusted_.Apply(flag, request, reading.staging);
      if (!checked.ok()) {
        violations.Add(std::move(checked));
        continue;
      }
    }
    if (nerdctl != nullptr && !nerdctl->flags.empty() &&
        !nerdctl->flags.contains(flag.name)) {
      violations.Add(
          errors::OptionUnsupported(flag.field, flag.name, nerdctl->version));
    }
    violations.Add(CheckFlag(flag, *takes_value));
    if (uploaded) {
      violations.Add(
          RedirectToArtifacts(staging.folder, flag, reading.staging));
    }
    reading.flags.push_back(std::move(flag));
  }
  reading.context = options.context_path();
  if (uploaded) {
    reading.staging.inputs.push_back({.kind = StagedInput::Kind::kTree,
                                      .field = "spec.context_digest",
                                      .name = std::string(kStagedContext),
                                      .digest = std::string(context_digest),
                                      .caller = caller.name});
    absl::StatusOr<std::string> inside =
        ContextInUpload(options.context_path(), context_field, caller);
    if (!inside.ok()) {
      violations.Add(inside.status());
      return reading;
    }
    reading.context =
        *inside == "." ? staged : absl::StrCat(staged, "/", *inside);
    reading.dockerfile_folder = *inside;
    reading.staging.context_parts.push_back(
        {ContextPart::Kind::kFolder, context_field, *std::move(inside)});
  } else {
    violations.Add(CheckContext(options.context_path(), context_field, caller,
                                staging, reading.staging));
    if (!caller.trusted) {
      reading.folder = staged;
      reading.context = reading.folder;
      reading.dockerfile_folder = ".";
    }
  }
  violations.Add(
      CheckSpace(reading.flags, reading.context, environment, field));
  return reading;
}

absl::Status Policy::CheckContext(const std::string& path,
                                  absl::string_view field, const Caller& caller,
                                  const StagingPlace& staging,
                                  StagingPlan& plan) const {
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
  if (!caller.trusted) {
    CONTAINERBUILDER_RETURN_IF_ERROR(
        untrusted_.ApplyToContext(folder, field, staging, plan));
    if (staging.filled) return absl::OkStatus();
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

std::string Policy::ContextFolder(const std::string& path) const {
  if (path.empty() || path == ".") return host_.working_folder;
  return JoinPath(host_.working_folder, path);
}

}  // namespace containerbuilder::service
