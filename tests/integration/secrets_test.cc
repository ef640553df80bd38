// Secrets and credentials by value: they reach the build, and nothing else.

#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "integration/builds_fixture.h"
#include "support/calls.h"
#include "support/processes.h"
#include "support/status_matchers.h"

namespace containerbuilder {
namespace {

namespace fs = std::filesystem;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::ReadFile;
using ::containerbuilder::test_support::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kCanary[] = "canary-5d41402abc4b2a76";
constexpr char kPassword[] = "passport-b9719d911017c592";

// Files below `folder` in which `text` stands.
std::vector<std::string> FilesWith(const std::string& folder,
                                   const std::string& text) {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() &&
        absl::StrContains(ReadFile(entry.path()), text)) {
      found.push_back(entry.path());
    }
  }
  return found;
}

// Programs whose arguments or environment have it.
std::vector<std::string> ProgramsWith(const std::string& text) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    for (const char* name : {"cmdline", "environ"}) {
      const std::string path = absl::StrCat(entry.path().string(), "/", name);
      if (absl::StrContains(ReadFile(path), text)) found.push_back(path);
    }
  }
  return found;
}

class SecretsTest : public BuildsTest {
 protected:
  SecretsTest() {
    fs::create_directory(memory_);
    options_.secret_dir = memory_;
  }
  ~SecretsTest() override {
    Stop();
    fs::remove_all(memory_);
  }

  // Of services.
  std::vector<std::string> SecretFolders() const {
    std::vector<std::string> folders;
    for (const auto& entry : fs::directory_iterator(memory_)) {
      folders.push_back(entry.path());
    }
    return folders;
  }
  // Of builds.
  std::vector<std::string> SecretFiles() const {
    std::vector<std::string> files;
    for (const std::string& folder : SecretFolders()) {
      for (const auto& entry : fs::directory_iterator(folder)) {
        files.push_back(entry.path());
      }
    }
    return files;
  }

  static void AddSecrets(v1::BuildRequest& request) {
    v1::Secret& secret = *request.mutable_spec()->add_secrets();
    secret.set_id("token");
    secret.set_value(absl::StrCat(kCanary, "\n"));
    v1::RegistryAuth& auth = *request.mutable_spec()->add_registry_auths();
    auth.set_host("registry.example");
    auth.set_username("me");
    auth.set_password(kPassword);
  }

  // What the build printed, and its end.
  std::pair<std::string, v1::Build> Run(const v1::BuildRequest& request) {
    std::string output;
    v1::Build build;
    const auto call = api().Build(request);
    while (const auto event = call->Next()) {
      if (event->has_output()) {
        EXPECT_EQ(event->output().offset(),
                  static_cast<std::int64_t>(output.size()));
        output += event->output().data();
      }
      if (event->has_finished()) build = event->finished().build();
    }
    EXPECT_THAT(call->End(), IsOk());
    return {output, build};
  }

 private:
  // A place of this test alone: others run at the same time.
  const std::string memory_ =
      absl::StrCat("/dev/shm/containerbuilder-test-", getpid());
};

TEST_F(SecretsTest, ReachTheBuildByteForByte) {
  Start([](auto& options) { options.policy.allow_secrets_in_output = true; });
  v1::BuildRequest request = Request(
      "ctx",
      "secret stdout token\nsecret stdout zeros\ndocker-config stdout\n");
  AddSecrets(request);
  v1::Secret& zeros = *request.mutable_spec()->add_secrets();
  zeros.set_id("zeros");
  zeros.set_value(std::string("\0\xff\0", 3));
  request.mutable_policy()->set_keep_secrets_in_output(true);
  const auto [output, build] = Run(request);
  EXPECT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_THAT(output, testing::StartsWith(absl::StrCat(
                          kCanary, "\n", std::string("\0\xff\0", 3))));
  EXPECT_THAT(output,
              HasSubstr(absl::Base64Escape(absl::StrCat("me:", kPassword))));
}

