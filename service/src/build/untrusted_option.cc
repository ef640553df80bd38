#include "build/untrusted_option.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "build/artifact_rules.h"
#include "build/attribute_types.h"
#include "build/command_line.h"
#include "build/csv.h"
#include "build/grammar.h"
#include "build/image_reference.h"
#include "build/option_rules.h"
#include "build/roots.h"
#include "containerbuilder/service/policy_options.h"

namespace containerbuilder::service {
namespace {

// Kept by containerd, nerdctl and Kubernetes for themselves.
bool IsReservedLabel(absl::string_view key) {
  constexpr absl::string_view kPrefixes[] = {
      "containerd.io/", "nerdctl/", "io.kubernetes.", "io.cri-containerd"};
  const std::string lower = absl::AsciiStrToLower(key);
  return absl::c_any_of(kPrefixes, [&](absl::string_view prefix) {
    return absl::StartsWith(lower, prefix);
  });
}

// Build arguments that BuildKit's Dockerfile frontend reads itself and that
// concern this build alone. One that is not among them names an image, or the
// caches that other builds use, or may do so in another version.
constexpr absl::string_view kHarmlessBuildkitArgs[] = {
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_DOCKERFILE_CHECK",
    "BUILDKIT_MULTI_PLATFORM",       "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SBOM_SCAN_CONTEXT",    "BUILDKIT_SBOM_SCAN_STAGE"};

// The rules about one flag, by its name.
class OptionRules {
 public:
  OptionRules(const UntrustedRules& rules,
              const UntrustedRules::Request& request, const WrittenFlag& flag,
              StagingPlan& plan)
      : rules_(rules),
        options_(rules.options()),
        request_(request),
        field_(flag.field),
        plan_(plan) {}

  // By flag; what is not among them cannot be allowed.
  using Rule = absl::Status (OptionRules::*)(std::string& value);
  static const std::map<absl::string_view, Rule>& Rules();

  absl::Status Anything(std::string& /*value*/) { return absl::OkStatus(); }

  absl::Status BuildArg(std::string& value) {
    const std::size_t equals = value.find('=');
    if (equals == std::string::npos || equals == 0) {
      return NotAllowed(
          "a build_arg without a value reads the service's environment, which "
          "untrusted callers may not; send KEY=VALUE");
    }
    const absl::string_view key = absl::string_view(value).substr(0, equals);
    if (HasControl(key)) return NoControl();
    if (!absl::StartsWith(key, "BUILDKIT_")) return absl::OkStatus();
    return BuildkitArg(key, value.substr(equals + 1));
  }

  absl::Status Label(std::string& value) {
    const absl::string_view key =
        absl::string_view(value).substr(0, value.find('='));
    if (HasControl(key)) return NoControl();
    if (!IsReservedLabel(key)) return absl::OkStatus();
    return NotAllowed(absl::StrCat(
        "labels of containerd.io/, nerdctl/ and io.kubernetes. are read by "
        "those programs, and untrusted callers may not set \"",
        Shortened(key), "\"; use a prefix of your own"));
  }

  absl::Status Tag(std::string& value) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const ImageReference tag,
                                      Reference(value));
    if (!tag.digest.empty()) {
      return Invalid("an image is given a name and a tag, not a digest");
    }
    if (tag.host != "docker.io") {
      CONTAINERBUILDER_RETURN_IF_ERROR(CheckRegistry(tag));
    }
    if (MatchesAny(tag.Short(), options_.allowed_tags)) {
      return absl::OkStatus();
    }
    return NotAllowed(
        absl::StrCat("untrusted callers may not name an image \"",
                     Shortened(tag.Short()), "\"; names that they may: ",
                     absl::StrJoin(options_.allowed_tags, ", "),
                     " (--allowed_tags)"),
        "--allowed_tags");
  }

  absl::Status Target(std::string& value) {
    if (value.empty() || IsName(value, "_-.")) return absl::OkStatus();
    return Invalid(
        R"(a stage's name is made of letters, digits, ".", "_" and "-")");
  }

  absl::Status Platform(std::string& value) {
    if (absl::c_all_of(absl::StrSplit(value, ','), IsPlatform)) {
      return absl::OkStatus();
    }
    return Invalid(
        "a platform has the form os[/arch[/variant]], such as linux/amd64");
  }

