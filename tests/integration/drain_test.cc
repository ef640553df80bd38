// How a server stops, and what the next one on the same folder makes of it.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/impl/codegen/client_unary_call.h"
#include "integration/builds_fixture.h"
#include "support/calls.h"
#include "support/status_matchers.h"

namespace containerbuilder {
namespace {

using ::containerbuilder::test_support::Bytes;
using ::containerbuilder::test_support::DetailOf;
using ::containerbuilder::test_support::Eventually;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsGone;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::ReadPids;
using ::containerbuilder::test_support::StatusIs;
using ::testing::ElementsAre;

constexpr absl::Duration kLong = absl::Minutes(10);

class DrainTest : public BuildsTest {
 protected:
  ~DrainTest() override { AwaitShutdown(); }

  // Shuts down beside the test.
  void BeginShutdown() {
    shutdown_ = std::thread([this] { server_->Shutdown(); });
    // Until it is seen, by what would not be admitted otherwise either.
    v1::BuildRequest request;
    request.mutable_spec()->mutable_options()->set_context_path("/no/such");
    ASSERT_TRUE(Eventually(
        [&] { return absl::IsUnavailable(api().Create(request).status()); }));
  }
  void AwaitShutdown() {
    if (shutdown_.joinable()) shutdown_.join();
  }

  static void ExpectDraining(const absl::Status& status) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT(status, HasReason("DRAINING"));
    const auto retry = DetailOf<errors::v1::RetryInfo>(status);
    ASSERT_TRUE(retry);
    EXPECT_GT(retry->retry_delay().seconds(), 0);
  }

