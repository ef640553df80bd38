// What an upload takes along by value.

#include <map>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "docker_config.h"
#include "dockerfile.h"
#include "gmock/gmock.h"
#include "output_places.h"
#include "secret_values.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::cli {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class BuildInputTest : public testing::Test {
 protected:
  Surroundings Here() const {
    return {folder_.path(),
            [this](const std::string& name) -> std::optional<std::string> {
              const auto found = environment_.find(name);
              if (found == environment_.end()) return std::nullopt;
              return found->second;
            }};
  }

  // `id=value` of each secret.
  std::vector<std::string> Secrets(const std::vector<std::string>& values) {
    v1::BuildSpec spec;
    for (const std::string& value : values) {
      const absl::Status status = AddSecret(value, Here(), spec);
      EXPECT_THAT(status, IsOk());
    }
    std::vector<std::string> result;
    for (const v1::Secret& secret : spec.secrets()) {
      result.push_back(absl::StrCat(secret.id(), "=", secret.value()));
    }
    return result;
  }

  absl::Status SecretError(const std::string& value) {
    v1::BuildSpec spec;
    return AddSecret(value, Here(), spec);
  }

  // `host user:password` of each.
  std::vector<std::string> Logins(const std::string& config,
                                  const std::vector<std::string>& texts,
                                  const std::string& dockerfile) {
    environment_["DOCKER_CONFIG"] = folder_.Path("docker");
    folder_.WriteFile("docker/config.json", config);
    warnings_.clear();
    std::vector<std::string> result;
    for (const v1::RegistryAuth& auth : ReadDockerCredentials(
             UsedRegistries(texts, dockerfile), Here(),
             [this](const std::string&name, const std::string&action,
                    const std::string&input) -> absl::StatusOr<std::string> {
               const std::string call = absl::StrCat(name, " ", action, input);
               calls_.push_back(call);
               const auto found = helpers_.find(call);
               if (found == helpers_.end()) return absl::NotFoundError("none");
               return found->second;
             },
             warnings_)) {
      result.push_back(absl::StrCat(auth.host(), " ", auth.username(), ":",
                                    auth.password()));
    }
    return result;
  }

  const TempDir folder_;
  std::map<std::string, std::string> environment_;
  std::map<std::string, std::string> helpers_;
  std::vector<std::string> calls_;
  std::vector<std::string> warnings_;
};

TEST_F(BuildInputTest, SecretsAreReadAsBuildctlReadsThem) {
  folder_.WriteFile("file", "from a file\n");
  environment_ = {{"NAME", "from a variable"}, {"both", "variable first"}};
  folder_.WriteFile("both", "a file");
  EXPECT_THAT(
      Secrets({"id=a,src=file", "ID=b,source=file", "id=c,env=NAME",
               "type=env,id=d,src=NAME", "id=both", "id=file", "id=e,env=NONE",
               "\"id=f\",\"src=file\"", "id=a,env=NAME"}),
      ElementsAre("a=from a variable", "b=from a file\n", "c=from a variable",
                  "d=from a variable", "both=variable first",
                  "file=from a file\n", "e=", "f=from a file\n"));
}

