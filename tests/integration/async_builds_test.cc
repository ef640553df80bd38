// Many builds that one client follows at once, without a thread for each.

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "containerbuilder/client/client.h"
#include "gmock/gmock.h"
#include "support/test_server.h"

namespace containerbuilder {
namespace {

using ::containerbuilder::client::AsyncBuild;
using ::containerbuilder::client::BuildObserver;
using ::containerbuilder::test_support::BuildLog;
using ::containerbuilder::test_support::Collect;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TestServer;

// Long enough for all that a test does.
constexpr absl::Duration kPatience = absl::Minutes(4);

// Of this process, which is client and server at once.
std::ptrdiff_t Threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                       {});
}

// How many of something have come.
class Tally {
 public:
  void Add() {
    const absl::MutexLock lock(&mutex_);
    ++count_;
  }
  // False when they do not come in time.
  bool WaitFor(int count) {
    const absl::MutexLock lock(&mutex_);
    const auto there = [&] { return count_ >= count; };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience);
  }

 private:
  absl::Mutex mutex_;
  int count_ = 0;
};

// Held by the followers, too: they may be told something after a test has
// failed.
struct Tallies {
  Tally begun;
  Tally done;
};

class Follower final : public BuildObserver {
 public:
  explicit Follower(std::shared_ptr<Tallies> tallies)
      : tallies_(std::move(tallies)) {}

  void OnEvent(v1::BuildEvent event) override {
    if (log_.events.empty() && !event.has_heartbeat()) tallies_->begun.Add();
    Collect(event, log_);
  }
  void OnDone(const absl::Status& status) override {
    // What ends before it begins is waited for no longer; its status tells.
    if (log_.events.empty()) tallies_->begun.Add();
    log_.status = status;
    tallies_->done.Add();
  }
  // Once it is done.
  const BuildLog& log() const { return log_; }

 private:
  const std::shared_ptr<Tallies> tallies_;
  BuildLog log_;
};

TEST(AsyncBuildsTest, TwoHundredAtOnceNeedNoThreads) {
  constexpr int kBuilds = 200;
  TestServer server(
      [](service::ServerOptions& options) { options.max_running_builds = 2; });
  client::Client client = server.LocalClient();
  const std::string go = server.folder().Path("go");
  ASSERT_THAT(client.Health(), IsOk());
  const std::ptrdiff_t before = Threads();
  const auto tallies = std::make_shared<Tallies>();
  std::vector<std::shared_ptr<Follower>> followers;
  for (int i = 0; i < kBuilds; ++i) {
    followers.push_back(std::make_shared<Follower>(tallies));
    // Nothing is kept but the observer.
    client.BuildAsync(
        server.Request(absl::StrCat("context", i),
                       absl::StrCat("wait-file ", go, "\nstdout build ", i)),
        followers.back());
  }
  // Each is followed, and none can end yet.
  ASSERT_TRUE(tallies->begun.WaitFor(kBuilds));
  // gRPC's own, for the first calls of this kind.
  const std::ptrdiff_t cores = std::thread::hardware_concurrency();
  EXPECT_LE(Threads() - before, 40 + 2 * cores);
  std::ofstream(go) << "";
  ASSERT_TRUE(tallies->done.WaitFor(kBuilds));
  for (int i = 0; i < kBuilds; ++i) {
    const BuildLog& log = followers[static_cast<std::size_t>(i)]->log();
    EXPECT_THAT(log.status, IsOk());
    ASSERT_FALSE(log.events.empty());
    EXPECT_EQ(log.build().state(), v1::Build::STATE_SUCCEEDED);
    EXPECT_EQ(log.stdout_data, absl::StrCat("build ", i));
  }
}

TEST(AsyncBuildsTest, CancelStopsTheBuildOnTheService) {
  TestServer server;
  client::Client client = server.LocalClient();
  const auto tallies = std::make_shared<Tallies>();
  const auto follower = std::make_shared<Follower>(tallies);
  AsyncBuild build = client.BuildAsync(
      server.Request("context",
                     absl::StrCat("wait-file ", server.folder().Path("never"))),
      follower);
  ASSERT_TRUE(tallies->begun.WaitFor(1));
  build.Cancel();
  ASSERT_TRUE(tallies->done.WaitFor(1));
  EXPECT_THAT(follower->log().status, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(follower->log().build().state(), v1::Build::STATE_CANCELLED);
}

TEST(AsyncBuildsTest, LeavingLeavesTheBuildToItsPolicy) {
  TestServer server;
  client::Client client = server.LocalClient();
  const std::string go = server.folder().Path("go");
  const auto tallies = std::make_shared<Tallies>();
  const auto left = std::make_shared<Follower>(tallies);
  const auto watching = std::make_shared<Follower>(tallies);
  AsyncBuild build = client.BuildAsync(
      server.Request("context", absl::StrCat("wait-file ", go)), left);
  ASSERT_TRUE(tallies->begun.WaitFor(1));
  v1::WatchBuildRequest request;
  request.set_name(client.ListBuildsPage({})->builds(0).name());
  client.WatchAsync(request, watching);
  ASSERT_TRUE(tallies->begun.WaitFor(2));
  build.Leave();
  std::ofstream(go) << "";
  ASSERT_TRUE(tallies->done.WaitFor(2));
  EXPECT_THAT(left->log().status, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(watching->log().status, IsOk());
  EXPECT_EQ(watching->log().build().state(), v1::Build::STATE_SUCCEEDED);
}

}  // namespace
}  // namespace containerbuilder
