#include "build/secrets.h"

#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "secrets/redactor.h"
#include "support/status_matchers.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void AddSecret(v1::BuildSpec& spec, const std::string& id,
               const std::string& value) {
  v1::Secret& secret = *spec.add_secrets();
  secret.set_id(id);
  secret.set_value(value);
}

void AddAuth(v1::BuildSpec& spec, const std::string& host,
             const std::string& username, const std::string& password) {
  v1::RegistryAuth& auth = *spec.add_registry_auths();
  auth.set_host(host);
  auth.set_username(username);
  auth.set_password(password);
}

auto RefusedFor(const std::string& field) {
  return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field));
}

TEST(SecretsTest, IdsAreNames) {
  for (const char* id : {"a", "Id_1.x-y", "npmrc"}) {
    v1::BuildSpec spec;
    AddSecret(spec, id, "v");
    EXPECT_THAT(CheckSecrets(spec), IsOk()) << id;
  }
  for (const std::string& id :
       {std::string(), std::string("a,src=/etc/shadow"), std::string("a=b"),
        std::string("/etc/hostname"), std::string("a\"b"), std::string("a b"),
        std::string("a\nb"), std::string("\0", 1), std::string(65, 'a')}) {
    v1::BuildSpec spec;
    AddSecret(spec, "fine", "v");
    AddSecret(spec, id, "v");
    EXPECT_THAT(CheckSecrets(spec), RefusedFor("spec.secrets[1].id")) << id;
  }
}

TEST(SecretsTest, Bounds) {
  v1::BuildSpec spec;
  AddSecret(spec, "a", std::string(500 * 1024, 'x'));
  EXPECT_THAT(CheckSecrets(spec), IsOk());
  AddSecret(spec, "b", std::string(500 * 1024 + 1, 'x'));
  EXPECT_THAT(CheckSecrets(spec), RefusedFor("spec.secrets[1].value"));

  spec.Clear();
  for (int i = 0; i < 5; ++i) {
    AddSecret(spec, absl::StrCat(i), std::string(450 * 1024, 'x'));
  }
  EXPECT_THAT(CheckSecrets(spec), RefusedFor("spec.secrets: "));

  spec.Clear();
  for (int i = 0; i < 33; ++i) {
    AddAuth(spec, absl::StrCat("r", i), "me", std::string(64 * 1024 - 2, 'x'));
    EXPECT_EQ(CheckSecrets(spec).ok(), i < 32) << i;
  }
  EXPECT_THAT(CheckSecrets(spec), RefusedFor("spec.registry_auths: "));

  spec.Clear();
  for (int i = 0; i < 101; ++i) AddSecret(spec, absl::StrCat(i), "v");
  EXPECT_THAT(CheckSecrets(spec), RefusedFor("at most 100"));
}

// limits::kMaxSecretBytesPerBuild says how much memory that is.
TEST(SecretsTest, WhatHidesThemIsBounded) {
  std::mt19937 random(20261129);
  const auto noise = [&random](std::size_t size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) {
      // Passwords have no control characters.
      byte = static_cast<char>(' ' + random() % 95);
    }
    return bytes;
  };
  const auto nodes_per_byte = [](const v1::BuildSpec& spec) {
    EXPECT_THAT(CheckSecrets(spec), IsOk());
    return static_cast<double>(PatternSet(RevealingTextsOf(spec)).size()) /
           static_cast<double>(limits::kMaxSecretBytesPerBuild);
  };
  v1::BuildSpec many;
  for (int i = 0; i < 32; ++i) {
    AddSecret(many, absl::StrCat(i), noise(64 * 1024));
  }
  EXPECT_LT(nodes_per_byte(many), 3);

  v1::BuildSpec lines;
  for (int i = 0; i < 32; ++i) {
    std::string text;
    while (text.size() < 64 * 1024 - 7) absl::StrAppend(&text, noise(6), "\n");
    AddSecret(lines, absl::StrCat(i), text);
  }
  EXPECT_LT(nodes_per_byte(lines), 3.7);

  v1::BuildSpec auths;
  for (int i = 0; i < 100; ++i) {
    AddAuth(auths, absl::StrCat("r", i), "me", noise(20 * 1024));
  }
  EXPECT_LT(nodes_per_byte(auths), 4.5);
}

// limits::kMaxAlignedRedactionBytes says how much memory that is; a node takes
// 14 bytes.
TEST(SecretsTest, WhatHidesTheShortestIsBounded) {
  const auto nodes_per_byte = [](const v1::BuildSpec& spec) {
    return static_cast<double>(PatternSet(RevealingTextsOf(spec)).size()) /
           static_cast<double>(limits::kMaxAlignedRedactionBytes);
  };
  std::mt19937 random(20261129);
  v1::BuildSpec lines;
  v1::BuildSpec auths;
  for (int i = 0; i < 32; ++i) {
    std::string noise(2048, '\0');
    for (char& byte : noise) byte = static_cast<char>(' ' + random() % 95);
    AddAuth(auths, absl::StrCat("r", i), "me", noise);
    for (std::size_t at = 64; at < noise.size(); at += 64) noise[at] = '\n';
    AddSecret(lines, absl::StrCat(i), noise);
  }
  EXPECT_LT(nodes_per_byte(lines), 150 / 14.0);
  EXPECT_LT(nodes_per_byte(auths), 150 / 14.0);
}

