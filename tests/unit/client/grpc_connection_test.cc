#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "containerbuilder/client/client.h"
#include "containerbuilder/client/error_info.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unit/client/fake_service.h"

namespace containerbuilder::client {
namespace {

using test_support::BuildWriter;
using test_support::FakeService;
using test_support::FinishedEvent;
using test_support::HasReason;
using test_support::IsOk;
using test_support::OutputEvent;
using test_support::Refusal;
using test_support::Send;
using test_support::StatusIs;
using test_support::TempDir;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr auto kStdout = v1::BuildOutput::STREAM_STDOUT;

// Runs until the caller has gone away.
grpc::Status WaitForCancel(grpc::ServerContext& context, BuildWriter& writer) {
  v1::BuildEvent heartbeat;
  heartbeat.mutable_heartbeat();
  while (!context.IsCancelled()) Send(writer, heartbeat);
  return grpc::Status::CANCELLED;
}

TEST(GrpcConnectionTest, AnswersOfUnaryCalls) {
  FakeService service;
  service.health = [](v1::HealthResponse& response) {
    response.set_state(v1::HealthResponse::STATE_DEGRADED);
    return grpc::Status::OK;
  };
  service.construct_args = [](const v1::ConstructArgsRequest& request,
                              v1::ConstructArgsResponse& response) {
    response.add_args(request.options().context_path());
    return grpc::Status::OK;
  };
  Client client(ClientOptions{.address = service.address()});

  const auto health = client.Health();
  ASSERT_THAT(health, IsOk());
  EXPECT_EQ(health->state(), v1::HealthResponse::STATE_DEGRADED);

  v1::BuildOptions options;
  options.set_context_path("/src");
  const auto args = client.ConstructArgs(options);
  ASSERT_THAT(args, IsOk());
  EXPECT_THAT(args->args(), ElementsAre("/src"));
}

TEST(GrpcConnectionTest, UnixAddressWithoutSlashes) {
  FakeService service;
  service.health = [](v1::HealthResponse&) { return grpc::Status::OK; };
  Client client(ClientOptions{.address = "unix:" + service.socket_path()});
  EXPECT_THAT(client.Health(), IsOk());
}

TEST(GrpcConnectionTest, DetailsOfAnErrorArePayloads) {
  FakeService service;
  const grpc::Status refusal =
      Refusal(grpc::StatusCode::INVALID_ARGUMENT, "no such tag",
              "OPTION_INVALID", "spec.options", "name it");
  service.build = [&](const auto&, auto&, auto&) { return refusal; };
  service.construct_args = [&](const auto&, auto&) { return refusal; };
  Client client(ClientOptions{.address = service.address()});

  BuildStream stream = client.Build(v1::BuildRequest());
  for (const absl::Status& status :
       {stream.begin()->status(),
        client.ConstructArgs(v1::BuildOptions()).status()}) {
    EXPECT_THAT(status,
                StatusIs(absl::StatusCode::kInvalidArgument, "no such tag"));
    const auto info = GetErrorInfo(status);
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->reason, "OPTION_INVALID");
    EXPECT_EQ(info->domain, "containerbuilder.v1");
    EXPECT_THAT(info->metadata, ElementsAre(Pair("option", "tag")));
    ASSERT_THAT(info->field_violations, SizeIs(1));
    EXPECT_EQ(info->field_violations[0].field, "spec.options");
    EXPECT_EQ(info->field_violations[0].description, "name it");
  }
}

TEST(GrpcConnectionTest, ErrorWithoutDetails) {
  FakeService service;
  service.health = [](v1::HealthResponse&) {
    return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "later");
  };
  const auto health =
      Client(ClientOptions{.address = service.address()}).Health();
  EXPECT_THAT(health, StatusIs(absl::StatusCode::kUnimplemented, "later"));
  EXPECT_EQ(GetErrorInfo(health.status()), std::nullopt);
}

TEST(GrpcConnectionTest, StreamsABuildByteForByte) {
  std::string all_bytes;
  for (int i = 0; i < 256; ++i) all_bytes.push_back(static_cast<char>(i));
  const std::string large(256 * 1024, '\xff');
  FakeService service;
  service.build = [&](const v1::BuildRequest& request, auto&, auto& writer) {
    EXPECT_EQ(request.request_id(), "1");
    Send(writer, OutputEvent(kStdout, all_bytes));
    Send(writer, OutputEvent(kStdout, large));
    Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
    return grpc::Status::OK;
  };

  v1::BuildRequest request;
  request.set_request_id("1");
  std::string bytes;
  Client client(ClientOptions{.address = service.address()});
  for (const auto& event : client.Build(request)) {
    ASSERT_THAT(event, IsOk());
    bytes += event->output().data();
  }
  EXPECT_TRUE(bytes == all_bytes + large);
}

