// Secrets and credentials by value: they reach the build, and nothing else.

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "integration/builds_fixture.h"
#include "spdlog/logger.h"
#include "spdlog/sinks/ostream_sink.h"
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

// The ways in which programs write it.
std::vector<std::string> Spellings(const std::string& secret) {
  std::string for_urls;
  for (const char c : secret) {
    absl::StrAppend(
        &for_urls,
        absl::ascii_isalnum(c)
            ? std::string(1, c)
            : absl::StrCat(
                  "%", absl::AsciiStrToUpper(absl::BytesToHexString({&c, 1}))));
  }
  return {secret, absl::Base64Escape(secret), absl::WebSafeBase64Escape(secret),
          absl::BytesToHexString(secret), for_urls};
}

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
    return Run(request, api());
  }
  static std::pair<std::string, v1::Build> Run(const v1::BuildRequest& request,
                                               test_support::Api& caller) {
    std::string output;
    v1::Build build;
    const auto call = caller.Build(request);
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
  std::ostringstream log;
  options_.logger = std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log));
  options_.logger->set_level(spdlog::level::trace);
  options_.max_running_builds = 1;
  options_.nerdctl = folder_.Path("nerdctl");
  fs::copy_file(FAKE_NERDCTL, options_.nerdctl);
  Start();
  const std::string canary = "canary/5d41402abc4b2a76";
  const std::string password = "passport?b9719d911017c592";
  const auto add_secrets = [&](v1::BuildRequest& request) {
    AddSecrets(request);
    request.mutable_spec()->mutable_secrets(0)->set_value(canary);
    request.mutable_spec()->mutable_registry_auths(0)->set_password(password);
  };
  std::vector<std::string> hidden = Spellings(canary);
  for (const std::string& text : {password, "me:" + password}) {
    for (std::string& spelling : Spellings(text)) {
      hidden.push_back(std::move(spelling));
    }
  }
  // With what callers are answered.
  const auto expect_nowhere = [&](const std::string& answer) {
    for (const std::string& text : hidden) {
      EXPECT_THAT(ProgramsWith(text), IsEmpty());
      EXPECT_THAT(FilesWith(options_.state_dir, text), IsEmpty());
      EXPECT_THAT(answer, Not(HasSubstr(text)));
    }
  };
  const auto answers = [&](const std::string& name) {
    std::string text = Get(name).SerializeAsString();
    if (const auto list = api().List(); list.ok()) {
      absl::StrAppend(&text, list->SerializeAsString());
    }
    return text;
  };

  v1::BuildRequest request =
      HeldRequest("g", "secret stderr token\ndocker-config stderr\nexit 3\n");
  add_secrets(request);
  const std::string name = Create(request);
  AwaitReady("g");
  EXPECT_THAT(SecretFiles(), SizeIs(1));
  EXPECT_EQ(Get(name).spec().secrets(0).id(), "token");
  expect_nowhere(answers(name));

  // Refused, each with its secrets.
  v1::BuildRequest bad = request;
  bad.mutable_spec()->mutable_secrets(0)->set_id("a b");
  expect_nowhere(api().Create(bad).status().ToString());
  bad = request;
  bad.mutable_spec()->mutable_registry_auths(0)->set_password(password + "\n");
  expect_nowhere(api().Create(bad).status().ToString());
  bad = request;
  bad.mutable_spec()->mutable_secrets(0)->set_value(
      absl::StrCat(canary, std::string(500 * 1024, 'x')));
  expect_nowhere(api().Create(bad).status().ToString());

  // Cannot be started, when its turn comes.
  v1::BuildRequest next = Request("next", "");
  add_secrets(next);
  const std::string failed = Create(next);
  fs::remove(options_.nerdctl);
  Open("g");
  EXPECT_EQ(Await(name).exit_code(), 3);
  EXPECT_EQ(Await(failed).failure().reason(), "SPAWN_FAILED");
  EXPECT_THAT(SecretFiles(), IsEmpty());
  expect_nowhere(answers(name) + answers(failed));
  Stop();
  EXPECT_THAT(log.str(), HasSubstr(failed));
  expect_nowhere(log.str());
}

