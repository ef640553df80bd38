#include "build/secrets.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <cstddef>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "build/command_line.h"
#include "secrets/patterns.h"

namespace containerbuilder::service {
namespace {

constexpr absl::string_view kDockerFolder = "docker";

// BuildOptions' parameters that are written before `secret`.
constexpr absl::string_view kBeforeSecrets[] = {"build-arg", "cache-from",
                                                "cache-to", "label", "output"};

std::string SecretFileName(int index) { return absl::StrCat("secret-", index); }

bool IsSecretId(absl::string_view id) {
  constexpr std::size_t kMost = 64;
  return !id.empty() && id.size() <= kMost &&
         absl::c_all_of(id, [](const char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

// `host` or `host:port`, as nerdctl and BuildKit write it.
bool IsRegistryHost(absl::string_view host) {
  constexpr std::size_t kMost = 255;
  return !host.empty() && host.size() <= kMost && host[0] != '-' &&
         absl::c_all_of(host, [](const char c) {
           return absl::ascii_isalnum(c) || absl::StrContains(".-:[]", c);
         });
}

bool HasControlCharacter(absl::string_view text) {
  return absl::c_any_of(text, absl::ascii_iscntrl);
}

absl::Status CheckSecret(const v1::Secret& secret, absl::string_view field) {
  if (!IsSecretId(secret.id())) {
    return errors::OptionInvalid(
        absl::StrCat(field, ".id"),
        "a secret's id has the form [A-Za-z0-9._-]{1,64}, and is what the "
        "Dockerfile's --mount=type=secret,id= names");
  }
  if (secret.value().size() > limits::kMaxSecretBytes) {
    return errors::OptionInvalid(
        absl::StrCat(field, ".value"),
        absl::StrCat("BuildKit takes secrets of at most ",
                     limits::kMaxSecretBytes, " bytes; this one has ",
                     secret.value().size()));
  }
  return absl::OkStatus();
}

absl::Status CheckAuth(const v1::RegistryAuth& auth, absl::string_view field) {
  if (!IsRegistryHost(auth.host())) {
    return errors::OptionInvalid(
        absl::StrCat(field, ".host"),
        "a registry is named by its host, and its port where it has one, with "
        "no scheme and no path, such as registry.example:5000");
  }
  if (auth.username().empty() || absl::StrContains(auth.username(), ':') ||
      HasControlCharacter(auth.username())) {
    return errors::OptionInvalid(
        absl::StrCat(field, ".username"),
        "a user's name is not empty and has neither a colon nor control "
        "characters");
  }
  if (auth.password().empty() || HasControlCharacter(auth.password()) ||
      auth.username().size() + auth.password().size() >
          limits::kMaxCredentialBytes) {
    return errors::OptionInvalid(
        absl::StrCat(field, ".password"),
        absl::StrCat("a password is not empty, has no control characters, and "
                     "at most ",
                     limits::kMaxCredentialBytes, " bytes with the name"));
  }
  return absl::OkStatus();
}

// As BuildKit looks a registry up in Docker's configuration.
std::string DockerConfigKey(absl::string_view host) {
  if (host == "docker.io" || host == "index.docker.io" ||
      host == "registry-1.docker.io") {
    return "https://index.docker.io/v1/";
  }
  return std::string(host);
}

std::string UserAndPassword(const v1::RegistryAuth& auth) {
  return absl::Base64Escape(
      absl::StrCat(auth.username(), ":", auth.password()));
}

std::string DockerConfig(const v1::BuildSpec& spec) {
  google::protobuf::Struct config;
  google::protobuf::Struct& auths =
      *(*config.mutable_fields())["auths"].mutable_struct_value();
  for (const v1::RegistryAuth& auth : spec.registry_auths()) {
    google::protobuf::Struct& entry =
        *(*auths.mutable_fields())[DockerConfigKey(auth.host())]
             .mutable_struct_value();
    (*entry.mutable_fields())["auth"].set_string_value(UserAndPassword(auth));
  }
  std::string json;
  // Hosts and base64: nothing that JSON could not hold.
  (void)google::protobuf::util::MessageToJsonString(config, &json);
  return json;
}

}  // namespace

bool HasSecrets(const v1::BuildSpec& spec) {
  return spec.secrets_size() > 0 || spec.registry_auths_size() > 0;
}

absl::Status CheckSecrets(const v1::BuildSpec& spec) {
  const auto too_many = [](absl::string_view field, int count) {
    return errors::OptionInvalid(
        field,
        absl::StrCat("a build takes at most ", limits::kMaxSecretsPerBuild,
                     " of them, not ", count));
  };
  if (spec.secrets_size() > limits::kMaxSecretsPerBuild) {
    return too_many("spec.secrets", spec.secrets_size());
  }
  if (spec.registry_auths_size() > limits::kMaxSecretsPerBuild) {
    return too_many("spec.registry_auths", spec.registry_auths_size());
  }
  std::size_t bytes = 0;
  absl::flat_hash_set<absl::string_view> ids;
  for (int i = 0; i < spec.secrets_size(); ++i) {
    const std::string field = absl::StrCat("spec.secrets[", i, "]");
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckSecret(spec.secrets(i), field));
    if (!ids.insert(spec.secrets(i).id()).second) {
      return errors::OptionInvalid(
          absl::StrCat(field, ".id"),
          "two secrets have this id, and BuildKit would use one of them; send "
          "one");
    }
    bytes += spec.secrets(i).value().size();
  }
  absl::flat_hash_set<std::string> hosts;
  for (int i = 0; i < spec.registry_auths_size(); ++i) {
    const std::string field = absl::StrCat("spec.registry_auths[", i, "]");
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckAuth(spec.registry_auths(i), field));
    if (!hosts.insert(DockerConfigKey(spec.registry_auths(i).host())).second) {
      return errors::OptionInvalid(
          absl::StrCat(field, ".host"),
          "two credentials are for this registry; send one");
    }
    bytes += spec.registry_auths(i).username().size() +
             spec.registry_auths(i).password().size();
  }
  if (bytes > limits::kMaxSecretBytesPerBuild) {
    return errors::OptionInvalid(
        spec.secrets_size() > 0 ? "spec.secrets" : "spec.registry_auths",
        absl::StrCat("all values and credentials together have ", bytes,
                     " bytes, and a build takes ",
                     limits::kMaxSecretBytesPerBuild,
                     "; send large secrets as files of the context"));
  }
  return absl::OkStatus();
}

std::vector<SecretFile> SecretFilesOf(const v1::BuildSpec& spec) {
  std::vector<SecretFile> files;
  files.reserve(static_cast<std::size_t>(spec.secrets_size()) + 1);
  for (int i = 0; i < spec.secrets_size(); ++i) {
    files.push_back({SecretFileName(i), spec.secrets(i).value()});
  }
  if (spec.registry_auths_size() > 0) {
    files.push_back(
        {absl::StrCat(kDockerFolder, "/config.json"), DockerConfig(spec)});
  }
  return files;
}

void AddSecretFiles(const v1::BuildSpec& spec, absl::string_view folder,
                    std::vector<WrittenFlag>& flags) {
  if (spec.secrets_size() == 0) return;
  auto flag = absl::c_find_if(flags, [](const WrittenFlag& written) {
    return written.name == "secret";
  });
  if (flag == flags.end()) {
    // Its place is behind the other parameters.
    flag = absl::c_find_if(flags, [](const WrittenFlag& written) {
      return !absl::c_linear_search(kBeforeSecrets, written.name);
    });
    flag = flags.insert(flag, {"secret", "spec.secrets", false, {}});
  }
  for (int i = 0; i < spec.secrets_size(); ++i) {
    flag->values.push_back(absl::StrCat(
        "id=", spec.secrets(i).id(), ",src=", folder, "/", SecretFileName(i)));
  }
}

std::vector<std::string> SecretEnvironment(const v1::BuildSpec& spec,
                                           absl::string_view folder) {
  if (spec.registry_auths_size() == 0) return {};
  return {absl::StrCat("DOCKER_CONFIG=", folder, "/", kDockerFolder)};
}

std::vector<std::string> RevealingTextsOf(const v1::BuildSpec& spec) {
  std::vector<absl::string_view> values;
  for (const v1::Secret& secret : spec.secrets()) {
    values.emplace_back(secret.value());
  }
  for (const v1::RegistryAuth& auth : spec.registry_auths()) {
    values.emplace_back(auth.password());
  }
  std::vector<std::string> texts = RevealingTexts(std::move(values));
  for (const v1::RegistryAuth& auth : spec.registry_auths()) {
    for (std::string& piece : RevealingPieces(UserAndPassword(auth))) {
      texts.push_back(std::move(piece));
    }
  }
  return texts;
}

std::vector<std::string> SecretWarnings(const v1::BuildSpec& spec) {
  std::vector<std::string> warnings;
  const auto check = [&warnings](absl::string_view what,
                                 absl::string_view value) {
    if (!IsTooShortToRedact(value)) return;
    warnings.push_back(
        absl::StrCat(what, " is shorter than ", limits::kMinRedactedBytes,
                     " bytes, and is not hidden where the build prints it."));
  };
  for (const v1::Secret& secret : spec.secrets()) {
    check(absl::StrCat("The secret \"", secret.id(), "\""), secret.value());
  }
  for (const v1::RegistryAuth& auth : spec.registry_auths()) {
    check(absl::StrCat("The password for ", auth.host()), auth.password());
  }
  return warnings;
}

v1::BuildSpec WithoutSecrets(v1::BuildSpec spec) {
  for (v1::Secret& secret : *spec.mutable_secrets()) secret.clear_value();
  for (v1::RegistryAuth& auth : *spec.mutable_registry_auths()) {
    auth.clear_password();
  }
  return spec;
}

}  // namespace containerbuilder::service