TEST_F(SecretsTest, AreHiddenInTheOutput) {
  Start();
  v1::BuildRequest request =
      Request("ctx", "secret stdout token\ndocker-config stdout\nstdout \\n" +
                         absl::Base64Escape(kCanary) + "\\n\nstdout bye\\n\n");
  AddSecrets(request);
  const auto [output, build] = Run(request);
  EXPECT_EQ(output,
            "***\n{\"auths\":{\"registry.example\":{\"auth\":\"***\"}}}\n"
            "***\nbye\n");
  EXPECT_EQ(build.stdout_bytes(), static_cast<std::int64_t>(output.size()));
}

TEST_F(SecretsTest, AreHiddenAcrossChunksAndNothingElseIsHeldBack) {
  Start();
  v1::BuildRequest request =
      Request("ctx", absl::StrCat("stdout begin canary-5d41\nwait-file ",
                                  Gate("a"), "\nstdout 402abc4b2a76 end\n"));
  AddSecrets(request);
  const auto call = api().Build(request);
  std::string output;
  while (const auto event = call->Next()) {
    if (!event->has_output()) continue;
    output += event->output().data();
    if (output == "begin ") Open("a");
  }
  EXPECT_EQ(output, "begin *** end");
}

TEST_F(SecretsTest, AreHiddenInStepsAndInTheFailure) {
  Start();
  v1::BuildRequest request = Request(
      "ctx", absl::StrCat("stderr #5 [2/2] RUN echo ", kCanary, "\\n#5 0.1 ",
                          kCanary, "\\n#5 ERROR: process \"echo ", kCanary,
                          "\" did not complete successfully: exit "
                          "code: 3\\n\nexit 1\n"));
  AddSecrets(request);
  const auto call = api().Build(request);
  std::string all;
  bool step = false;
  while (const auto event = call->Next()) {
    all += event->SerializeAsString();
    step |= event->has_step();
  }
  EXPECT_TRUE(step);
  EXPECT_THAT(all, HasSubstr("***"));
  EXPECT_THAT(all, Not(HasSubstr(kCanary)));
}

TEST_F(SecretsTest, AreNowhereElse) {
  Start();
  v1::BuildRequest request = HeldRequest("g", "secret stderr token\nexit 3\n");
  AddSecrets(request);
  const std::string name = Create(request);
  AwaitReady("g");
  EXPECT_THAT(SecretFiles(), SizeIs(1));
  for (const char* secret : {kCanary, kPassword}) {
    EXPECT_THAT(ProgramsWith(secret), IsEmpty());
    EXPECT_THAT(FilesWith(options_.state_dir, secret), IsEmpty());
    EXPECT_THAT(Get(name).DebugString(), Not(HasSubstr(secret)));
  }
  EXPECT_EQ(Get(name).spec().secrets(0).id(), "token");
  Open("g");
  const v1::Build build = Await(name);
  EXPECT_EQ(build.exit_code(), 3);
  EXPECT_THAT(SecretFiles(), IsEmpty());
  for (const std::string& secret :
       {std::string(kCanary), std::string(kPassword),
        absl::Base64Escape(kCanary),
        absl::Base64Escape(absl::StrCat("me:", kPassword))}) {
    EXPECT_THAT(FilesWith(options_.state_dir, secret), IsEmpty());
    EXPECT_THAT(build.DebugString(), Not(HasSubstr(secret)));
  }
}

TEST_F(SecretsTest, GoWithACancelledBuild) {
  Start();
  v1::BuildRequest request = HeldRequest("g");
  AddSecrets(request);
  const std::string name = Create(request);
  AwaitReady("g");
  EXPECT_THAT(SecretFiles(), SizeIs(1));
  EXPECT_THAT(api().Cancel(name), IsOk());
  EXPECT_THAT(SecretFiles(), IsEmpty());
}