  absl::Status Progress(std::string& value) {
    if (value == "plain" || value == "rawjson") return absl::OkStatus();
    return NotAllowed("untrusted callers may use progress plain or rawjson");
  }

  absl::Status Network(std::string& value) {
    CONTAINERBUILDER_RETURN_IF_ERROR(OneOf(value, options_.allowed_networks,
                                           "network", "--allowed_networks"));
    if (value != "host") return absl::OkStatus();
    for (const char* entitlement : {"network.host", "security.insecure"}) {
      std::string needed = entitlement;
      CONTAINERBUILDER_RETURN_IF_ERROR(Entitlement(needed));
    }
    return absl::OkStatus();
  }

  absl::Status Entitlement(std::string& value) {
    return OneOf(value, options_.allowed_entitlements, "the entitlement",
                 "--allowed_entitlements");
  }

  absl::Status BuildkitHost(std::string& value) {
    return OneOf(value, options_.allowed_buildkit_hosts, "buildkit_host",
                 "--allowed_buildkit_hosts");
  }

  absl::Status Ssh(std::string& value) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(value, absl::MaxSplits('=', 1));
    const auto& [id, paths] = parts;
    if (!IsName(id, "._-")) {
      return Invalid(
          R"(an ssh id is made of letters, digits, ".", "_" and "-")");
    }
    if (!absl::StrContains(value, '=')) {
      return OneOf(id, options_.allowed_ssh, "ssh", "--allowed_ssh");
    }
    for (const absl::string_view path : absl::StrSplit(paths, ',')) {
      // With `raw=true` the build would talk to whatever is behind a socket.
      if (!absl::StartsWith(path, "/")) {
        return NotAllowed(
            "untrusted callers may name sockets and keys by absolute paths "
            "alone, and those that --allowed_ssh has",
            "--allowed_ssh");
      }
      CONTAINERBUILDER_RETURN_IF_ERROR(OneOf(
          std::string(path), options_.allowed_ssh, "ssh", "--allowed_ssh"));
    }
    return absl::OkStatus();
  }

  absl::Status AddHost(std::string& value) {
    const std::size_t colon = value.find(':');
    if (colon != std::string::npos && IsName(value.substr(0, colon), "._-") &&
        (value.substr(colon + 1) == "host-gateway" ||
         absl::c_all_of(value.substr(colon + 1), [](char c) {
           return absl::ascii_isxdigit(c) || absl::StrContains(".:[]", c);
         }))) {
      return absl::OkStatus();
    }
    return Invalid("a host has the form name:address");
  }

  absl::Status File(std::string& value) {
    // nerdctl takes these for no file at all.
    if (value.empty()) return absl::OkStatus();
    // nerdctl gives BuildKit all of the folder that the file's name leads to.
    const std::string path = JoinPath(request_.context, value);
    const std::string folder = path.substr(0, path.rfind('/') + 1);
    if (!InContext(path) && !request_.staging.filled &&
        !rules_.readable().Find(folder)) {
      return errors::PathRefused(field_, "the file");
    }
    return Read(StagedInput::Kind::kDockerfile, path,
                path.substr(path.rfind('/') + 1), limits::kMaxDockerfileBytes,
                value);
  }

  absl::Status IidFile(std::string& value) {
    if (value.empty() || request_.uploaded) return absl::OkStatus();
    return Write(StagedOutput::Kind::kFile, value, /*is_archive=*/false);
  }

  absl::Status Secret(std::string& value) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(std::vector<Attribute> attributes,
                                      ReadUnambiguous(value, field_));
    constexpr std::size_t kMaxIdBytes = 64;
    std::string* source = nullptr;
    bool has_id = false;
    for (Attribute& attribute : attributes) {
      if (attribute.key == "id") {
        has_id = IsName(attribute.value, "._-") &&
                 attribute.value.size() <= kMaxIdBytes;
        if (!has_id) {
          return Invalid(
              "a secret's id has up to 64 letters, digits, \".\", \"_\" and "
              "\"-\"");
        }
      } else if (attribute.key == "src" || attribute.key == "source") {
        if (source != nullptr) {
          return Invalid("src and source are the same; send one");
        }
        source = &attribute.value;
        attribute.key = "src";
      } else if (attribute.key == "type" && attribute.value == "file") {
        continue;
      } else {
        return NotAllowed(absl::StrCat(
            "untrusted callers may give secrets id and src, and no \"",
            Shortened(attribute.key),
            "\", which may read the service's environment"));
      }
    }
    if (!has_id) return Invalid("a secret needs an id: id=ID,src=FILE");
    if (source == nullptr || source->empty()) {
      return NotAllowed(
          "a secret with no src reads the service's environment, or a file of "
          "that name; send id=ID,src=FILE");
    }
    CONTAINERBUILDER_RETURN_IF_ERROR(
        Read(StagedInput::Kind::kFile, JoinPath(request_.context, *source),
             "secret", limits::kMaxSecretBytes, *source));
    value = WriteAttributes(attributes);
    return absl::OkStatus();
  }

  absl::Status CacheFrom(std::string& value) {
    std::vector<Attribute> attributes;
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const std::string type, ReadTyped(value, field_, "type=registry,ref=",
                                          CacheSourceTypes(), attributes));
    if (type == "registry") return CheckRefs(attributes, "ref");
    std::string* source = FindAttribute(attributes, "src");
    if (source == nullptr || source->empty()) {
      return Invalid("a local cache needs src=FOLDER");
    }
    CONTAINERBUILDER_RETURN_IF_ERROR(Read(StagedInput::Kind::kCache,
                                          JoinPath(request_.context, *source),
                                          "cache", 0, *source));
    value = WriteAttributes(attributes);
    return absl::OkStatus();
  }

  absl::Status CacheTo(std::string& value) {
    std::vector<Attribute> attributes;
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const std::string type, ReadTyped(value, field_, "type=registry,ref=",
                                          CacheTargetTypes(), attributes));
    if (type == "inline") return absl::OkStatus();
    if (type == "registry") return CheckRefs(attributes, "ref");
    std::string* target = FindAttribute(attributes, "dest");
    if (target == nullptr || target->empty()) {
      return Invalid("a local cache needs dest=FOLDER");
    }
    CONTAINERBUILDER_RETURN_IF_ERROR(
        Write(StagedOutput::Kind::kFolder, *target, /*is_archive=*/false));
    value = WriteAttributes(attributes);
    return absl::OkStatus();
  }

  absl::Status Output(std::string& value) {
    std::vector<Attribute> attributes;
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const std::string type, ReadTyped(value, field_, "type=local,dest=",
                                          OutputTypes(), attributes));
    if (const std::string* names = FindAttribute(attributes, "name")) {
      for (const absl::string_view name : absl::StrSplit(*names, ',')) {
        std::string tag(name);
        CONTAINERBUILDER_RETURN_IF_ERROR(Tag(tag));
      }
    }
    const std::string* push = FindAttribute(attributes, "push");
    const std::string* by_digest = FindAttribute(attributes, "push-by-digest");
    if ((push != nullptr && !IsFalse(*push)) ||
        (by_digest != nullptr && !IsFalse(*by_digest))) {
      CONTAINERBUILDER_RETURN_IF_ERROR(CheckPush(attributes));
    }
    if (request_.uploaded) {
      if (OutputComesBack(value) || rules_.Allows("output")) {
        return absl::OkStatus();
      }
      return NotAllowed(
          "untrusted callers may have what comes back: type=local, tar, oci or "
          "docker with a dest; more where the operator names output in "
          "--allowed_options",
          "--allowed_options");
    }
    std::string* target = FindAttribute(attributes, "dest");
    const bool is_image = type == "docker" || type == "oci";
    if (target == nullptr && (type == "image" || is_image)) {
      return absl::OkStatus();  // nerdctl loads it
    }
    if (target == nullptr || target->empty() || *target == "-") {
      return NotAllowed(
          "untrusted callers may not have an archive on standard output; send "
          "dest=PATH under --write_roots",
          "--write_roots");
    }
    const std::string* tar = FindAttribute(attributes, "tar");
    const bool is_folder =
        type == "local" || (is_image && tar != nullptr && IsFalse(*tar));
    CONTAINERBUILDER_RETURN_IF_ERROR(Write(
        is_folder ? StagedOutput::Kind::kFolder : StagedOutput::Kind::kFile,
        *target, is_image));
    value = WriteAttributes(attributes);
    return absl::OkStatus();
  }

  absl::Status BuildContext(std::string& value) {
    const std::size_t equals = value.find('=');
    const std::string name = value.substr(0, equals);
    if (equals == std::string::npos || !IsName(name, "._-")) {
      return Invalid(
          "a build context has the form NAME=FOLDER or "
          "NAME=docker-image://IMAGE, its name made of letters, digits, \".\", "
          "\"_\" and \"-\"");
    }
    // nerdctl gives its own folders to BuildKit by these names.
    if (name == "context" || name == "dockerfile") {
      return NotAllowed(absl::StrCat(
          "\"", name, "\" would take the place of the build's own context"));
    }
    if (rules_.IsFrontend(name)) {
      return NotAllowed(absl::StrCat(
          "\"", Shortened(name),
          "\" would take the place of the frontend of that name, which "
          "--allowed_frontends has; choose another name"));
    }
    std::string source = value.substr(equals + 1);
    absl::string_view image = source;
    if (absl::ConsumePrefix(&image, "docker-image://")) {
      CONTAINERBUILDER_ASSIGN_OR_RETURN(const ImageReference reference,
                                        Reference(image));
      return CheckRegistry(reference);
    }
    if (source.empty() || absl::StrContains(source, ':')) {
      return NotAllowed(
          "untrusted callers may name folders and docker-image:// as build "
          "contexts");
    }
    CONTAINERBUILDER_RETURN_IF_ERROR(Read(StagedInput::Kind::kFolder,
                                          JoinPath(request_.context, source),
                                          "context", 0, source));
    value = absl::StrCat(name, "=", source);
    return absl::OkStatus();
  }

  absl::Status Attest(std::string& value) {
    return Attestation(value, {"sbom", "provenance"});
  }

  // nerdctl writes `type=sbom,` or `type=provenance,` in front, unless it is a
  // yes or no.
  absl::Status Shorthand(std::string& value) {
    if (IsName(value, "") && !absl::StrContains(value, '=')) {
      return absl::OkStatus();
    }
    return Attestation(value, {});
  }

 private:
  // A build argument that BuildKit's frontends, or nerdctl, read themselves:
  // some are another option by another name.
  absl::Status BuildkitArg(absl::string_view key, std::string value) {
    if (key == "BUILDKIT_SYNTAX") {
      return rules_.CheckFrontend(value.substr(0, value.find(' ')), field_);
    }
    if (key == "BUILDKIT_INLINE_CACHE") {
      return OnlyWith("cache-to", "cache_to type=inline");
    }
    absl::string_view type = key;
    if (absl::ConsumePrefix(&type, "BUILDKIT_ATTEST_")) {
      CONTAINERBUILDER_RETURN_IF_ERROR(OnlyWith("attest", "attest"));
      if (HasControl(value)) return NoControl();
      const std::string lower = absl::AsciiStrToLower(type);
      if (lower != "sbom" && lower != "provenance") {
        return NotAllowed(
            "untrusted callers may use the types sbom, provenance");
      }
      return value.empty() ? absl::OkStatus() : Shorthand(value);
    }
    if (absl::c_linear_search(kHarmlessBuildkitArgs, key)) {
      return absl::OkStatus();
    }
    return NotAllowed(absl::StrCat(
        "untrusted callers may not tell BuildKit \"", Shortened(key),
        "\" by a build_arg; of those that begin with BUILDKIT_ they may send "
        "BUILDKIT_SYNTAX, ",
        absl::StrJoin(kHarmlessBuildkitArgs, ", ")));
  }

  // What is the same as `option` is allowed where that is.
  absl::Status OnlyWith(absl::string_view flag,
                        absl::string_view option) const {
    if (rules_.Allows(flag)) return absl::OkStatus();
    return NotAllowed(
        absl::StrCat("this build_arg is the same as ", option,
                     ", which untrusted callers may use only where the "
                     "operator names it in --allowed_options"),
        "--allowed_options");
  }

  absl::Status NotAllowed(absl::string_view rule,
                          absl::string_view setting = "") const {
    return errors::OptionNotAllowed(field_, rule, setting);
  }
  absl::Status Invalid(absl::string_view rule) const {
    return errors::OptionInvalid(field_, rule);
  }
  absl::Status NoControl() const {
    return Invalid("control characters have no place here; leave them out");
  }

  absl::Status OneOf(const std::string& value,
                     const std::vector<std::string>& allowed,
                     absl::string_view what, absl::string_view setting) const {
    if (absl::c_linear_search(allowed, value)) return absl::OkStatus();
    return NotAllowed(
        absl::StrCat("untrusted callers may not use ", what, " \"",
                     Shortened(value), "\"; they may use ",
                     allowed.empty() ? "none" : absl::StrJoin(allowed, ", "),
                     " (", setting, ")"),
        setting);
  }

  absl::StatusOr<ImageReference> Reference(absl::string_view text) const {
    if (auto reference = ReadImageReference(text)) return *std::move(reference);
    return Invalid(absl::StrCat("\"", Shortened(text),
                                "\" is no image's name, such as team/app:1"));
  }

  absl::Status CheckRegistry(const ImageReference& reference) const {
    return OneOf(reference.host, options_.allowed_registries, "the registry",
                 "--allowed_registries");
  }

  absl::Status CheckRefs(std::vector<Attribute>& attributes,
                         absl::string_view key) const {
    const std::string* ref = FindAttribute(attributes, key);
    if (ref == nullptr) return Invalid("a registry's cache needs ref=IMAGE");
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const ImageReference reference,
                                      Reference(*ref));
    return CheckRegistry(reference);
  }

  // All the names that a push may go to.
  absl::Status CheckPush(std::vector<Attribute>& attributes) const {
    std::vector<std::string> names;
    if (const std::string* own = FindAttribute(attributes, "name")) {
      names = absl::StrSplit(*own, ',');
    }
    for (const WrittenFlag& flag : request_.flags) {
      if (flag.name != "tag") continue;
      names.insert(names.end(), flag.values.begin(), flag.values.end());
    }
    if (names.empty()) return Invalid("a push needs a name: send a tag");
    for (const std::string& name : names) {
      CONTAINERBUILDER_ASSIGN_OR_RETURN(const ImageReference reference,
                                        Reference(name));
      CONTAINERBUILDER_RETURN_IF_ERROR(CheckRegistry(reference));
    }
    return absl::OkStatus();
  }

  absl::Status Attestation(const std::string& value,
                           const std::vector<absl::string_view>& types) const {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(std::vector<Attribute> attributes,
                                      ReadUnambiguous(value, field_));
    for (const Attribute& attribute : attributes) {
      if (attribute.key == "generator") {
        CONTAINERBUILDER_ASSIGN_OR_RETURN(const ImageReference reference,
                                          Reference(attribute.value));
        CONTAINERBUILDER_RETURN_IF_ERROR(CheckRegistry(reference));
      } else if (attribute.key == "type" && !types.empty()) {
        if (absl::c_linear_search(types, attribute.value)) continue;
        return NotAllowed(absl::StrCat("untrusted callers may use the types ",
                                       absl::StrJoin(types, ", ")));
      } else if (attribute.key != "mode" && attribute.key != "disabled" &&
                 attribute.key != "inline-only" && attribute.key != "version" &&
                 attribute.key != "reproducible") {
        return NotAllowed(absl::StrCat(
            "untrusted callers may not use the attribute \"",
            Shortened(attribute.key),
            "\"; they may use type, mode, generator, disabled, inline-only, "
            "version and reproducible"));
      }
    }
    return absl::OkStatus();
  }

  // Where `path` is in an uploaded context; nothing where it is not in it.
  std::optional<std::string> InContext(const std::string& path) const {
    absl::string_view inside = path;
    if (!request_.uploaded ||
        !absl::ConsumePrefix(&inside, absl::StrCat(request_.context, "/"))) {
      return std::nullopt;
    }
    return PathBeneath(inside);
  }

  // Puts what is at `path` on the plan, and where its copy will be into
  // `value`.
  absl::Status Read(StagedInput::Kind kind, const std::string& path,
                    absl::string_view name, std::int64_t max_bytes,
                    std::string& value) {
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckBlanks(value, field_));
    if (std::optional<std::string> inside = InContext(path)) {
      value = absl::StrCat(request_.context, "/", *inside);
      plan_.context_parts.push_back(
          {PartKind(kind), field_, *std::move(inside), max_bytes});
      return absl::OkStatus();
    }
    StagedInput input;
    input.kind = kind;
    input.field = field_;
    input.name = absl::StrCat("in/", plan_.inputs.size(), "/", name);
    input.max_bytes = max_bytes;
    if (!request_.staging.filled) {
      std::optional<PlaceInRoot> place = rules_.readable().Find(path);
      if (!place) return errors::PathRefused(field_, "what it names");
      input.place = *std::move(place);
    } else if (!rules_.readable().Names(path)) {
      return errors::PathRefused(field_, "what it names");
    }
    value = absl::StrCat(request_.staging.folder, "/", input.name);
    plan_.inputs.push_back(std::move(input));
    return absl::OkStatus();
  }

  static ContextPart::Kind PartKind(StagedInput::Kind kind) {
    switch (kind) {
      case StagedInput::Kind::kFolder:
        return ContextPart::Kind::kFolder;
      case StagedInput::Kind::kCache:
        return ContextPart::Kind::kCache;
      case StagedInput::Kind::kDockerfile:
        return ContextPart::Kind::kDockerfile;
      default:
        return ContextPart::Kind::kFile;
    }
  }

  absl::Status Write(StagedOutput::Kind kind, std::string& value,
                     bool is_archive) {
    StagedOutput output;
    output.kind = kind;
    output.field = field_;
    output.is_archive = is_archive && kind == StagedOutput::Kind::kFile;
    output.name = absl::StrCat("out/", plan_.outputs.size(), "/output");
    std::optional<PlaceInRoot> place =
        rules_.writable().FindNew(JoinPath(request_.context, value));
    if (!place || (kind == StagedOutput::Kind::kFile && place->path == ".")) {
      return errors::PathNotAllowed(
          field_,
          "where it is to be written is outside the folders that the operator "
          "opens to untrusted callers with --write_roots",
          "--write_roots");
    }
    output.place = *std::move(place);
    value = absl::StrCat(request_.staging.folder, "/", output.name);
    plan_.outputs.push_back(std::move(output));
    return absl::OkStatus();
  }

  const UntrustedRules& rules_;
  const PolicyOptions& options_;
  const UntrustedRules::Request& request_;
  const std::string& field_;
  StagingPlan& plan_;
};