  // What grpc.health.v1 says: 1 is SERVING, 2 NOT_SERVING. Both its messages
  // have the one field that these have.
  int ServingStatus() {
    grpc::ClientContext context;
    v1::GetBuildRequest request;
    v1::BuildQueued response;
    const auto channel = grpc::CreateChannel(
        server_->addresses()[0], grpc::InsecureChannelCredentials());
    const grpc::Status status = grpc::internal::BlockingUnaryCall(
        channel.get(),
        grpc::internal::RpcMethod("/grpc.health.v1.Health/Check",
                                  grpc::internal::RpcMethod::NORMAL_RPC),
        &context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.position();
  }

  std::thread shutdown_;
};

TEST_F(DrainTest, WhatEndsInTimeEndsWell) {
  Start([](auto& options) { options.drain_timeout = kLong; });
  const auto call = api().Build(HeldRequest("g", "stdout more\n"));
  const std::string name = call->Next()->name();
  AwaitReady("g");
  BeginShutdown();
  ExpectDraining(api().Create(Request("ctx", "")).status());
  ExpectDraining(api().Build(Request("ctx", ""))->End());
  EXPECT_EQ(ServingStatus(), 2);
  // It can be seen, joined and listed.
  EXPECT_EQ(Get(name).state(), v1::Build::STATE_RUNNING);
  EXPECT_EQ(api().List()->builds_size(), 1);
  const auto watch = api().Watch(name);
  ASSERT_TRUE(watch->Next());
  Open("g");
  const std::vector<std::string> rest = call->Rest();
  EXPECT_EQ(watch->Rest(), rest);
  EXPECT_THAT(call->End(), IsOk());
  AwaitShutdown();
  Stop();
  Start();
  EXPECT_EQ(Get(name).state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(api().Watch(name, 1)->Rest(), rest);
}

TEST_F(DrainTest, WhatRunsLongerIsInterruptedAndTold) {
  Start([](auto& options) { options.drain_timeout = absl::Milliseconds(100); });
  const std::string pids = folder_.Path("pids");
  const auto call = api().Build(
      Request("ctx", absl::StrCat("pid ", pids,
                                  "\nfork-hold 600\nsetsid-hold 600\n"
                                  "touch ",
                                  Ready("x"), "\nsleep 600\n")));
  const std::string name = call->Next()->name();
  AwaitReady("x");
  const auto watch = api().Watch(name);
  ASSERT_TRUE(watch->Next()->has_started());
  Stop();
  const std::vector<std::string> rest = call->Rest();
  EXPECT_THAT(call->End(), IsOk());
  EXPECT_EQ(watch->Rest(), rest);
  EXPECT_THAT(watch->End(), IsOk());
  v1::BuildEvent last;
  ASSERT_FALSE(rest.empty());
  ASSERT_TRUE(last.ParseFromString(rest.back()));
  ASSERT_TRUE(last.has_finished());
  const v1::Build& build = last.finished().build();
  EXPECT_EQ(build.state(), v1::Build::STATE_INTERRUPTED);
  EXPECT_EQ(build.failure().reason(), "SHUTDOWN");
  EXPECT_TRUE(build.failure().retryable());
  for (const pid_t pid : ReadPids(pids)) {
    EXPECT_TRUE(Eventually([pid] { return IsGone(pid); }));
  }
  Start();
  EXPECT_EQ(Bytes(Get(name)), Bytes(build));
  EXPECT_EQ(api().Watch(name, 1)->Rest(), rest);
}

TEST_F(DrainTest, WhatWaitsIsStartedByTheNextServerInOrder) {
  Start([](auto& options) {
    options.max_running_builds = 1;
    options.drain_timeout = kLong;
  });
  const std::string held = Create(HeldRequest("g"));
  AwaitReady("g");
  // Whose caller goes with the server is not gone by its own will.
  const auto call = api().Build(Request("ctx", ""));
  const std::string first = call->Next()->name();
  std::vector<std::string> names = {first};
  for (int i = 0; i < 3; ++i) names.push_back(Create(Request("ctx", "")));
  v1::BuildRequest urgent = Request("ctx", "");
  urgent.mutable_policy()->set_priority(7);
  names.insert(names.begin(), Create(urgent));
  const auto watch = api().Watch(names[2]);
  BeginShutdown();
  call->Rest();
  ExpectDraining(call->End());
  watch->Rest();
  ExpectDraining(watch->End());
  ExpectDraining(api().Watch(first)->End());
  ExpectDraining(api().Cancel(first).status());
  EXPECT_EQ(Get(first).state(), v1::Build::STATE_QUEUED);
  Open("g");
  AwaitShutdown();
  Stop();
  Start();
  absl::Time before = absl::InfinitePast();
  for (const std::string& name : names) {
    const v1::Build build = Await(name);
    EXPECT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
    const absl::Time start =
        absl::FromUnixSeconds(build.start_time().seconds()) +
        absl::Nanoseconds(build.start_time().nanos());
    EXPECT_LT(before, start);
    before = start;
  }
  EXPECT_EQ(Get(held).state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(DrainTest, HastenedItWaitsNeitherForBuildsNorForTheirGrace) {
  Start([](auto& options) { options.drain_timeout = kLong; });
  v1::BuildRequest request = Request(
      "ctx", absl::StrCat("ignore-term\ntouch ", Ready("x"), "\nsleep 600\n"));
  request.mutable_policy()->mutable_grace_period()->set_seconds(600);
  const std::string name = Create(request);
  AwaitReady("x");
  const auto watch = api().Watch(name);
  ASSERT_TRUE(watch->Next()->has_started());
  BeginShutdown();
  server_->HastenShutdown();
  const std::vector<std::string> rest = watch->Rest();
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_THAT(watch->End(), IsOk());
  AwaitShutdown();
  Stop();
  Start();
  EXPECT_EQ(Get(name).state(), v1::Build::STATE_INTERRUPTED);
  EXPECT_EQ(Get(name).term_signal(), 9);
}

TEST_F(DrainTest, ACancelThatWaitsIsAnswered) {
  Start([](auto& options) { options.drain_timeout = kLong; });
  v1::BuildRequest request = Request(
      "ctx", absl::StrCat("ignore-term\ntouch ", Ready("x"), "\nsleep 600\n"));
  request.mutable_policy()->mutable_grace_period()->set_seconds(5);
  const std::string name = Create(request);
  AwaitReady("x");
  std::thread canceller([&] {
    const absl::StatusOr<v1::Build> cancelled = api().Cancel(name);
    ASSERT_THAT(cancelled, IsOk());
    EXPECT_EQ(cancelled->state(), v1::Build::STATE_CANCELLED);
  });
  AwaitState(name, v1::Build::STATE_CANCELLING);
  Stop();
  canceller.join();
}

TEST_F(DrainTest, AllIsThereAfterARestart) {
  Start();
  std::vector<std::string> builds;
  for (const char* script : {"stdout x\n", "exit 3\n", "signal 9\n"}) {
    builds.push_back(Bytes(Await(Create(Request("ctx", script)))));
  }
  const absl::StatusOr<v1::ListBuildsResponse> before = api().List();
  std::vector<std::vector<std::string>> events;
  for (const v1::Build& build : before->builds()) {
    events.push_back(api().Watch(build.name())->Rest());
  }
  for (int i = 0; i < 3; ++i) {
    Stop();
    Start();
    EXPECT_EQ(Bytes(*api().List()), Bytes(*before));
    for (int build = 0; build < before->builds_size(); ++build) {
      EXPECT_EQ(api().Watch(before->builds(build).name())->Rest(),
                events[build]);
    }
  }
}

TEST_F(DrainTest, ASecondServerIsRefusedTheFolder) {
  Start();
  service::ServerOptions options = options_;
  options.listen = {"unix://" + folder_.Path("other.sock")};
  EXPECT_THAT(service::Server::Create(options),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(Await(Create(Request("ctx", ""))).state(),
            v1::Build::STATE_SUCCEEDED);
}

}  // namespace
}  // namespace containerbuilder
