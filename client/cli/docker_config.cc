#include "docker_config.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "local_files.h"

namespace containerbuilder::cli {
namespace {

using google::protobuf::Struct;

constexpr std::size_t kMaxConfig = 1024 * 1024;
constexpr char kDockerHub[] = "docker.io";
// The name that helpers give to a token in place of a password.
constexpr char kTokenUser[] = "<token>";

std::optional<Struct> ParseJson(const std::string& text) {
  Struct parsed;
  if (!google::protobuf::util::JsonStringToMessage(text, &parsed).ok()) {
    return std::nullopt;
  }
  return parsed;
}

const Struct* Object(const Struct& in, const std::string& name) {
  const auto found = in.fields().find(name);
  return found == in.fields().end() || !found->second.has_struct_value()
             ? nullptr
             : &found->second.struct_value();
}

std::string Text(const Struct& in, const std::string& name) {
  const auto found = in.fields().find(name);
  return found == in.fields().end() ? "" : found->second.string_value();
}

// The host of a key such as `https://index.docker.io/v1/`.
std::string HostOf(absl::string_view key) {
  if (!absl::ConsumePrefix(&key, "https://")) {
    absl::ConsumePrefix(&key, "http://");
  }
  const std::string host(key.substr(0, key.find('/')));
  return host == "index.docker.io" || host == "registry-1.docker.io"
             ? kDockerHub
             : host;
}

// Whether an image is Docker Hub's: what is before its first slash is no host.
bool IsOnDockerHub(const std::string& image) {
  const std::string first = image.substr(0, image.find('/'));
  return first.size() == image.size() ||
         (first.find_first_of(".:$") == std::string::npos &&
          first != "localhost");
}

// Whether a Dockerfile begins with an image of Docker Hub's anywhere. What is
// not known, such as an image in a variable, may be.
bool UsesDockerHub(const std::string& dockerfile) {
  std::istringstream lines(dockerfile);
  std::map<std::string, bool, std::less<>> stages;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (!absl::EqualsIgnoreCase(word, "FROM")) continue;
    while (words >> word && word.starts_with("--")) {
    }
    const std::string image = word;
    if (image != "scratch" && stages.count(absl::AsciiStrToLower(image)) == 0 &&
        IsOnDockerHub(image)) {
      return true;
    }
    if (words >> word && absl::EqualsIgnoreCase(word, "AS") && words >> word) {
      stages[absl::AsciiStrToLower(word)] = true;
    }
  }
  return false;
}

// Whether the host stands in the text, and not as a part of another's name.
bool NamesHost(absl::string_view text, absl::string_view host) {
  const auto goes_on = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-';
  };
  for (std::size_t at = text.find(host); at != absl::string_view::npos;
       at = text.find(host, at + 1)) {
    const std::size_t end = at + host.size();
    const bool begins =
        at == 0 || (!goes_on(text[at - 1]) && text[at - 1] != '.');
    if (begins && (end == text.size() || !goes_on(text[end]))) return true;
  }
  return false;
}

struct Login {
  std::string username;
  std::string password;
};

// `auth`, else `username` and `password`.
std::optional<Login> InlineLogin(const Struct& entry) {
  std::string decoded;
  if (absl::Base64Unescape(Text(entry, "auth"), &decoded)) {
    const std::size_t colon = decoded.find(':');
    if (colon != std::string::npos) {
      std::string password = decoded.substr(colon + 1);
      // Docker itself drops them.
      while (password.ends_with('\0')) password.pop_back();
      return Login{decoded.substr(0, colon), password};
    }
  }
  if (Text(entry, "username").empty()) return std::nullopt;
  return Login{Text(entry, "username"), Text(entry, "password")};
}

class Reader {
 public:
  Reader(const UsedRegistries& used, const CredentialHelper& helper,
         std::vector<std::string>& warnings)
      : used_(used), helper_(helper), warnings_(warnings) {}

