// Builds of callers who are not trusted run from copies, and what they write is
// copied to its place.

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "integration/builds_fixture.h"

namespace containerbuilder {
namespace {

namespace fs = std::filesystem;
using ::containerbuilder::test_support::BuildCall;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class CopiesTest : public BuildsTest {
 protected:
  CopiesTest() {
    folder_.MakeDir("contexts");
    folder_.MakeDir("out");
    options_.policy.read_roots = {folder_.Path("contexts")};
    options_.policy.write_roots = {folder_.Path("out")};
    options_.policy.allowed_options.push_back("output");
    options_.policy.allowed_options.push_back("iidfile");
    options_.policy.allowed_options.push_back("secret");
    options_.policy.allowed_options.push_back("cache_to");
    options_.max_running_builds = 1;
  }

  v1::BuildRequest Theirs(const std::string& name, const std::string& script) {
    return Request("contexts/" + name, script);
  }

  static void Add(v1::BuildRequest& request, const std::string& name,
                  const std::string& value) {
    v1::Option& option =
        *request.mutable_spec()->mutable_options()->add_options();
    option.set_name(name);
    option.mutable_value()->mutable_values()->add_values(value);
  }
  void SetOutput(v1::BuildRequest& request, const std::string& value) {
    request.mutable_spec()
        ->mutable_options()
        ->mutable_output()
        ->mutable_values()
        ->add_values(value);
  }

  // Of a stranger, to its end.
  v1::Build Run(const v1::BuildRequest& request) {
    const absl::StatusOr<v1::Build> build = anonymous().Create(request);
    EXPECT_THAT(build, IsOk());
    return build.ok() ? Await(build->name()) : v1::Build();
  }

  // With a context that takes a while to copy.
  v1::BuildRequest Large(const std::string& name, std::int64_t bytes) {
    v1::BuildRequest request = Theirs(name, "");
    fs::resize_file(
        folder_.WriteFile(absl::StrCat("contexts/", name, "/large"), ""),
        bytes);
    return request;
  }
  // A stranger asks for it, and goes in the middle of its copy.
  void GoWhileCopied(const v1::BuildRequest& request, bool follow) {
    grpc::ClientContext context;
    grpc::Status status;
    std::thread call([&] {
      if (follow) {
        status = anonymous().stub().Build(&context, request)->Finish();
        return;
      }
      v1::CreateBuildResponse response;
      status = anonymous().stub().CreateBuild(
          &context, test_support::ToCreate(request), &response);
    });
    EXPECT_TRUE(test_support::Eventually([this] { return IsCopied(); }));
    context.TryCancel();
    call.join();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  }
  bool IsCopied() {
    std::error_code gone;
    for (const auto& entry :
         fs::directory_iterator(folder_.Path("state/new"), gone)) {
      if (fs::file_size(entry.path() / "staging/context/large", gone) > 0 &&
          !gone) {
        return true;
      }
    }
    return false;
  }

  std::string FolderOf(const std::string& name) {
    return folder_.Path("state/" + name);
  }
  // What the service keeps for requests that it has not admitted.
  std::size_t Unadmitted() {
    std::size_t count = 0;
    for (const char* folder : {"state/new", "state/trash"}) {
      for ([[maybe_unused]] const auto& entry :
           fs::directory_iterator(folder_.Path(folder))) {
        ++count;
      }
    }
    return count;
  }
};

TEST_F(CopiesTest, RunsFromACopyThatGoesWithTheBuild) {
  Start();
  folder_.WriteFile("contexts/a/file", "text");
  v1::BuildRequest request =
      Theirs("a", absl::StrCat("dump-state ", folder_.Path("s"), "\ndump-args ",
                               folder_.Path("args"), "\ncopy file ",
                               folder_.Path("copy"), "\ncopy ../in/0/secret ",
                               folder_.Path("secret-copy"), "\n"));
  folder_.WriteFile("contexts/secret", "hush");
  request.mutable_spec()
      ->mutable_options()
      ->mutable_secret()
      ->mutable_values()
      ->add_values("id=a,src=../secret");
  const v1::Build build = Run(request);
  EXPECT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
  const std::string staging = FolderOf(build.name()) + "/staging";
  EXPECT_THAT(ReadFile(folder_.Path("s")),
              HasSubstr("cwd " + staging + "/context\n"));
  EXPECT_THAT(ReadFile(folder_.Path("args")),
              AllOf(HasSubstr("id=a,src=" + staging + "/in/0/secret"),
                    Not(HasSubstr("contexts"))));
  EXPECT_EQ(ReadFile(folder_.Path("copy")), "text");
  EXPECT_EQ(ReadFile(folder_.Path("secret-copy")), "hush");
  EXPECT_FALSE(fs::exists(staging));
  // The record has what was asked for.
  EXPECT_EQ(build.spec().options().context_path(), folder_.Path("contexts/a"));
}

TEST_F(CopiesTest, TrustedCallersBuildInPlace) {
  Start();
  const std::string name =
      Create(Theirs("a", absl::StrCat("dump-state ", folder_.Path("s"), "\n")));
  EXPECT_EQ(Await(name).state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_THAT(ReadFile(folder_.Path("s")),
              HasSubstr("cwd " + folder_.Path("contexts/a") + "\n"));
}

TEST_F(CopiesTest, WhatBecomesOfTheContextLaterDoesNotMatter) {
  Start();
  Create(HeldRequest("first"));
  AwaitReady("first");
  const auto build = anonymous().Create(Theirs("a", "stdout copy\n"));
  ASSERT_THAT(build, IsOk());
  fs::remove_all(folder_.Path("contexts/a"));
  Open("first");
  EXPECT_EQ(Await(build->name()).stdout_bytes(), 4);
}

TEST_F(CopiesTest, OutlivesARestart) {
  Start();
  Create(HeldRequest("first"));
  AwaitReady("first");
  v1::BuildRequest request =
      Theirs("a", "stdout copy\ntouch ../out/0/output/x\n");
  SetOutput(request, "type=local,dest=" + folder_.Path("out/a"));
  const auto build = anonymous().Create(request);
  ASSERT_THAT(build, IsOk());
  fs::remove_all(folder_.Path("contexts/a"));
  Stop();
  Start();
  const v1::Build ended = Await(build->name());
  EXPECT_EQ(ended.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(ended.stdout_bytes(), 4);
  EXPECT_TRUE(fs::exists(folder_.Path("out/a/x")));
  EXPECT_FALSE(fs::exists(FolderOf(build->name()) + "/staging"));
}

TEST_F(CopiesTest, ARestartAppliesTheRulesOfNow) {
  Start();
  Create(HeldRequest("first"));
  AwaitReady("first");
  folder_.WriteFile("contexts/a/Dockerfile", "# syntax=docker/dockerfile:1");
  const auto by_root = anonymous().Create(Theirs("b", ""));
  const auto by_frontend = anonymous().Create(Theirs("a", ""));
  ASSERT_THAT(by_root, IsOk());
  ASSERT_THAT(by_frontend, IsOk());
  Stop();
  Start([this](auto& options) {
    options.policy.read_roots = {folder_.Path("contexts/a")};
    options.policy.allowed_frontends = {"none"};
  });
  for (const auto& [name, why] :
       {std::pair{by_root->name(), "--read_roots"},
        {by_frontend->name(), "--allowed_frontends"}}) {
    const v1::Build ended = Await(name);
    EXPECT_EQ(ended.failure().reason(), "SPAWN_FAILED");
    EXPECT_THAT(ended.failure().message(), HasSubstr(why));
    EXPECT_FALSE(fs::exists(FolderOf(name) + "/staging"));
  }
}

TEST_F(CopiesTest, GoesWithABuildThatNeverRan) {
  Start();
  Create(HeldRequest("first"));
  AwaitReady("first");
  const auto build = anonymous().Create(Theirs("a", ""));
  ASSERT_THAT(build, IsOk());
  EXPECT_TRUE(fs::exists(FolderOf(build->name()) + "/staging/context"));
  EXPECT_THAT(anonymous().Cancel(build->name()), IsOk());
  EXPECT_FALSE(fs::exists(FolderOf(build->name()) + "/staging"));
  Open("first");
}

TEST_F(CopiesTest, ARefusalLeavesNothing) {
  options_.max_queued_builds = 1;
  Start();
  Create(HeldRequest("first"));
  AwaitReady("first");
  // After the copy was made; the place is given back.
  folder_.WriteFile("contexts/c/Dockerfile", "# syntax=evil");
  EXPECT_THAT(anonymous().Create(Theirs("c", "")),
              HasReason("OPTION_NOT_ALLOWED"));
  const auto waiting = anonymous().Create(Theirs("a", ""));
  ASSERT_THAT(waiting, IsOk());
  // Before it.
  EXPECT_THAT(anonymous().Create(Theirs("c", "")), HasReason("QUEUE_FULL"));
  EXPECT_EQ(Unadmitted(), 0U);
  Open("first");
}

// As many copies of his go on as at a time may: whoever is refused for them
// waits for none of them.
TEST_F(CopiesTest, WhatIsCopiedIsAlreadyABuildOfItsCallers) {
  constexpr int kCopies = 2;
  options_.max_builds_per_caller = kCopies;
  Start();
  std::vector<std::unique_ptr<BuildCall>> calls;
  for (int i = 0; i < kCopies; ++i) {
    calls.push_back(anonymous().Build(
        Large(absl::StrCat("large", i), std::int64_t{3} << 30)));
  }
  const auto are_copied = [this] {
    return Unadmitted() == std::size_t{kCopies};
  };
  ASSERT_TRUE(test_support::Eventually(are_copied));
  v1::BuildRequest request = Theirs("a", "");
  EXPECT_THAT(anonymous().Create(request), HasReason("RATE_LIMITED"));
  EXPECT_THAT(anonymous().Build(request)->End(), HasReason("RATE_LIMITED"));
  // The same where its build may be there, which has to be looked for.
  request.set_request_id("id");
  EXPECT_THAT(anonymous().Create(request), HasReason("RATE_LIMITED"));
  EXPECT_THAT(anonymous().Build(request)->End(), HasReason("RATE_LIMITED"));
  EXPECT_TRUE(are_copied());
  EXPECT_THAT(api().Create(request), IsOk());
  // A copy that is given up gives its place back.
  calls.clear();
  EXPECT_TRUE(test_support::Eventually(
      [&] { return anonymous().Create(request).ok(); }));
}

TEST_F(CopiesTest, ABuildThatIsThereIsJoinedByACallerWhoHasAllOfHis) {
  options_.max_builds_per_caller = 1;
  Start();
  v1::BuildRequest request = Theirs("a", "");
  request.set_request_id("id");
  request.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_DETACH);
  Create(HeldRequest("first"));
  AwaitReady("first");
  const auto made = anonymous().Create(request);
  ASSERT_THAT(made, IsOk());
  const auto joined = anonymous().Create(request);
  ASSERT_THAT(joined, IsOk());
  EXPECT_EQ(joined->name(), made->name());
  const auto event = anonymous().Build(request)->Next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->name(), made->name());
  EXPECT_THAT(anonymous().Create(Theirs("b", "")), HasReason("RATE_LIMITED"));
  Open("first");
}

TEST_F(CopiesTest, OthersDoNotWaitForACallersCopies) {
  Start();
  std::vector<std::unique_ptr<BuildCall>> calls;
  for (int i = 0; i < 5; ++i) {
    calls.push_back(anonymous().Build(
        Large(absl::StrCat("large", i), std::int64_t{3} << 30)));
  }
  ASSERT_TRUE(test_support::Eventually([this] { return Unadmitted() == 2; }));
  // What is by value is copied on the same threads.
  v1::BuildRequest request = Theirs("a", "");
  request.mutable_spec()->set_dockerfile("FROM scratch\n");
  EXPECT_THAT(api().Create(request), IsOk());
  EXPECT_EQ(Unadmitted(), 2U);
}

// As a client does whose connection broke.
TEST_F(CopiesTest, ACallThatIsSentAgainDuringItsCopyIsNoFurtherBuild) {
  options_.max_builds_per_caller = 1;
  Start();
  v1::BuildRequest request = Large("a", 512 << 20);
  request.set_request_id("id");
  request.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_DETACH);
  GoWhileCopied(request, /*follow=*/true);
  EXPECT_THAT(anonymous().Create(request), IsOk());
  EXPECT_EQ(api().List()->builds_size(), 1);
}

// Also in the middle of a file.
TEST_F(CopiesTest, ACallerThatGoesEndsTheCopy) {
  Start();
  GoWhileCopied(Large("a", std::int64_t{2} << 30), /*follow=*/true);
  EXPECT_TRUE(test_support::Eventually([this] { return Unadmitted() == 0; }));
  EXPECT_EQ(api().List()->builds_size(), 0);
}

// As one whose deadline is shorter than the copy takes.
TEST_F(CopiesTest, ABuildThatOutlivesItsCallIsMadeWithoutIt) {
  Start();
  for (const bool follow : {false, true}) {
    v1::BuildRequest request = Large(follow ? "b" : "a", 512 << 20);
    request.set_request_id(absl::StrCat("request-", follow));
    request.mutable_policy()->set_disconnect_policy(
        v1::DISCONNECT_POLICY_DETACH);
    GoWhileCopied(request, follow);
    ASSERT_TRUE(test_support::Eventually(
        [&] { return api().List()->builds_size() == (follow ? 2 : 1); }));
    const std::string name = api().List()->builds(0).name();
    const auto joined = anonymous().Create(request);
    ASSERT_THAT(joined, IsOk());
    EXPECT_EQ(joined->name(), name);
    EXPECT_EQ(Await(name).state(), v1::Build::STATE_SUCCEEDED);
  }
}

// The same where others of its caller are copied all the while.
TEST_F(CopiesTest, ABuildThatOutlivesItsCallIsMadeWhereThatGoesBeforeItsTurn) {
  options_.max_queued_builds = 2;
  Start();
  std::vector<std::unique_ptr<BuildCall>> copied;
  for (const char* id : {"", "id"}) {
    v1::BuildRequest request =
        Large(absl::StrCat("large", id), std::int64_t{3} << 30);
    request.set_request_id(id);
    copied.push_back(anonymous().Build(request));
  }
  ASSERT_TRUE(test_support::Eventually([this] { return Unadmitted() == 2; }));
  v1::BuildRequest request = Theirs("a", "");
  // By which it has a place in any case.
  request.set_request_id("id");
  request.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_DETACH);
  const auto call = anonymous().Build(request);
  // Once it is there, there is no place for others, who take none till then.
  v1::BuildRequest other = Theirs("b", "");
  other.mutable_policy()->mutable_timeout()->set_seconds(-1);
  ASSERT_TRUE(test_support::Eventually([&] {
    return test_support::ReasonOf(api().Create(other).status()) == "QUEUE_FULL";
  }));
  call->Cancel();
  EXPECT_THAT(call->End(), StatusIs(absl::StatusCode::kCancelled));
  copied.clear();
  ASSERT_TRUE(test_support::Eventually(
      [this] { return api().List()->builds_size() == 1; }));
  const v1::Build build = api().List()->builds(0);
  EXPECT_EQ(build.spec().options().context_path(), folder_.Path("contexts/a"));
  EXPECT_EQ(Await(build.name()).state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(CopiesTest, OutputsGoToTheirPlaces) {
  Start();
  v1::BuildRequest request =
      Theirs("a", "touch ../out/0/output/file\ntouch ../out/1/output\n");
  SetOutput(request, "type=local,dest=" + folder_.Path("out/made/here"));
  Add(request, "iidfile", folder_.Path("out/iid"));
  // Parameters are read before options.
  EXPECT_EQ(Run(request).state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_TRUE(fs::exists(folder_.Path("out/made/here/file")));
  EXPECT_TRUE(fs::exists(folder_.Path("out/iid")));
}

TEST_F(CopiesTest, AFailureDeliversNothing) {
  Start();
  v1::BuildRequest request =
      Theirs("a", "touch ../out/0/output/file\nexit 3\n");
  SetOutput(request, "type=local,dest=" + folder_.Path("out/x"));
  EXPECT_EQ(Run(request).exit_code(), 3);
  EXPECT_TRUE(fs::is_empty(folder_.Path("out")));
}

TEST_F(CopiesTest, AnOutputThatCannotBeDeliveredIsAFailure) {
  Start();
  v1::BuildRequest request = Theirs("a", "touch ../out/0/output/file\n");
  folder_.WriteFile("out/x", "no folder");
  SetOutput(request, "type=local,dest=" + folder_.Path("out/x"));
  const v1::Build build = Run(request);
  EXPECT_EQ(build.state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(build.failure().reason(), "STORAGE");
  EXPECT_THAT(build.failure().message(), HasSubstr("spec.options.output"));
  EXPECT_EQ(ReadFile(folder_.Path("out/x")), "no folder");
  // Also where nerdctl says that it was made and it was not.
  request = Theirs("b", "");
  Add(request, "iidfile", folder_.Path("out/iid"));
  EXPECT_EQ(Run(request).failure().reason(), "STORAGE");
}

TEST_F(CopiesTest, TooMuchOutputIsNotDelivered) {
  options_.policy.max_staged_bytes = 1000;
  Start();
  v1::BuildRequest request =
      Theirs("a", "copy /proc/self/exe ../out/0/output\n");
  SetOutput(request, "type=tar,dest=" + folder_.Path("out/x"));
  const v1::Build build = Run(request);
  EXPECT_EQ(build.failure().reason(), "STORAGE");
  EXPECT_THAT(build.failure().message(), HasSubstr("1000 bytes"));
  EXPECT_TRUE(fs::is_empty(folder_.Path("out")));
}

// nerdctl 1.7 looks for an image that it was told to write to a file.
TEST_F(CopiesTest, AnArchiveIsASuccessThoughNerdctlMissesItsImage) {
  Start();
  const std::string script =
      "copy archive ../out/0/output\n"
      "stderr time=x level=fatal msg=\"no image was built\"\\n\n"
      "exit 1\n";
  const auto run = [&](const std::string& type, const std::string& archive) {
    folder_.WriteFile("contexts/a/archive", archive);
    v1::BuildRequest request = Theirs("a", script);
    SetOutput(request,
              absl::StrCat("type=", type, ",dest=", folder_.Path("out/x")));
    return Run(request);
  };
  const std::string whole = std::string(512, 'h') + std::string(1024, '\0');
  for (const std::string type : {"oci", "docker"}) {
    const v1::Build build = run(type, whole);
    EXPECT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
    EXPECT_EQ(build.exit_code(), 0);
    EXPECT_EQ(ReadFile(folder_.Path("out/x")), whole);
    fs::remove(folder_.Path("out/x"));
  }
  // But not where it is cut, or no such archive.
  EXPECT_EQ(run("oci", std::string(2000, 'h')).exit_code(), 1);
  EXPECT_EQ(run("tar", whole).exit_code(), 1);
  EXPECT_FALSE(fs::exists(folder_.Path("out/x")));
}

TEST_F(CopiesTest, AnotherPolicyIsForWhatComesThen) {
  Start();
  Create(HeldRequest("first"));
  AwaitReady("first");
  const auto waiting = anonymous().Create(Theirs("a", ""));
  ASSERT_THAT(waiting, IsOk());

  service::ServerOptions changed = options_;
  changed.policy.read_roots = {"contexts"};
  EXPECT_THAT(
      server_->Reload(changed),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--read_roots")));
  EXPECT_THAT(anonymous().Create(Theirs("b", "")), IsOk());

  changed.policy.read_roots.clear();
  changed.policy.write_roots.clear();
  EXPECT_THAT(server_->Reload(changed), IsOk());
  EXPECT_THAT(anonymous().Create(Theirs("b", "")),
              HasReason("PATH_NOT_ALLOWED"));
  Open("first");
  EXPECT_EQ(Await(waiting->name()).state(), v1::Build::STATE_SUCCEEDED);

  changed.policy = options_.policy;
  EXPECT_THAT(server_->Reload(changed), IsOk());
  EXPECT_THAT(anonymous().Create(Theirs("b", "")), IsOk());
}

TEST_F(CopiesTest, WrongPoliciesAreRefusedByTheirSettings) {
  const std::pair<std::string, std::function<void(service::PolicyOptions&)>>
      wrong[] = {
          {"read_roots", [](auto& o) { o.read_roots = {"."}; }},
          {"read_roots", [](auto& o) { o.read_roots = {""}; }},
          {"write_roots", [](auto& o) { o.write_roots = {"x"}; }},
          {"allowed_options", [](auto& o) { o.allowed_options = {"tgo"}; }},
          {"allowed_entitlements",
           [](auto& o) { o.allowed_entitlements = {"a b"}; }},
          {"allowed_registries",
           [](auto& o) { o.allowed_registries = {"https://a.test"}; }},
          {"allowed_registries",
           [](auto& o) { o.allowed_registries = {"a.test/x"}; }},
          {"allowed_environment",
           [](auto& o) { o.allowed_environment = {"LD_PRELOAD"}; }},
          {"allowed_environment",
           [](auto& o) { o.allowed_environment = {"DOCKER_CONFIG"}; }},
          {"allowed_ssh", [](auto& o) { o.allowed_ssh = {"a/b"}; }},
          {"max_staged_bytes", [](auto& o) { o.max_staged_bytes = -1; }},
          {"max_staged_files", [](auto& o) { o.max_staged_files = -1; }},
      };
  for (const auto& [setting, change] : wrong) {
    service::ServerOptions options = options_;
    change(options.policy);
    EXPECT_THAT(service::Server::Create(options),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("--" + setting + ":")));
  }
}

}  // namespace
}  // namespace containerbuilder
