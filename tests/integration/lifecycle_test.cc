// How builds are stopped, by whom, and that nothing of them is left; and how
// servers begin and end.

#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "containerbuilder/v1/container_builder.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"
#include "support/processes.h"
#include "support/status_matchers.h"
#include "support/test_server.h"

namespace containerbuilder {
namespace {

using ::containerbuilder::test_support::BuildLog;
using ::containerbuilder::test_support::Collect;
using ::containerbuilder::test_support::Eventually;
using ::containerbuilder::test_support::EventuallyExists;
using ::containerbuilder::test_support::IsGone;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::ReadAll;
using ::containerbuilder::test_support::ReadPids;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TestServer;

class LifecycleTest : public testing::Test {
 protected:
  // Ten minutes of work by nerdctl, a child in its group and a grandchild that
  // escaped it; `ready` exists once all run.
  v1::BuildRequest LongBuild(const std::string& extra = "") {
    return server_.Request(
        "ctx", absl::StrCat("pid ", pids_, "\n", extra,
                            "fork-hold 600\nsetsid-hold 600\ntouch ", ready_,
                            "\nstdout running\nsleep 600\n"));
  }

  // All three are gone, zombies too.
  void ExpectNothingLeft() {
    const std::vector<pid_t> pids = ReadPids(pids_);
    EXPECT_EQ(pids.size(), 3U);
    EXPECT_TRUE(Eventually(
        [&pids] { return std::all_of(pids.begin(), pids.end(), IsGone); }));
    // Nor files in TMPDIR.
    const std::string builds = server_.folder().Path("state/builds");
    EXPECT_TRUE(Eventually([&builds] {
      return std::none_of(
          std::filesystem::directory_iterator(builds), {},
          [](const auto& build) {
            return std::filesystem::exists(build.path() / "tmp");
          });
    }));
  }

  TestServer server_{[](service::ServerOptions& options) {
    options.reap_orphans = false;
    options.drain_timeout = absl::ZeroDuration();
  }};
  const std::string pids_ = server_.folder().Path("pids");
  const std::string ready_ = server_.folder().Path("ready");
};

TEST_F(LifecycleTest, DestroyingTheStreamCancels) {
  v1::BuildRequest request = LongBuild();
  request.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_CANCEL);
  {
    client::BuildStream stream = server_.LocalClient().Build(request);
    for (const absl::StatusOr<v1::BuildEvent>& event : stream) {
      ASSERT_THAT(event, IsOk());
      if (event->has_output()) break;
    }
  }
  ExpectNothingLeft();
}

TEST_F(LifecycleTest, CancelFromAnotherThread) {
  v1::BuildRequest request = LongBuild();
  // The build may be ready before its name has come, by which it is cancelled;
  // then the call alone is.
  request.mutable_policy()->mutable_linger()->set_nanos(1'000'000);
  client::BuildStream stream = server_.LocalClient().Build(request);
  std::thread canceller([this, &stream] {
    EXPECT_TRUE(EventuallyExists(ready_));
    stream.Cancel();
  });
  absl::Status last;
  for (const absl::StatusOr<v1::BuildEvent>& event : stream) {
    last = event.status();
  }
  canceller.join();
  EXPECT_THAT(last, StatusIs(absl::StatusCode::kCancelled));
  ExpectNothingLeft();
}

TEST_F(LifecycleTest, TheCallsDeadlineStopsIt) {
  const auto stub = v1::ContainerBuilder::NewStub(grpc::CreateChannel(
      server_.unix_address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(15)));
  const auto reader = stub->Build(&context, LongBuild());
  v1::BuildResponse response;
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(EventuallyExists(ready_));
  ExpectNothingLeft();
}

TEST_F(LifecycleTest, WhatIgnoresSigtermIsKilledAfterTheGrace) {
  v1::BuildRequest request = LongBuild("ignore-term\n");
  request.mutable_policy()->mutable_grace_period()->set_nanos(100'000'000);
  request.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_CANCEL);
  {
    client::BuildStream stream = server_.LocalClient().Build(request);
    for (const absl::StatusOr<v1::BuildEvent>& event : stream) {
      ASSERT_THAT(event, IsOk());
      if (event->has_output()) break;
    }
  }
  ExpectNothingLeft();
}