const std::map<absl::string_view, OptionRules::Rule>& OptionRules::Rules() {
  static const auto* const rules = new std::map<absl::string_view, Rule>{
      {"add-host", &OptionRules::AddHost},
      {"allow", &OptionRules::Entitlement},
      {"attest", &OptionRules::Attest},
      {"build-arg", &OptionRules::BuildArg},
      {"build-context", &OptionRules::BuildContext},
      {"buildkit-host", &OptionRules::BuildkitHost},
      {"cache-from", &OptionRules::CacheFrom},
      {"cache-to", &OptionRules::CacheTo},
      {"file", &OptionRules::File},
      {"iidfile", &OptionRules::IidFile},
      {"label", &OptionRules::Label},
      {"metadata-file", &OptionRules::IidFile},
      {"network", &OptionRules::Network},
      {"no-cache", &OptionRules::Anything},
      {"output", &OptionRules::Output},
      {"platform", &OptionRules::Platform},
      {"progress", &OptionRules::Progress},
      {"provenance", &OptionRules::Shorthand},
      {"pull", &OptionRules::Anything},
      {"quiet", &OptionRules::Anything},
      {"rm", &OptionRules::Anything},
      {"sbom", &OptionRules::Shorthand},
      {"secret", &OptionRules::Secret},
      {"ssh", &OptionRules::Ssh},
      {"tag", &OptionRules::Tag},
      {"target", &OptionRules::Target}};
  return *rules;
}

}  // namespace

bool HasOptionRules(absl::string_view flag) {
  return OptionRules::Rules().contains(flag);
}

absl::Status ApplyOptionRules(const UntrustedRules& rules,
                              const UntrustedRules::Request& request,
                              WrittenFlag& flag, StagingPlan& plan) {
  const OptionRules::Rule rule = OptionRules::Rules().at(flag.name);
  OptionRules option(rules, request, flag, plan);
  // Which buildctl takes as they are, but for white space at their ends.
  const bool is_free_text = flag.name == "build-arg" || flag.name == "label";
  for (std::string& value : flag.values) {
    if (!is_free_text && HasControl(value)) {
      return errors::OptionInvalid(
          flag.field, "control characters have no place here; leave them out");
    }
    const bool has_outer_blanks = HasOuterBlanks(value);
    CONTAINERBUILDER_RETURN_IF_ERROR((option.*rule)(value));
    // Which buildctl takes off: what it reads is not what the rule looked at.
    if (!is_free_text && has_outer_blanks) {
      return errors::OptionInvalid(
          flag.field,
          "white space has no place at a value's beginning or end; leave it "
          "out");
    }
  }
  return absl::OkStatus();
}

}  // namespace containerbuilder::service
