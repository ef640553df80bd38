#include "build/untrusted_rules.h"

#include <cstddef>
#include <functional>
#include <map>
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
#include "absl/strings/strip.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "build/command_line.h"
#include "build/environment_rules.h"
#include "build/image_reference.h"
#include "build/syntax_directive.h"
#include "containerbuilder/nerdctl_build_flags.h"

namespace containerbuilder::service {
namespace {

std::string FlagName(absl::string_view option) {
  return absl::StrReplaceAll(option, {{"_", "-"}});
}

absl::flat_hash_set<std::string> FlagNames(
    const std::vector<std::string>& options) {
  absl::flat_hash_set<std::string> names;
  for (const std::string& option : options) names.insert(FlagName(option));
  return names;
}

// `*` stands for any characters.
bool MatchesPattern(absl::string_view text, absl::string_view pattern) {
  const std::vector<absl::string_view> parts = absl::StrSplit(pattern, '*');
  if (parts.size() == 1) return text == pattern;
  if (!absl::ConsumePrefix(&text, parts.front())) return false;
  for (std::size_t i = 1; i + 1 < parts.size(); ++i) {
    const std::size_t at = text.find(parts[i]);
    if (at == absl::string_view::npos) return false;
    text.remove_prefix(at + parts[i].size());
  }
  return absl::EndsWith(text, parts.back());
}

bool MatchesAny(absl::string_view text,
                const std::vector<std::string>& patterns) {
  return absl::c_any_of(patterns, [&](const std::string& pattern) {
    return MatchesPattern(text, pattern);
  });
}

bool IsControl(char c) { return absl::ascii_iscntrl(c); }

// Made of letters, digits and what is in `besides`.
bool IsName(absl::string_view text, absl::string_view besides) {
  return !text.empty() && absl::c_all_of(text, [&](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains(besides, c);
  });
}

// os[/arch[/variant]].
bool IsPlatform(absl::string_view platform) {
  const std::vector<absl::string_view> parts = absl::StrSplit(platform, '/');
  return parts.size() <= 3 && absl::c_all_of(parts, [](absl::string_view part) {
           return IsName(part, "_-.") && absl::ascii_isalnum(part[0]);
         });
}

// Where Go's strconv.ParseBool and BuildKit read no.
bool IsFalse(absl::string_view value) {
  return value == "0" || value == "f" || value == "F" || value == "false" ||
         value == "False" || value == "FALSE";
}

// Keys of an option's attributes for each of its types.
using Vocabulary = std::map<absl::string_view, std::vector<absl::string_view>>;

const Vocabulary& OutputTypes() {
  static const auto* const types = new Vocabulary{
      {"local", {"dest", "platform-split"}},
      {"tar", {"dest", "platform-split"}},
      {"oci",
       {"dest", "name", "tar", "compression", "compression-level",
        "force-compression", "oci-mediatypes", "rewrite-timestamp"}},
      {"docker",
       {"dest", "name", "tar", "compression", "compression-level",
        "force-compression", "oci-mediatypes", "rewrite-timestamp"}},
      {"image",
       {"name", "push", "push-by-digest", "unpack", "store", "compression",
        "compression-level", "force-compression", "oci-mediatypes",
        "rewrite-timestamp", "dangling-name-prefix", "name-canonical"}}};
  return *types;
}

const Vocabulary& CacheSources() {
  static const auto* const types = new Vocabulary{
      {"local", {"src", "digest", "tag"}}, {"registry", {"ref"}}};
  return *types;
}

const Vocabulary& CacheTargets() {
  static const auto* const types = new Vocabulary{
      {"local",
       {"dest", "mode", "tag", "compression", "compression-level",
        "force-compression", "oci-mediatypes", "image-manifest",
        "ignore-error"}},
      {"registry",
       {"ref", "mode", "compression", "compression-level", "force-compression",
        "oci-mediatypes", "image-manifest", "ignore-error"}},
      {"inline", {}}};
  return *types;
}

// Kept by containerd, nerdctl and Kubernetes for themselves.
bool IsReservedLabel(absl::string_view key) {
  constexpr absl::string_view kPrefixes[] = {
      "containerd.io/", "nerdctl/", "io.kubernetes.", "io.cri-containerd"};
  const std::string lower = absl::AsciiStrToLower(key);
  return absl::c_any_of(kPrefixes, [&](absl::string_view prefix) {
    return absl::StartsWith(lower, prefix);
  });
}

std::string Listed(const std::vector<absl::string_view>& names) {
  return absl::StrJoin(names, ", ");
}

}  // namespace

// The check of one flag.
class UntrustedRules::Checker {
 public:
  Checker(const UntrustedRules& rules, const Request& request,
          const WrittenFlag& flag, StagingPlan& plan)
      : rules_(rules),
        options_(rules.options_),
        request_(request),
        field_(flag.field),
        plan_(plan) {}