TEST(LifecycleRaceTest, CancelAtAnyMomentLeavesNothing) {
  // Cancels meet events, heartbeats and waits for them.
  const TestServer server([](service::ServerOptions& options) {
    options.heartbeat_interval = absl::Milliseconds(1);
  });
  for (int i = 0; i < 60; ++i) {
    grpc::ClientContext context;
    const auto stub = v1::ContainerBuilder::NewStub(grpc::CreateChannel(
        server.unix_address(), grpc::InsecureChannelCredentials()));
    const auto reader = stub->Build(
        &context, server.Request("ctx", "lines stdout 2000\nsleep 600\n"));
    std::thread canceller([&context, i] {
      absl::SleepFor(absl::Microseconds(i * 200));
      context.TryCancel();
    });
    v1::BuildResponse response;
    while (reader->Read(&response)) {
    }
    canceller.join();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  // Those that were admitted at all have all ended.
  const std::string builds = server.folder().Path("state/builds");
  EXPECT_TRUE(Eventually([&builds] {
    return std::none_of(std::filesystem::directory_iterator(builds), {},
                        [](const auto& build) {
                          return std::filesystem::exists(build.path() / "tmp");
                        });
  }));
}

TEST_F(LifecycleTest, ShutdownInterruptsAndTells) {
  client::BuildStream stream = server_.LocalClient().Build(LongBuild());
  BuildLog log;
  std::thread stopper([this] {
    EXPECT_TRUE(EventuallyExists(ready_));
    server_.server().Shutdown();
  });
  for (const absl::StatusOr<v1::BuildEvent>& event : stream) {
    if (event.ok()) {
      Collect(*event, log);
    } else {
      log.status = event.status();
    }
  }
  stopper.join();
  ASSERT_TRUE(log.events.back().has_finished());
  EXPECT_THAT(log.status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(log.build().state(), v1::Build::STATE_INTERRUPTED);
  EXPECT_EQ(log.build().failure().reason(), "SHUTDOWN");
  EXPECT_TRUE(log.build().failure().retryable());
  ExpectNothingLeft();
}

TEST(ServerTest, TellsRealAddresses) {
  TestServer server;
  EXPECT_EQ(server.unix_address(), "unix://" + server.folder().Path("cb.sock"));
  EXPECT_THAT(server.tcp_address(),
              testing::MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"));
  EXPECT_EQ(
      std::filesystem::status(server.folder().Path("cb.sock")).permissions(),
      std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(ServerTest, RefusesWhatAnotherHolds) {
  TestServer first;
  const auto create = [&first](const std::string& address,
                               const std::string& state) {
    service::ServerOptions options;
    options.listen = {address};
    options.state_dir = first.folder().Path(state);
    options.nerdctl = FAKE_NERDCTL;
    return service::Server::Create(options).status();
  };
  const std::string free_socket = "unix://" + first.folder().Path("b.sock");
  EXPECT_THAT(create(free_socket, "state"),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(create(first.unix_address(), "other"),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(create(first.tcp_address(), "other"),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       testing::HasSubstr("--listen=")));
  // And the first is undisturbed.
  EXPECT_THAT(first.LocalClient().Health(), IsOk());
  EXPECT_THAT(first.TcpClient().Health(), IsOk());
}

TEST(ServerTest, RefusesToBeOpenToAllUnlessToldSo) {
  test_support::TempDir folder;
  service::ServerOptions options;
  options.listen = {"0.0.0.0:0"};
  options.state_dir = folder.Path("state");
  options.nerdctl = FAKE_NERDCTL;
  EXPECT_THAT(service::Server::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::HasSubstr("--insecure")));
  options.insecure = true;
  EXPECT_THAT(service::Server::Create(options), IsOk());
}

TEST(ServerTest, StartsAgainWhereItStopped) {
  test_support::TempDir folder;
  service::ServerOptions options;
  options.listen = {"unix://" + folder.Path("cb.sock")};
  options.state_dir = folder.Path("state");
  options.nerdctl = FAKE_NERDCTL;
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<std::unique_ptr<service::Server>> server =
        service::Server::Create(options);
    ASSERT_THAT(server, IsOk());
    (*server)->Shutdown();
    (*server)->Shutdown();
    EXPECT_FALSE(std::filesystem::exists(folder.Path("cb.sock")));
  }
}

// The look at health goes on until it is shut down, and must not find the
// server gone.
TEST(ServerTest, StopsWhileItLooksAtHealth) {
  for (int i = 0; i < 50; ++i) {
    TestServer server([](service::ServerOptions& options) {
      options.health_interval = absl::Milliseconds(1);
    });
    ASSERT_THAT(server.LocalClient().Health(), IsOk());
  }
}

// Of grpc.health.v1, whose messages are of one field each; 0 where there is no
// answer.
char ServingStatus(const std::string& address) {
  grpc::GenericStub stub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  // The socket is there a moment before it is listened on.
  context.set_wait_for_ready(true);
  const grpc::ByteBuffer request(nullptr, 0);
  grpc::ByteBuffer response;
  absl::Notification answered;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", {}, &request,
                 &response,
                 [&answered](const grpc::Status&) { answered.Notify(); });
  answered.WaitForNotification();
  std::vector<grpc::Slice> slices;
  if (!response.Dump(&slices).ok() || slices.empty()) return 0;
  const std::string bytes(reinterpret_cast<const char*>(slices[0].begin()),
                          slices[0].size());
  return bytes.size() == 2 && bytes[0] == '\x08' ? bytes[1] : '\0';
}

TEST(ServerTest, DoesNotSayThatItServesBeforeItKnows) {
  constexpr char kNotServing = 2;
  test_support::TempDir folder;
  const std::string nerdctl = folder.WriteFile(
      "nerdctl", absl::StrCat("#!/bin/sh\nuntil [ -e ", folder.Path("gate"),
                              " ]; do sleep 0.01; done\nexec ", FAKE_NERDCTL,
                              " \"$@\"\n"));
  std::filesystem::permissions(nerdctl, std::filesystem::perms::owner_all);
  const std::string socket = folder.Path("cb.sock");
  std::unique_ptr<service::Server> server;
  std::thread starting([&] {
    service::ServerOptions options;
    options.listen = {"unix://" + socket};
    options.state_dir = folder.Path("state");
    options.nerdctl = nerdctl;
    auto created = service::Server::Create(options);
    ASSERT_THAT(created, IsOk());
    server = *std::move(created);
  });
  ASSERT_TRUE(EventuallyExists(socket));
  EXPECT_EQ(ServingStatus("unix://" + socket), kNotServing);
  folder.WriteFile("gate", "");
  starting.join();
  EXPECT_NE(server, nullptr);
}

TEST(ServerTest, LooksAtHealthAtMostAThousandTimesASecond) {
  service::ServerOptions options;
  test_support::TempDir folder;
  options.state_dir = folder.Path("state");
  options.nerdctl = FAKE_NERDCTL;
  options.health_interval = absl::Microseconds(999);
  EXPECT_THAT(service::Server::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::HasSubstr("--health_interval: at least 1ms")));
}

TEST(ServerTest, AnswersHealthInARowPerPart) {
  TestServer server;
  const absl::StatusOr<v1::HealthResponse> health =
      server.LocalClient().Health();
  ASSERT_THAT(health, IsOk());
  std::vector<std::string> names;
  for (const v1::HealthCheck& check : health->checks()) {
    names.push_back(check.name());
    EXPECT_NE(check.state(), v1::HealthCheck::STATE_UNSPECIFIED);
    EXPECT_FALSE(check.message().empty()) << check.name();
  }
  EXPECT_THAT(names, testing::ElementsAre("platform", "docker_buildkit",
                                          "nerdctl", "buildkit", "buildkitd",
                                          "containerd", "disk", "queue"));
  EXPECT_EQ(health->nerdctl_version(), "1.7.7");
  EXPECT_TRUE(health->buildkit_support());
}

}  // namespace
}  // namespace containerbuilder
