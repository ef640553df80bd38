// Many builds that one client follows at once, without a thread for each.

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
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

// Of this process, which is client and server at once.
std::ptrdiff_t Threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                       {});
}

class Follower final : public BuildObserver {
 public:
  Follower(absl::BlockingCounter* begun, absl::BlockingCounter* done)
      : begun_(begun), done_(done) {}

  void OnEvent(v1::BuildEvent event) override {
    if (log_.events.empty() && !event.has_heartbeat()) begun_->DecrementCount();
    Collect(event, log_);
  }
  void OnDone(const absl::Status& status) override {
    log_.status = status;
    done_->DecrementCount();
  }
  // Once it is done.
  const BuildLog& log() const { return log_; }

 private:
  absl::BlockingCounter* const begun_;
  absl::BlockingCounter* const done_;
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
  absl::BlockingCounter begun(kBuilds);
  absl::BlockingCounter done(kBuilds);
  std::vector<std::shared_ptr<Follower>> followers;
  for (int i = 0; i < kBuilds; ++i) {
    followers.push_back(std::make_shared<Follower>(&begun, &done));
    // Nothing is kept but the observer.
    client.BuildAsync(
        server.Request(absl::StrCat("context", i),
                       absl::StrCat("wait-file ", go, "\nstdout build ", i)),
        followers.back());
  }
  // Each is followed, and none can end yet.
  begun.Wait();
  // gRPC's own, for the first calls of this kind.
  EXPECT_LE(Threads() - before, 24);
  std::ofstream(go) << "";
  done.Wait();
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
  absl::BlockingCounter begun(1);
  absl::BlockingCounter done(1);
  const auto follower = std::make_shared<Follower>(&begun, &done);
  AsyncBuild build = client.BuildAsync(
      server.Request("context",
                     absl::StrCat("wait-file ", server.folder().Path("never"))),
      follower);
  begun.Wait();
  build.Cancel();
  done.Wait();
  EXPECT_THAT(follower->log().status, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(follower->log().build().state(), v1::Build::STATE_CANCELLED);
}

TEST(AsyncBuildsTest, LeavingLeavesTheBuildToItsPolicy) {
  TestServer server;
  client::Client client = server.LocalClient();
  const std::string go = server.folder().Path("go");
  absl::BlockingCounter left_begun(1);
  absl::BlockingCounter watching_begun(1);
  absl::BlockingCounter done(2);
  const auto left = std::make_shared<Follower>(&left_begun, &done);
  const auto watching = std::make_shared<Follower>(&watching_begun, &done);
  AsyncBuild build = client.BuildAsync(
      server.Request("context", absl::StrCat("wait-file ", go)), left);
  left_begun.Wait();
  v1::WatchBuildRequest request;
  request.set_name(client.ListBuildsPage({})->builds(0).name());
  client.WatchAsync(request, watching);
  watching_begun.Wait();
  build.Leave();
  std::ofstream(go) << "";
  done.Wait();
  EXPECT_THAT(left->log().status, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(watching->log().status, IsOk());
  EXPECT_EQ(watching->log().build().state(), v1::Build::STATE_SUCCEEDED);
}

}  // namespace
}  // namespace containerbuilder