TEST(GrpcConnectionTest, DestroyedStreamCancelsTheCall) {
  FakeService service;
  std::promise<bool> cancelled;
  service.build = [&](const auto&, auto& context, auto& writer) {
    const grpc::Status status = WaitForCancel(context, writer);
    cancelled.set_value(context.IsCancelled());
    return status;
  };
  {
    Client client(ClientOptions{.address = service.address()});
    BuildStream stream = client.Build(v1::BuildRequest());
    EXPECT_THAT(*stream.begin(), IsOk());
  }
  EXPECT_TRUE(cancelled.get_future().get());
}

TEST(GrpcConnectionTest, StreamThatIsNeverReadStartsNothing) {
  FakeService service;
  std::atomic<bool> called = false;
  service.build = [&](const auto&, auto&, auto&) {
    called = true;
    return grpc::Status::OK;
  };
  Client client(ClientOptions{.address = service.address()});
  { const BuildStream stream = client.Build(v1::BuildRequest()); }
  EXPECT_FALSE(called);
}

TEST(GrpcConnectionTest, CancelBeforeTheFirstElement) {
  FakeService service;
  service.build = [](const auto&, auto& context, auto& writer) {
    return WaitForCancel(context, writer);
  };
  Client client(ClientOptions{.address = service.address()});
  BuildStream stream = client.Build(v1::BuildRequest());
  stream.Cancel();
  EXPECT_THAT(*stream.begin(), StatusIs(absl::StatusCode::kCancelled));
}

TEST(GrpcConnectionTest, CancelFromAnotherThreadAtAnyTime) {
  FakeService service;
  service.build = [](const auto&, auto& context, auto& writer) {
    return WaitForCancel(context, writer);
  };
  Client client(ClientOptions{.address = service.address()});
  for (int i = 0; i < 50; ++i) {
    BuildStream stream = client.Build(v1::BuildRequest());
    std::jthread canceller([&stream] { stream.Cancel(); });
    absl::Status last;
    for (const auto& event : stream) last = event.status();
    EXPECT_THAT(last, StatusIs(absl::StatusCode::kCancelled));
  }
}

TEST(GrpcConnectionTest, CancelAfterTheEnd) {
  FakeService service;
  service.build = [](const auto&, auto&, auto& writer) {
    Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
    return grpc::Status::OK;
  };
  Client client(ClientOptions{.address = service.address()});
  BuildStream stream = client.Build(v1::BuildRequest());
  for (const auto& event : stream) EXPECT_THAT(event, IsOk());
  stream.Cancel();
}

// A socket that takes connections and never says a word.
class SilentListener {
 public:
  SilentListener() : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path().c_str());
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    ::listen(fd_, 8);
  }
  ~SilentListener() { ::close(fd_); }
  std::string path() const { return folder_.Path("silent.sock"); }

 private:
  const TempDir folder_;
  const int fd_;
};

TEST(GrpcConnectionTest, CancelWhileConnecting) {
  const SilentListener listener;
  Client client(ClientOptions{.address = "unix://" + listener.path()});
  BuildStream stream = client.Build(v1::BuildRequest());
  const std::jthread canceller([&stream] { stream.Cancel(); });
  EXPECT_THAT(*stream.begin(), StatusIs(absl::StatusCode::kCancelled));
}

TEST(GrpcConnectionTest, NobodyListens) {
  const TempDir folder;
  const std::string address = "unix://" + folder.Path("none.sock");
  Client waiting(
      ClientOptions{.address = address, .timeout = absl::Milliseconds(50)});
  EXPECT_THAT(waiting.Health(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(*waiting.Build(v1::BuildRequest()).begin(),
              StatusIs(absl::StatusCode::kUnavailable));

  Client impatient(ClientOptions{.address = address, .wait_for_ready = false});
  EXPECT_THAT(impatient.Health(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(GrpcConnectionTest, ABuildIsNeverSentTwice) {
  FakeService service;
  std::atomic<int> calls = 0;
  service.build = [&](const auto&, auto&, auto&) {
    ++calls;
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining");
  };
  Client client(ClientOptions{.address = service.address()});
  EXPECT_THAT(*client.Build(v1::BuildRequest()).begin(),
              StatusIs(absl::StatusCode::kUnavailable, "draining"));
  EXPECT_EQ(calls, 1);
}

TEST(GrpcConnectionTest, ServiceThatGoesAwayEndsTheStream) {
  auto service = std::make_unique<FakeService>();
  service->build = [](const auto&, auto& context, auto& writer) {
    return WaitForCancel(context, writer);
  };
  Client client(ClientOptions{.address = service->address()});
  BuildStream stream = client.Build(v1::BuildRequest());
  BuildStream::Iterator it = stream.begin();
  EXPECT_THAT(*it, IsOk());
  service.reset();
  absl::Status last;
  for (; it != stream.end(); ++it) last = it->status();
  EXPECT_FALSE(last.ok());
}

}  // namespace
}  // namespace containerbuilder::client