// Whatever the operator's roots are.
TEST_F(SecretsTest, AreNoContextOfAStranger) {
  Start([](auto& options) {
    options.policy.read_roots.push_back(options.secret_dir);
  });
  v1::BuildRequest request = HeldRequest("g");
  AddSecrets(request);
  const std::string name = Create(request);
  AwaitReady("g");
  ASSERT_THAT(SecretFiles(), SizeIs(1));
  for (const std::string& context :
       {options_.secret_dir, SecretFolders()[0], SecretFiles()[0]}) {
    v1::BuildRequest theirs;
    theirs.mutable_spec()->mutable_options()->set_context_path(context);
    EXPECT_THAT(anonymous().Create(theirs).status(),
                HasReason("PATH_NOT_ALLOWED"))
        << context;
  }
  Open("g");
  EXPECT_EQ(Await(name).state(), v1::Build::STATE_SUCCEEDED);
}

// A proxy's password, and a variable that is called what it is.
TEST_F(SecretsTest, OfTheEnvironmentAreNowhereElse) {
  Start([](auto& options) {
    options.policy.allowed_environment = {"HTTPS_PROXY", "PASSWORD"};
  });
  v1::BuildRequest request =
      Request("ctx", absl::StrCat("dump-env ", folder_.Path("env"), "\n"));
  auto& environment = *request.mutable_spec()->mutable_environment();
  const std::string proxy =
      absl::StrCat("http://me:", kPassword, "@proxy.example:3128");
  environment["HTTPS_PROXY"] = proxy;
  environment["PASSWORD"] = kCanary;
  environment["SOURCE_DATE_EPOCH"] = "0";
  std::string events;
  const auto call = api().Build(request);
  while (const auto event = call->Next()) events += event->DebugString();
  EXPECT_THAT(call->End(), IsOk());
  EXPECT_THAT(ReadFile(folder_.Path("env")),
              AllOf(HasSubstr(absl::StrCat("HTTPS_PROXY=", proxy)),
                    HasSubstr(absl::StrCat("PASSWORD=", kCanary))));

  const auto list = api().List();
  ASSERT_THAT(list, IsOk());
  ASSERT_EQ(list->builds_size(), 1);
  EXPECT_THAT(list->builds(0).spec().environment(),
              testing::UnorderedElementsAre(
                  testing::Pair("HTTPS_PROXY", "http://***@proxy.example:3128"),
                  testing::Pair("PASSWORD", "***"),
                  testing::Pair("SOURCE_DATE_EPOCH", "0")));
  for (const char* secret : {kCanary, kPassword}) {
    EXPECT_THAT(events, Not(HasSubstr(secret)));
    EXPECT_THAT(list->DebugString(), Not(HasSubstr(secret)));
    EXPECT_THAT(Get(list->builds(0).name()).DebugString(),
                Not(HasSubstr(secret)));
    EXPECT_THAT(FilesWith(options_.state_dir, secret), IsEmpty());
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

// The folder for secrets is a file system of its own, of 64 KiB.
class SmallMemoryTest : public SecretsTest {
 protected:
  void SetUp() override {
    // In a mount namespace of its own, which ends with the test, however that
    // ends.
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", memory_.c_str(), "tmpfs", 0, "size=64k,mode=0700") !=
            0) {
      GTEST_SKIP() << "only root can make a small file system: "
                   << std::strerror(errno);
    }
    mounted_ = true;
  }
  void TearDown() override {
    Stop();
    if (mounted_) {
      EXPECT_EQ(umount2(memory_.c_str(), MNT_DETACH), 0);
    }
  }

  bool mounted_ = false;
};

TEST_F(SmallMemoryTest, SecretsThatDoNotFitEndThatBuildForWantOfSpace) {
  Start();
  v1::BuildRequest request = Request("ctx", "stdout never\n");
  AddSecrets(request);
  request.mutable_spec()->mutable_secrets(0)->set_value(
      std::string(100 * 1024, 'x'));
  const v1::Build build = Run(request).second;
  EXPECT_EQ(build.state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(build.failure().reason(), "NO_SPACE");
  EXPECT_TRUE(build.failure().retryable());
  EXPECT_THAT(SecretFiles(), IsEmpty());
  // What it took is free again.
  request.mutable_spec()->mutable_secrets(0)->set_value(
      std::string(30 * 1024, 'x'));
  EXPECT_EQ(Run(request).second.state(), v1::Build::STATE_SUCCEEDED);
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
  // In an empty folder docker/cli would find none, and ask the service's user's
  // keyring.
  const auto [config, build] =
      Run(Request("config", "docker-config stdout\n"), anonymous());
  EXPECT_EQ(config, R"({"auths":{"none.invalid":{}}})");
  EXPECT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
  Stop();
  Start([](auto& options) { options.share_registry_logins = true; });
  EXPECT_THAT(environment_of(anonymous(), "shared"),
              Not(HasSubstr("DOCKER_CONFIG")));
}

}  // namespace
}  // namespace containerbuilder