  std::vector<v1::RegistryAuth> Read(const Struct& config) {
    if (const Struct* helpers = Object(config, "credHelpers")) {
      for (const auto& [key, name] : helpers->fields()) {
        AskHelper(name.string_value(), key);
      }
    }
    if (const std::string store = Text(config, "credsStore"); !store.empty()) {
      ListStore(store);
    }
    if (const Struct* auths = Object(config, "auths")) {
      for (const auto& [key, entry] : auths->fields()) {
        const std::string host = HostOf(key);
        if (!used_.Has(host) || found_.contains(host)) continue;
        if (!Text(entry.struct_value(), "identitytoken").empty()) {
          WarnOfToken(host);
          continue;
        }
        // Empty where the login is in a store.
        if (const auto login = InlineLogin(entry.struct_value())) {
          found_[host] = *login;
        }
      }
    }
    std::vector<v1::RegistryAuth> result;
    for (const auto& [host, login] : found_) {
      if (login.username.empty() || login.password.empty()) {
        warnings_.push_back(
            absl::StrCat("the login of ", host,
                         " has no user name or no password, and is not sent"));
        continue;
      }
      v1::RegistryAuth& auth = result.emplace_back();
      auth.set_host(host);
      auth.set_username(login.username);
      auth.set_password(login.password);
    }
    return result;
  }

 private:
  void WarnOfToken(const std::string& host) {
    warnings_.push_back(absl::StrCat(
        "the login of ", host,
        " is an identity token, which cannot be sent; log in with a password"));
  }

  void ListStore(const std::string& store) {
    const auto list = helper_(store, "list", "");
    const auto parsed = list.ok() ? ParseJson(*list) : std::nullopt;
    if (!parsed) {
      warnings_.push_back(absl::StrCat(
          "docker-credential-", store, " does not list its logins",
          list.ok() ? "" : absl::StrCat(": ", list.status().message())));
      return;
    }
    for (const auto& [key, user] : parsed->fields()) AskHelper(store, key);
  }

  void AskHelper(const std::string& name, const std::string& key) {
    const std::string host = HostOf(key);
    if (!used_.Has(host) || found_.contains(host)) return;
    const auto answer = helper_(name, "get", key);
    const auto parsed = answer.ok() ? ParseJson(*answer) : std::nullopt;
    if (!parsed) {
      warnings_.push_back(
          absl::StrCat("docker-credential-", name, " has no login of ", host));
      return;
    }
    const Login login = {Text(*parsed, "Username"), Text(*parsed, "Secret")};
    if (login.username == kTokenUser) {
      WarnOfToken(host);
    } else if (!login.username.empty()) {
      found_[host] = login;
    }
  }

  const UsedRegistries& used_;
  const CredentialHelper& helper_;
  std::vector<std::string>& warnings_;
  std::map<std::string, Login> found_;  // by host
};

}  // namespace

UsedRegistries::UsedRegistries(std::vector<std::string> texts,
                               const std::string& dockerfile)
    : texts_(std::move(texts)), uses_docker_hub_(UsesDockerHub(dockerfile)) {
  for (const std::string& text : texts_) {
    // An image without a host that is pushed.
    uses_docker_hub_ |= absl::StrContains(text, "push=true");
  }
  texts_.push_back(dockerfile);
}

bool UsedRegistries::Has(absl::string_view host) const {
  if (host.empty()) return false;
  if (host == kDockerHub && uses_docker_hub_) return true;
  return std::any_of(
      texts_.begin(), texts_.end(),
      [host](const std::string& text) { return NamesHost(text, host); });
}

std::vector<v1::RegistryAuth> ReadDockerCredentials(
    const UsedRegistries& used, const Surroundings& surroundings,
    const CredentialHelper& helper, std::vector<std::string>& warnings) {
  std::string folder = surroundings.environment("DOCKER_CONFIG").value_or("");
  if (folder.empty()) {
    folder =
        absl::StrCat(surroundings.environment("HOME").value_or(""), "/.docker");
  }
  const std::string path = absl::StrCat(folder, "/config.json");
  const auto text = ReadLocalFile(path, "Docker's configuration", kMaxConfig);
  if (absl::IsNotFound(text.status())) return {};
  const auto config = text.ok() ? ParseJson(*text) : std::nullopt;
  if (!config) {
    warnings.push_back(
        absl::StrCat(path, " cannot be read; no logins are sent"));
    return {};
  }
  return Reader(used, helper, warnings).Read(*config);
}

}  // namespace containerbuilder::cli