  // By flag; what is not among them cannot be allowed.
  using Rule = absl::Status (Checker::*)(std::string& value);
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
    if (absl::c_any_of(key, IsControl)) return NoControl();
    if (key != "BUILDKIT_SYNTAX") return absl::OkStatus();
    const absl::string_view frontend =
        absl::string_view(value).substr(equals + 1);
    return rules_.CheckFrontend(frontend.substr(0, frontend.find(' ')), field_);
  }

  absl::Status Label(std::string& value) {
    const absl::string_view key =
        absl::string_view(value).substr(0, value.find('='));
    if (absl::c_any_of(key, IsControl)) return NoControl();
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
        "a stage's name is made of letters, digits, \".\", \"_\" and \"-\"");
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
          "an ssh id is made of letters, digits, \".\", \"_\" and \"-\"");
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
    if (!request_.staging.filled && !rules_.readable_.Find(folder)) {
      return errors::PathRefused(field_, "the file");
    }
    return Read(StagedInput::Kind::kDockerfile, path,
                path.substr(path.rfind('/') + 1), limits::kMaxDockerfileBytes,
                value);
  }

  absl::Status IidFile(std::string& value) {
    if (value.empty()) return absl::OkStatus();
    return Write(StagedOutput::Kind::kFile, value, /*is_archive=*/false);
  }

  absl::Status Secret(std::string& value) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(std::vector<Attribute> attributes,
                                      Attributes(value));
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
        const std::string type, TypedAttributes(value, "type=registry,ref=",
                                                CacheSources(), attributes));
    if (type == "registry") return CheckRefs(attributes, "ref");
    std::string* source = Find(attributes, "src");
    if (source == nullptr || source->empty()) {
      return Invalid("a local cache needs src=FOLDER");
    }
    CONTAINERBUILDER_RETURN_IF_ERROR(Read(StagedInput::Kind::kFolder,
                                          JoinPath(request_.context, *source),
                                          "cache", 0, *source));
    value = WriteAttributes(attributes);
    return absl::OkStatus();
  }

  absl::Status CacheTo(std::string& value) {
    std::vector<Attribute> attributes;
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const std::string type, TypedAttributes(value, "type=registry,ref=",
                                                CacheTargets(), attributes));
    if (type == "inline") return absl::OkStatus();
    if (type == "registry") return CheckRefs(attributes, "ref");
    std::string* target = Find(attributes, "dest");
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
        const std::string type,
        TypedAttributes(value, "type=local,dest=", OutputTypes(), attributes));
    if (const std::string* names = Find(attributes, "name")) {
      for (const absl::string_view name : absl::StrSplit(*names, ',')) {
        std::string tag(name);
        CONTAINERBUILDER_RETURN_IF_ERROR(Tag(tag));
      }
    }
    const std::string* push = Find(attributes, "push");
    const std::string* by_digest = Find(attributes, "push-by-digest");
    if ((push != nullptr && !IsFalse(*push)) ||
        (by_digest != nullptr && !IsFalse(*by_digest))) {
      CONTAINERBUILDER_RETURN_IF_ERROR(CheckPush(attributes));
    }
    std::string* target = Find(attributes, "dest");
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
    const std::string* tar = Find(attributes, "tar");
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

  // What buildctl reads of the value, if that is unambiguous.
  absl::StatusOr<std::vector<Attribute>> Attributes(
      absl::string_view value) const {
    auto attributes = ReadAttributes(value);
    if (!attributes) {
      return Invalid(
          "the value is no list of key=value,key=value, with quotes around "
          "those that have a comma");
    }
    absl::flat_hash_set<std::string> seen;
    for (const Attribute& attribute : *attributes) {
      if (!seen.insert(attribute.key).second) {
        return Invalid(absl::StrCat("\"", Shortened(attribute.key),
                                    "\" is there twice; send it once"));
      }
    }
    return *std::move(attributes);
  }

  static std::string* Find(std::vector<Attribute>& attributes,
                           absl::string_view key) {
    const auto found = absl::c_find_if(
        attributes, [&](const Attribute& item) { return item.key == key; });
    return found == attributes.end() ? nullptr : &found->value;
  }

  // The type, and in `attributes` all attributes of a value, that known types
  // have. nerdctl looks for `type=` anywhere in the value, and writes
  // `otherwise` in front where there is none.
  absl::StatusOr<std::string> TypedAttributes(
      std::string& value, absl::string_view otherwise, const Vocabulary& types,
      std::vector<Attribute>& attributes) const {
    if (!absl::StrContains(value, "type=")) {
      // What that is depends on the program that reads it.
      if (absl::StrContains(value, '"') || absl::StrContains(value, ',')) {
        return Invalid("a list of attributes needs type=TYPE in lower case");
      }
      value = absl::StrCat(otherwise, value);
    }
    CONTAINERBUILDER_ASSIGN_OR_RETURN(attributes, Attributes(value));
    const std::string* type = Find(attributes, "type");
    const auto known = type == nullptr ? types.end() : types.find(*type);
    if (known == types.end()) {
      return NotAllowed(absl::StrCat(
          "untrusted callers may use the types ",
          absl::StrJoin(types, ", ",
                        [](std::string* list, const auto& item) {
                          absl::StrAppend(list, item.first);
                        }),
          type == nullptr ? ""
                          : absl::StrCat(", not \"", Shortened(*type), "\"")));
    }
    for (const Attribute& attribute : attributes) {
      if (attribute.key == "type" ||
          absl::c_linear_search(known->second, attribute.key)) {
        continue;
      }
      return NotAllowed(
          absl::StrCat("untrusted callers may not use the attribute \"",
                       Shortened(attribute.key), "\" of type=", known->first,
                       "; they may use ",
                       known->second.empty() ? "none" : Listed(known->second)));
    }
    return std::string(known->first);
  }

  absl::Status CheckRefs(std::vector<Attribute>& attributes,
                         absl::string_view key) const {
    const std::string* ref = Find(attributes, key);
    if (ref == nullptr) return Invalid("a registry's cache needs ref=IMAGE");
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const ImageReference reference,
                                      Reference(*ref));
    return CheckRegistry(reference);
  }

  // All the names that a push may go to.
  absl::Status CheckPush(std::vector<Attribute>& attributes) const {
    std::vector<std::string> names;
    if (const std::string* own = Find(attributes, "name")) {
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
                                      Attributes(value));
    for (const Attribute& attribute : attributes) {
      if (attribute.key == "generator") {
        CONTAINERBUILDER_ASSIGN_OR_RETURN(const ImageReference reference,
                                          Reference(attribute.value));
        CONTAINERBUILDER_RETURN_IF_ERROR(CheckRegistry(reference));
      } else if (attribute.key == "type" && !types.empty()) {
        if (absl::c_linear_search(types, attribute.value)) continue;
        return NotAllowed(absl::StrCat("untrusted callers may use the types ",
                                       Listed(types)));
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

  // Puts what is at `path` on the plan, and where its copy will be into
  // `value`.
  absl::Status Read(StagedInput::Kind kind, const std::string& path,
                    absl::string_view name, std::int64_t max_bytes,
                    std::string& value) {
    StagedInput input;
    input.kind = kind;
    input.field = field_;
    input.name = absl::StrCat("in/", plan_.inputs.size(), "/", name);
    input.max_bytes = max_bytes;
    if (!request_.staging.filled) {
      std::optional<PlaceInRoot> place = rules_.readable_.Find(path);
      if (!place) return errors::PathRefused(field_, "what it names");
      input.place = *std::move(place);
    } else if (!rules_.readable_.Names(path)) {
      return errors::PathRefused(field_, "what it names");
    }
    value = absl::StrCat(request_.staging.folder, "/", input.name);
    plan_.inputs.push_back(std::move(input));
    return absl::OkStatus();
  }

  absl::Status Write(StagedOutput::Kind kind, std::string& value,
                     bool is_archive) {
    StagedOutput output;
    output.kind = kind;
    output.field = field_;
    output.is_archive = is_archive && kind == StagedOutput::Kind::kFile;
    output.name = absl::StrCat("out/", plan_.outputs.size(), "/output");
    std::optional<PlaceInRoot> place =
        rules_.writable_.FindNew(JoinPath(request_.context, value));
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
  const Request& request_;
  const std::string& field_;
  StagingPlan& plan_;
};

const std::map<absl::string_view, UntrustedRules::Checker::Rule>&
UntrustedRules::Checker::Rules() {
  static const auto* const rules = new std::map<absl::string_view, Rule>{
      {"add-host", &Checker::AddHost},
      {"allow", &Checker::Entitlement},
      {"attest", &Checker::Attest},
      {"build-arg", &Checker::BuildArg},
      {"build-context", &Checker::BuildContext},
      {"buildkit-host", &Checker::BuildkitHost},
      {"cache-from", &Checker::CacheFrom},
      {"cache-to", &Checker::CacheTo},
      {"file", &Checker::File},
      {"iidfile", &Checker::IidFile},
      {"label", &Checker::Label},
      {"network", &Checker::Network},
      {"no-cache", &Checker::Anything},
      {"output", &Checker::Output},
      {"platform", &Checker::Platform},
      {"progress", &Checker::Progress},
      {"provenance", &Checker::Shorthand},
      {"pull", &Checker::Anything},
      {"quiet", &Checker::Anything},
      {"rm", &Checker::Anything},
      {"sbom", &Checker::Shorthand},
      {"secret", &Checker::Secret},
      {"ssh", &Checker::Ssh},
      {"tag", &Checker::Tag},
      {"target", &Checker::Target}};
  return *rules;
}

UntrustedRules::UntrustedRules(const PolicyOptions& options,
                               const std::string& closed)
    : options_(options),
      allowed_options_(FlagNames(options.allowed_options)),
      readable_(
          [&] {
            // Who may write there may look at it.
            std::vector<std::string> roots = options.read_roots;
            roots.insert(roots.end(), options.write_roots.begin(),
                         options.write_roots.end());
            return roots;
          }(),
          closed),
      writable_(options.write_roots, closed) {}

absl::Status UntrustedRules::ApplyToContext(const std::string& folder,
                                            absl::string_view field,
                                            const StagingPlace& staging,
                                            StagingPlan& plan) const {
  StagedInput input;
  input.kind = StagedInput::Kind::kFolder;
  input.field = std::string(field);
  input.name = "context";
  if (!staging.filled) {
    std::optional<PlaceInRoot> place = readable_.Find(folder);
    if (!place) return errors::PathRefused(field, "the context");
    input.place = *std::move(place);
  } else if (!readable_.Names(folder)) {
    return errors::PathRefused(field, "the context");
  }
  plan.inputs.push_back(std::move(input));
  return absl::OkStatus();
}

absl::Status UntrustedRules::Apply(WrittenFlag& flag, const Request& request,
                                   StagingPlan& plan) const {
  const auto rule = Checker::Rules().find(flag.name);
  if (rule == Checker::Rules().end() || !allowed_options_.contains(flag.name)) {
    std::vector<std::string> allowed(allowed_options_.begin(),
                                     allowed_options_.end());
    absl::c_sort(allowed);
    const bool may_be_allowed = rule != Checker::Rules().end();
    return errors::OptionNotAllowed(
        flag.field,
        absl::StrCat("untrusted callers may not use --", Shortened(flag.name),
                     "; they may use ", absl::StrJoin(allowed, ", "),
                     may_be_allowed ? ", and more where the operator names it "
                                      "in --allowed_options"
                                    : ""),
        may_be_allowed ? "--allowed_options" : "");
  }
  Checker checker(*this, request, flag, plan);
  for (std::string& value : flag.values) {
    const bool is_free_text = flag.name == "build-arg" || flag.name == "label";
    if (!is_free_text && absl::c_any_of(value, IsControl)) {
      return errors::OptionInvalid(
          flag.field, "control characters have no place here; leave them out");
    }
    CONTAINERBUILDER_RETURN_IF_ERROR((checker.*rule->second)(value));
  }
  return absl::OkStatus();
}

absl::Status UntrustedRules::CheckFrontend(absl::string_view frontend,
                                           absl::string_view field) const {
  const auto reference = ReadImageReference(frontend);
  const std::string name =
      reference ? reference->Short() : std::string(frontend);
  if ((reference && MatchesAny(name, options_.allowed_frontends)) ||
      absl::c_linear_search(options_.allowed_frontends, "*")) {
    return absl::OkStatus();
  }
  return errors::OptionNotAllowed(
      field,
      absl::StrCat("untrusted callers may not build with the frontend \"",
                   Shortened(name),
                   "\" (the syntax line of the Dockerfile, or "
                   "BUILDKIT_SYNTAX); they may use ",
                   absl::StrJoin(options_.allowed_frontends, ", "),
                   " (--allowed_frontends)"),
      "--allowed_frontends");
}

absl::Status UntrustedRules::CheckDockerfile(absl::string_view text,
                                             absl::string_view field) const {
  const SyntaxDirectives directives = FindSyntaxDirectives(text);
  for (const std::string& frontend : directives.frontends) {
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckFrontend(frontend, field));
  }
  if (!directives.is_json ||
      absl::c_linear_search(options_.allowed_frontends, "*")) {
    return absl::OkStatus();
  }
  return errors::OptionNotAllowed(
      field,
      "a Dockerfile in JSON names a frontend of its own, which untrusted "
      "callers may only where --allowed_frontends is *",
      "--allowed_frontends");
}

absl::Status ValidatePolicyOptions(const PolicyOptions& options) {
  const auto wrong = [](absl::string_view setting, absl::string_view value,
                        absl::string_view rule) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", setting, ": \"", Shortened(value), "\": ", rule));
  };
  for (const auto& [setting, roots] :
       {std::pair<absl::string_view, const std::vector<std::string>&>{
            "read_roots", options.read_roots},
        {"write_roots", options.write_roots}}) {
    for (const std::string& root : roots) {
      if (!absl::StartsWith(root, "/")) {
        return wrong(setting, root, "name the folder by its absolute path");
      }
    }
  }
  for (const std::string& option : options.allowed_options) {
    const std::string name = FlagName(option);
    if (FindNerdctlBuildFlag(name) == nullptr) {
      return wrong("allowed_options", option,
                   "nerdctl build has no such option");
    }
  }
  for (const std::string& entitlement : options.allowed_entitlements) {
    if (!IsName(entitlement, ".-=/:_")) {
      return wrong("allowed_entitlements", entitlement,
                   "name an entitlement, such as network.host");
    }
  }
  for (const std::string& registry : options.allowed_registries) {
    const auto reference = ReadImageReference(absl::StrCat(registry, "/a/b"));
    if (!reference || reference->host != registry) {
      return wrong("allowed_registries", registry,
                   "name a registry by its host, such as docker.io or "
                   "registry.example:5000");
    }
  }
  for (const std::string& variable : options.allowed_environment) {
    if (!MayBeAllowed(variable)) {
      return wrong("allowed_environment", variable,
                   "requests may never set this");
    }
  }
  for (const std::string& ssh : options.allowed_ssh) {
    if (!absl::StartsWith(ssh, "/") && !IsName(ssh, "._-")) {
      return wrong("allowed_ssh", ssh,
                   "name an id, or a path that is absolute");
    }
  }
  if (options.max_staged_bytes < 0) {
    return absl::InvalidArgumentError(
        "--max_staged_bytes: must not be negative");
  }
  if (options.max_staged_files < 0) {
    return absl::InvalidArgumentError(
        "--max_staged_files: must not be negative");
  }
  return absl::OkStatus();
}

}  // namespace containerbuilder::service