TEST_F(SecretsTest, WhatACrashLeftGoesWithTheNextStart) {
  Start();
  Stop();
  ASSERT_THAT(SecretFolders(), SizeIs(1));
  const std::string left = SecretFolders()[0] + "/01left";
  fs::create_directory(left);
  Start();
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(SecretsTest, AreLostWithTheServiceWhileTheyWait) {
  Start([](auto& options) { options.max_running_builds = 1; });
  Create(HeldRequest("g"));
  AwaitReady("g");
  v1::BuildRequest request = Request("ctx", "stdout never\n");
  AddSecrets(request);
  const std::string name = Create(request);
  Stop();
  EXPECT_THAT(FilesWith(options_.state_dir, kCanary), IsEmpty());
  Start();
  const v1::Build build = Get(name);
  EXPECT_EQ(build.state(), v1::Build::STATE_INTERRUPTED);
  EXPECT_EQ(build.failure().reason(), "SECRETS_LOST");
  EXPECT_TRUE(build.failure().retryable());
}

TEST_F(SecretsTest, TheSameRequestWithOtherValuesIsTheSame) {
  Start();
  v1::BuildRequest request = Request("ctx", "");
  AddSecrets(request);
  request.set_request_id("once");
  const std::string name = Create(request);
  request.mutable_spec()->mutable_secrets(0)->set_value("another");
  EXPECT_EQ(Create(request), name);
}

TEST_F(SecretsTest, TellsOfThoseThatCannotBeHidden) {
  Start();
  v1::BuildRequest request = Request("ctx", "secret stdout pin\n");
  v1::Secret& secret = *request.mutable_spec()->add_secrets();
  secret.set_id("pin");
  secret.set_value("1234");
  const auto call = api().Build(request);
  std::vector<std::string> warnings;
  while (const auto event = call->Next()) {
    if (!event->has_started()) continue;
    warnings.assign(event->started().warnings().begin(),
                    event->started().warnings().end());
  }
  EXPECT_THAT(warnings, testing::ElementsAre(HasSubstr("\"pin\" is shorter")));
}

TEST_F(SecretsTest, StayInTheOutputOnlyWhereTheOperatorAllowsIt) {
  Start();
  v1::BuildRequest request = Request("ctx", "");
  AddSecrets(request);
  request.mutable_policy()->set_keep_secrets_in_output(true);
  EXPECT_THAT(api().Create(request).status(),
              AllOf(HasReason("OPTION_NOT_ALLOWED"),
                    StatusIs(absl::StatusCode::kPermissionDenied,
                             HasSubstr("--allow_secrets_in_output"))));
}

TEST_F(SecretsTest, NoStartWithoutTheFolderThatTheOperatorNamed) {
  options_.secret_dir = "/proc";
  EXPECT_THAT(service::Server::Create(options_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("--secret_dir: /proc is no folder in")));
  options_.secret_dir = "/dev/shm,x";
  EXPECT_THAT(service::Server::Create(options_).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("--secret_dir: ")));
}

TEST_F(SecretsTest, LoginsOfTheServiceAreForTrustedCallersUnlessShared) {
  const auto dump = [this](const std::string& name) {
    return Request(
        name, absl::StrCat("dump-env ", folder_.Path(name + ".env"), "\n"));
  };
  const auto environment_of = [&](test_support::Api& caller,
                                  const std::string& name) {
    const auto build = caller.Create(dump(name));
    EXPECT_THAT(build, IsOk());
    EXPECT_THAT(caller.Await(build->name()), IsOk());
    return ReadFile(folder_.Path(name + ".env"));
  };
  Start();
  EXPECT_THAT(environment_of(api(), "trusted"),
              Not(HasSubstr("DOCKER_CONFIG")));
  EXPECT_THAT(environment_of(anonymous(), "untrusted"),
              HasSubstr(absl::StrCat("DOCKER_CONFIG=", options_.state_dir)));
  Stop();
  Start([](auto& options) { options.share_registry_logins = true; });
  EXPECT_THAT(environment_of(anonymous(), "shared"),
              Not(HasSubstr("DOCKER_CONFIG")));
}

}  // namespace
}  // namespace containerbuilder