// As in Docker's configuration, and as `base64` prints it.
TEST(SecretsTest, UserAndPasswordAreHidden) {
  v1::BuildSpec spec;
  const std::string password =
      "correct horse battery staple, and more words than fit into a line";
  AddAuth(spec, "r", "me", password);
  const auto patterns = std::make_shared<PatternSet>(RevealingTextsOf(spec));
  const auto shown = [&patterns](const std::string& output) {
    Redactor redactor(patterns);
    const std::string first = redactor.Feed(output);
    return first + redactor.Finish();
  };
  std::string encoded = absl::Base64Escape("me:" + password);
  EXPECT_EQ(shown("\"" + encoded + "\""), "\"***\"");
  encoded.insert(76, "\n");
  EXPECT_EQ(shown(encoded), "***\n***");
}

TEST(SecretsTest, NoTwoOfOneName) {
  v1::BuildSpec spec;
  AddSecret(spec, "a", "1");
  AddSecret(spec, "a", "2");
  EXPECT_THAT(CheckSecrets(spec), RefusedFor("spec.secrets[1].id"));
  spec.Clear();
  AddAuth(spec, "docker.io", "u", "p");
  AddAuth(spec, "index.docker.io", "u", "p");
  EXPECT_THAT(CheckSecrets(spec), RefusedFor("spec.registry_auths[1].host"));
}

TEST(SecretsTest, Credentials) {
  const auto check = [](const std::string& host, const std::string& username,
                        const std::string& password) {
    v1::BuildSpec spec;
    AddAuth(spec, host, username, password);
    return CheckSecrets(spec);
  };
  EXPECT_THAT(check("registry.example:5000", "me", "p"), IsOk());
  EXPECT_THAT(check("[::1]:5000", "me", "p:q"), IsOk());
  for (const char* host :
       {"", "https://registry.example", "registry.example/x", "a b", "-x"}) {
    EXPECT_THAT(check(host, "me", "p"),
                RefusedFor("spec.registry_auths[0].host"))
        << host;
  }
  EXPECT_THAT(check("r", "", "p"), RefusedFor("registry_auths[0].username"));
  EXPECT_THAT(check("r", "a:b", "p"), RefusedFor("registry_auths[0].username"));
  EXPECT_THAT(check("r", "a\n", "p"), RefusedFor("registry_auths[0].username"));
  EXPECT_THAT(check("r", "u", ""), RefusedFor("registry_auths[0].password"));
  EXPECT_THAT(check("r", "u", "a\nb"),
              RefusedFor("registry_auths[0].password"));
  EXPECT_THAT(check("r", "u", std::string(64 * 1024, 'x')),
              RefusedFor("registry_auths[0].password"));
}

TEST(SecretsTest, FilesThatNerdctlIsToldOf) {
  v1::BuildSpec spec;
  AddSecret(spec, "a", "1");
  AddSecret(spec, "b", "2");
  const auto files = SecretFilesOf(spec);
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[1].name, "secret-1");
  EXPECT_EQ(files[1].content, "2");

  std::vector<WrittenFlag> flags = {{"build-arg", "", false, {"A=1"}},
                                    {"no-cache", "", true, {}}};
  AddSecretFiles(spec, "/run/x", flags);
  EXPECT_THAT(
      Arguments(flags, ""),
      ElementsAre("--build-arg", "A=1", "--secret", "id=a,src=/run/x/secret-0",
                  "--secret", "id=b,src=/run/x/secret-1", "--no-cache", "."));
}

TEST(SecretsTest, BesideThoseOfTheServer) {
  v1::BuildSpec spec;
  AddSecret(spec, "a", "1");
  std::vector<WrittenFlag> flags = {{"secret", "", false, {"id=s,src=/s"}},
                                    {"tag", "", false, {"t"}}};
  AddSecretFiles(spec, "/run/x", flags);
  EXPECT_THAT(Arguments(flags, ""),
              ElementsAre("--secret", "id=s,src=/s", "--secret",
                          "id=a,src=/run/x/secret-0", "--tag", "t", "."));
}

TEST(SecretsTest, DockersConfiguration) {
  v1::BuildSpec spec;
  EXPECT_THAT(SecretEnvironment(spec, "/run/x"), IsEmpty());
  AddAuth(spec, "docker.io", "me", "p");
  AddAuth(spec, "r.example:5000", "you", "\"q\\");
  EXPECT_THAT(SecretEnvironment(spec, "/run/x"),
              ElementsAre("DOCKER_CONFIG=/run/x/docker"));
  const auto files = SecretFilesOf(spec);
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].name, "docker/config.json");
  google::protobuf::Struct config;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(files[0].content, &config)
          .ok());
  const auto& auths = config.fields().at("auths").struct_value().fields();
  const auto auth = [&auths](const std::string& key) {
    return auths.at(key).struct_value().fields().at("auth").string_value();
  };
  EXPECT_EQ(auth("https://index.docker.io/v1/"), absl::Base64Escape("me:p"));
  EXPECT_EQ(auth("r.example:5000"), absl::Base64Escape("you:\"q\\"));
}

TEST(SecretsTest, TellsWhatIsTooShortToHide) {
  v1::BuildSpec spec;
  AddSecret(spec, "pin", "1234");
  AddSecret(spec, "token", "123456789");
  AddAuth(spec, "r.example", "me", "pw");
  EXPECT_THAT(SecretWarnings(spec),
              ElementsAre(HasSubstr("\"pin\""), HasSubstr("r.example")));
}

TEST(SecretsTest, NothingIsLeftOfTheValues) {
  v1::BuildSpec spec;
  AddSecret(spec, "a", "canary-1");
  AddAuth(spec, "r", "u", "canary-2");
  const std::string bytes = WithoutSecrets(spec).SerializeAsString();
  EXPECT_THAT(bytes, testing::Not(HasSubstr("canary")));
  EXPECT_EQ(WithoutSecrets(spec).secrets(0).id(), "a");
  EXPECT_EQ(WithoutSecrets(spec).registry_auths(0).username(), "u");
}

}  // namespace
}  // namespace containerbuilder::service