TEST_F(BuildInputTest, SecretsThatAreNone) {
  for (const char* value :
       {"", "a", "src=file", "id=a,what=b", "id=\"a", "id=a,type=tpm"}) {
    EXPECT_THAT(SecretError(value), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("--secret")));
  }
  EXPECT_THAT(SecretError("id=a,src=none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  folder_.WriteFile("large", std::string(512001, 'x'));
  EXPECT_THAT(SecretError("id=a,src=large"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(BuildInputTest, TheDockerfileIsTheOneThatNerdctlTakes) {
  folder_.WriteFile("c/Containerfile", "FROM container");
  auto read = ReadDockerfile("", folder_.Path("c"));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->text, "FROM container");
  EXPECT_FALSE(read->dockerignore);
  folder_.WriteFile("c/Dockerfile", "FROM docker");
  folder_.WriteFile("c/Dockerfile.dockerignore", "");
  read = ReadDockerfile("", folder_.Path("c"));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->text, "FROM docker");
  EXPECT_EQ(read->dockerignore, "");
  folder_.WriteFile("latin1", "FROM x # \xe9");
  EXPECT_THAT(
      ReadDockerfile(folder_.Path("latin1"), ""),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not UTF-8")));
  folder_.WriteFile("large", std::string(1024 * 1024 + 1, '#'));
  EXPECT_THAT(ReadDockerfile(folder_.Path("large"), ""),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("more than 1048576 bytes")));
  folder_.WriteFile("empty", "");
  EXPECT_THAT(
      ReadDockerfile(folder_.Path("empty"), ""),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is empty")));
}

TEST_F(BuildInputTest, OutputsThatComeBack) {
  for (const auto& [given, sent, comes_back] :
       std::vector<std::tuple<std::string, std::string, bool>>{
           {"out", "out", true},
           {"-", "type=tar,dest=-", true},
           {"type=tar", "type=tar", true},
           {"type=oci,dest=x.tar", "type=oci,dest=x.tar", true},
           {"type=docker", "type=docker", false},
           {"type=image,push=true", "type=image,push=true", false}}) {
    OutputPlaces places;
    EXPECT_EQ(places.SetOutput("/here", given), sent);
    EXPECT_EQ(!places.empty(), comes_back) << given;
  }
}

std::string Auth(const std::string& login) {
  return absl::StrCat(R"({"auth":")", absl::Base64Escape(login), R"("})");
}

TEST_F(BuildInputTest, OnlyLoginsOfRegistriesThatTheBuildNames) {
  const std::string config = absl::StrCat(
      R"({"auths":{"https://index.docker.io/v1/":)", Auth("hub:a:b"),
      R"(,"a.test:5000":)", Auth("a:1"), R"(,"https://b.test/v2/":)",
      Auth("b:2"), R"(,"c.test":{"auth":"","identitytoken":"t"}}})");
  EXPECT_THAT(Logins(config, {}, "FROM scratch\n"), IsEmpty());
  EXPECT_THAT(Logins(config, {}, "FROM alpine\n"),
              ElementsAre("docker.io hub:a:b"));
  EXPECT_THAT(Logins(config, {}, "FROM a.test:5000/x AS y\nFROM y\n"),
              ElementsAre("a.test:5000 a:1"));
  EXPECT_THAT(Logins(config, {"b.test/app:1"}, "FROM scratch\n"),
              ElementsAre("b.test b:2"));
  EXPECT_THAT(Logins(config, {"app", "type=image,push=true"}, "FROM scratch\n"),
              ElementsAre("docker.io hub:a:b"));
  // A part of another's name is not it.
  EXPECT_THAT(Logins(config, {"bb.test/app", "a.b.test/x", "b.test1/x"},
                     "FROM scratch\nADD https://xb.test/ /\n"),
              IsEmpty());
  EXPECT_THAT(warnings_, IsEmpty());
  EXPECT_THAT(Logins(config, {"c.test/x"}, "FROM scratch\n"), IsEmpty());
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("identity token")));
}

TEST_F(BuildInputTest, ALoginThatTheServiceWouldRefuseIsLeftOut) {
  EXPECT_THAT(
      Logins(absl::StrCat(R"({"auths":{"a.test":)", Auth("user:"), "}}"), {},
             "FROM a.test/x\n"),
      IsEmpty());
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("a.test has no user name or")));
}

TEST_F(BuildInputTest, HelpersAreAskedForNoOthers) {
  helpers_ = {
      {"store list", R"({"https://index.docker.io/v1/":"hub","a.test":"a"})"},
      {"store geta.test", R"({"Username":"a","Secret":"1"})"},
      {"own getb.test", R"({"Username":"b","Secret":"2"})"}};
  const std::string config =
      R"({"credsStore":"store","credHelpers":{"b.test":"own","c.test":"own"},
          "auths":{"a.test":{}}})";
  EXPECT_THAT(Logins(config, {}, "FROM a.test/x\nFROM b.test/y\n"),
              ElementsAre("a.test a:1", "b.test b:2"));
  EXPECT_THAT(calls_,
              ElementsAre("own getb.test", "store list", "store geta.test"));
  EXPECT_THAT(Logins("no json", {}, "FROM x\n"), IsEmpty());
  EXPECT_THAT(warnings_, SizeIs(1));
}

TEST_F(BuildInputTest, AHelperIsAProgramOnThePath) {
  folder_.WriteFile("docker-credential-echo",
                    "#!/bin/sh\nread host\necho \"$1 $host\"\n", 0755);
  folder_.WriteFile("docker-credential-fails", "#!/bin/sh\nexit 1\n", 0755);
  const std::string before = std::getenv("PATH");
  ::setenv("PATH", absl::StrCat(folder_.path(), ":", before).c_str(), 1);
  const auto answer = RunCredentialHelper("echo", "get", "a.test\n");
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(*answer, "get a.test\n");
  EXPECT_THAT(RunCredentialHelper("fails", "get", "a"), Not(IsOk()));
  EXPECT_THAT(RunCredentialHelper("missing", "get", "a"), Not(IsOk()));
  EXPECT_THAT(RunCredentialHelper("../x", "get", "a"), Not(IsOk()));
  ::setenv("PATH", before.c_str(), 1);
}

}  // namespace
}  // namespace containerbuilder::cli
