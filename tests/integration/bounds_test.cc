// What a service may take: of its disk, by each build and by all, and of its
// process.

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "integration/builds_fixture.h"
#include "support/calls.h"
#include "support/fake_bytes.h"
#include "support/status_matchers.h"

namespace containerbuilder {
namespace {

using ::containerbuilder::test_support::Eventually;
using ::containerbuilder::test_support::FakeBytes;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::testing::ElementsAre;

class BoundsTest : public BuildsTest {
 protected:
  struct Log {
    std::string stdout_data;
    std::string stderr_data;
    v1::Build build;
    absl::Status end;
  };
  Log Read(const std::string& name) {
    Log log;
    const auto watch = api().Watch(name);
    while (const auto event = watch->Next()) {
      if (event->has_finished()) log.build = event->finished().build();
      if (!event->has_output()) continue;
      std::string& data =
          event->output().stream() == v1::BuildOutput::STREAM_STDOUT
              ? log.stdout_data
              : log.stderr_data;
      EXPECT_EQ(event->output().offset(),
                static_cast<std::int64_t>(data.size()));
      data += event->output().data();
    }
    log.end = watch->End();
    return log;
  }

  std::vector<std::string> List() {
    v1::ListBuildsRequest request;
    request.set_page_size(1000);
    std::vector<std::string> names;
    const auto list = api().List(request);
    EXPECT_THAT(list, IsOk());
    for (const v1::Build& build : list->builds()) names.push_back(build.name());
    return names;
  }
};

// --- A build's log ----------------------------------------------------------

TEST_F(BoundsTest, ALogEndsExactlyAtItsLimit) {
  constexpr std::size_t kLimit = 1'000'003;
  Start([](auto& options) { options.max_log_bytes = kLimit; });
  const std::string calm = Create(HeldRequest("g", "stdout still here\n"));
  AwaitReady("g");
  const std::string loud =
      Create(Request("ctx", absl::StrCat("bytes stdout 50000000 1\n")));
  const Log log = Read(loud);
  EXPECT_THAT(log.end, IsOk());
  EXPECT_EQ(log.build.state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(log.build.failure().reason(), "LOG_LIMIT");
  EXPECT_EQ(log.build.stdout_bytes(), static_cast<std::int64_t>(kLimit));
  EXPECT_TRUE(log.stdout_data == FakeBytes(kLimit, 1));
  Open("g");
  const Log calm_log = Read(calm);
  EXPECT_EQ(calm_log.build.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(calm_log.stdout_data, "runningstill here");
  // A log that fills it to the last byte is whole.
  const Log full =
      Read(Create(Request("full", absl::StrCat("bytes stdout ", kLimit - 5,
                                               " 1\nstderr 12345\n"))));
  EXPECT_EQ(full.build.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(full.stderr_data, "12345");
}

TEST_F(BoundsTest, TheLimitEndsABuildThatGoesOnAndOneThatIgnoresIt) {
  Start([](auto& options) { options.max_log_bytes = 10; });
  v1::BuildRequest request =
      Request("ctx", "ignore-term\nstdout 12345678901\nsleep 600\n");
  request.mutable_policy()->mutable_grace_period()->set_nanos(100'000'000);
  const Log log = Read(Create(request));
  EXPECT_EQ(log.build.failure().reason(), "LOG_LIMIT");
  EXPECT_EQ(log.stdout_data, "1234567890");
  // One that has ended well by then has not ended well.
  EXPECT_EQ(Read(Create(Request("quick", "stdout 12345678901\n")))
                .build.failure()
                .reason(),
            "LOG_LIMIT");
}

// --- The disk ---------------------------------------------------------------

// The state folder is a disk of its own, of 24 MiB.
class SmallDiskTest : public BoundsTest {
 protected:
  void SetUp() override {
    const std::string state = folder_.MakeDir("state");
    // In a mount namespace of its own, which ends with the test, however that
    // ends.
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", state.c_str(), "tmpfs", 0, "size=24m,mode=0700") != 0) {
      GTEST_SKIP() << "only root can make a small disk: "
                   << std::strerror(errno);
    }
    mounted_ = true;
  }
  void TearDown() override {
    Stop();
    if (mounted_) {
      EXPECT_EQ(umount2(folder_.Path("state").c_str(), MNT_DETACH), 0);
    }
  }

  v1::HealthCheck::State DiskHealth() {
    grpc::ClientContext context;
    v1::HealthResponse health;
    EXPECT_TRUE(api().stub().Health(&context, {}, &health).ok());
    for (const v1::HealthCheck& check : health.checks()) {
      if (check.name() == "disk") return check.state();
    }
    return v1::HealthCheck::STATE_UNSPECIFIED;
  }

  bool mounted_ = false;
};

TEST_F(SmallDiskTest, AtTheFloorBuildsAreEndedAndRefusedUntilThereIsRoom) {
  Start([](auto& options) {
    options.max_running_builds = 2;
    options.min_free_bytes = 6 << 20;
  });
  const std::string calm = Create(HeldRequest("g", "stdout still here\n"));
  AwaitReady("g");
  const std::string loud = Create(Request("ctx", "bytes stdout 100000000 1\n"));
  const Log log = Read(loud);
  EXPECT_THAT(log.end, IsOk());
  EXPECT_EQ(log.build.state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(log.build.failure().reason(), "NO_SPACE");
  EXPECT_TRUE(log.build.failure().retryable());
  EXPECT_GT(log.stdout_data.size(), 4U << 20);
  EXPECT_TRUE(log.stdout_data == FakeBytes(log.stdout_data.size(), 1));
  EXPECT_EQ(log.build.stdout_bytes(),
            static_cast<std::int64_t>(log.stdout_data.size()));

  EXPECT_TRUE(Eventually([&] {
    const absl::Status refused = api().Create(Request("no", "")).status();
    return absl::IsResourceExhausted(refused) &&
           test_support::ReasonOf(refused) == "NO_SPACE";
  }));
  EXPECT_TRUE(Eventually(
      [&] { return DiskHealth() == v1::HealthCheck::STATE_FAILED; }));
  Open("g");
  const Log calm_log = Read(calm);
  EXPECT_EQ(calm_log.build.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(calm_log.stdout_data, "runningstill here");

  EXPECT_THAT(api().Delete(loud), IsOk());
  EXPECT_TRUE(
      Eventually([&] { return api().Create(Request("yes", "")).ok(); }));
  EXPECT_TRUE(Eventually(
      [&] { return DiskHealth() != v1::HealthCheck::STATE_FAILED; }));
}

TEST_F(SmallDiskTest, AFullDiskEndsTheBuildThatFillsItAndHarmsNothing) {
  Start([](auto& options) { options.max_running_builds = 2; });
  const std::string before = Create(Request("before", "bytes stdout 1000 3\n"));
  Await(before);
  // What is left of the disk is for the ends of builds, so it says no more.
  const std::string calm = Create(HeldRequest("g", ""));
  AwaitReady("g");
  const std::string loud = Create(Request("ctx", "bytes stdout 100000000 1\n"));
  const Log log = Read(loud);
  EXPECT_THAT(log.end, IsOk());
  EXPECT_EQ(log.build.state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(log.build.failure().reason(), "NO_SPACE");
  EXPECT_TRUE(log.stdout_data == FakeBytes(log.stdout_data.size(), 1));
  Open("g");
  EXPECT_EQ(Read(calm).build.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_TRUE(Read(before).stdout_data == FakeBytes(1000, 3));

  // Nothing of it is lost by a restart on the full disk.
  Stop();
  Start();
  const Log again = Read(loud);
  EXPECT_THAT(again.end, IsOk());
  EXPECT_TRUE(again.stdout_data == log.stdout_data);
  EXPECT_EQ(again.build.failure().reason(), "NO_SPACE");
  EXPECT_EQ(Read(calm).stdout_data, "running");

  EXPECT_THAT(api().Delete(loud), IsOk());
  const Log after = Read(Create(Request("after", "bytes stdout 3000000 4\n")));
  EXPECT_EQ(after.build.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_TRUE(after.stdout_data == FakeBytes(3'000'000, 4));
}

// One that says nothing all the while.
TEST_F(SmallDiskTest, ABuildThatWritesItsOutputBelowTheFloorIsEnded) {
  folder_.MakeDir("out");
  Start([this](auto& options) {
    options.min_free_bytes = 6 << 20;
    options.policy.write_roots = {folder_.Path("out")};
    options.policy.allowed_options.push_back("output");
  });
  const std::string large =
      folder_.WriteFile("large", std::string(16 << 20, 'x'));
  v1::BuildRequest request = Request(
      "ctx", absl::StrCat("copy ", large, " ../out/0/output\nwait-file ",
                          Gate("never"), "\n"));
  request.mutable_spec()
      ->mutable_options()
      ->mutable_output()
      ->mutable_values()
      ->add_values("type=tar,dest=" + folder_.Path("out/x"));
  const absl::StatusOr<v1::Build> created = anonymous().Create(request);
  ASSERT_THAT(created, IsOk());
  const v1::Build build = Await(created->name());
  EXPECT_EQ(build.state(), v1::Build::STATE_FAILED);
  EXPECT_EQ(build.failure().reason(), "NO_SPACE");
  EXPECT_TRUE(build.failure().retryable());
  // And there is room again.
  EXPECT_EQ(Await(Create(Request("next", ""))).state(),
            v1::Build::STATE_SUCCEEDED);
}

// --- Retention --------------------------------------------------------------

TEST_F(BoundsTest, TheOldestAreForgottenWhileItRuns) {
  Start([](auto& options) {
    options.max_running_builds = 2;
    options.retain_builds = 3;
    options.retention_interval = absl::Milliseconds(20);
  });
  const std::string running = Create(HeldRequest("g"));
  AwaitReady("g");
  std::vector<std::string> names;
  for (int i = 0; i < 8; ++i) {
    names.insert(names.begin(), Create(Request("ctx", "")));
    Await(names[0]);
  }
  EXPECT_TRUE(Eventually([&] { return List().size() == 4; }));
  EXPECT_THAT(List(), ElementsAre(names[0], names[1], names[2], running));
  const std::filesystem::path builds = folder_.Path("state/builds");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(builds), {}), 4);
  EXPECT_THAT(api().Watch(names[7])->End(), HasReason("BUILD_NOT_FOUND"));
  Open("g");
  EXPECT_EQ(Await(running).state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(BoundsTest, ForgottenByBytesAWatchReadsOn) {
  Start([](auto& options) {
    options.retain_bytes = 5'000'000;
    options.retention_interval = absl::Milliseconds(20);
  });
  const std::string big = Create(Request("ctx", "bytes stdout 4000000 1\n"));
  Await(big);
  const auto watch = api().Watch(big);
  ASSERT_TRUE(watch->Next());
  const std::string other = Create(Request("ctx", "bytes stdout 4000000 2\n"));
  Await(other);
  EXPECT_TRUE(Eventually([&] { return List().size() == 1; }));
  EXPECT_THAT(List(), ElementsAre(other));
  std::size_t bytes = 0;
  while (const auto event = watch->Next()) {
    bytes += event->output().data().size();
  }
  EXPECT_THAT(watch->End(), IsOk());
  EXPECT_EQ(bytes, 4'000'000U);
}

// --- The process ------------------------------------------------------------

std::size_t OpenFiles() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TEST_F(BoundsTest, ManyBuildsLeaveNothingInTheProcess) {
  constexpr int kBuilds = kSanitized ? 30 : 150;
  // Connections come and go; a build that leaves something leaves it each time.
  constexpr std::size_t kSlack = 8;
  // Its programs would be children of this process.
  options_.health_interval = absl::Hours(1);
  Start();
  const std::vector<v1::BuildRequest> requests = {
      Request("good", "stdout x\n"), Request("bad", "exit 1\n"),
      Request("killed", "signal 9\n"), Request("long", "sleep 600\n")};
  const auto run = [&](int i) {
    const std::string name = Create(requests[i % 4]);
    const auto watch = api().Watch(name);
    if (i % 4 == 3) {
      EXPECT_THAT(api().Cancel(name), IsOk());
    }
    watch->Rest();
  };
  for (int i = 0; i < 8; ++i) run(i);
  std::size_t files = 0;
  EXPECT_TRUE(Eventually([&] {
    const std::size_t last = std::exchange(files, OpenFiles());
    return last == files;
  }));
  for (int i = 0; i < kBuilds; ++i) run(i);
  EXPECT_TRUE(Eventually([&] { return OpenFiles() <= files + kSlack; }))
      << OpenFiles() << " after " << files;
  // No zombies either.
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace containerbuilder
