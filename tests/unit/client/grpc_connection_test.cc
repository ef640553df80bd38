#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "containerbuilder/client/client.h"
#include "containerbuilder/client/error_info.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unit/client/cutting_proxy.h"
#include "unit/client/fake_platform.h"
#include "unit/client/fake_service.h"

namespace containerbuilder::client {
namespace {

using test_support::BuildWriter;
using test_support::CuttingProxy;
using test_support::FakePlatform;
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

// A client whose streams are one call.
Client OneCallClient(const std::string& address) {
  return Client(
      ClientOptions{.address = address, .resume_limit = absl::ZeroDuration()});
}

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
    Client client = OneCallClient(service.address());
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
  Client client = OneCallClient(service.address());
  { const BuildStream stream = client.Build(v1::BuildRequest()); }
  EXPECT_FALSE(called);
}

TEST(GrpcConnectionTest, CancelBeforeTheFirstElement) {
  FakeService service;
  service.build = [](const auto&, auto& context, auto& writer) {
    return WaitForCancel(context, writer);
  };
  Client client = OneCallClient(service.address());
  BuildStream stream = client.Build(v1::BuildRequest());
  stream.Cancel();
  EXPECT_THAT(*stream.begin(), StatusIs(absl::StatusCode::kCancelled));
}

TEST(GrpcConnectionTest, CancelFromAnotherThreadAtAnyTime) {
  FakeService service;
  service.build = [](const auto&, auto& context, auto& writer) {
    return WaitForCancel(context, writer);
  };
  Client client = OneCallClient(service.address());
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
  Client client = OneCallClient(service.address());
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
  EXPECT_THAT(*OneCallClient(address).Build(v1::BuildRequest()).begin(),
              StatusIs(absl::StatusCode::kUnavailable));

  Client impatient(ClientOptions{.address = address, .wait_for_ready = false});
  EXPECT_THAT(impatient.Health(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(impatient.CancelBuild("builds/1"),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(*impatient.Build(v1::BuildRequest()).begin(),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(*impatient.Watch("builds/1").begin(),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST(GrpcConnectionTest, ABuildIsNeverSentTwice) {
  FakeService service;
  std::atomic<int> calls = 0;
  service.build = [&](const auto&, auto&, auto&) {
    ++calls;
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining");
  };
  Client client = OneCallClient(service.address());
  EXPECT_THAT(*client.Build(v1::BuildRequest()).begin(),
              StatusIs(absl::StatusCode::kUnavailable, "draining"));
  EXPECT_EQ(calls, 1);
}

TEST(GrpcConnectionTest, ServiceThatGoesAwayEndsTheStream) {
  auto service = std::make_unique<FakeService>();
  service->build = [](const auto&, auto& context, auto& writer) {
    return WaitForCancel(context, writer);
  };
  Client client = OneCallClient(service->address());
  BuildStream stream = client.Build(v1::BuildRequest());
  BuildStream::Iterator it = stream.begin();
  EXPECT_THAT(*it, IsOk());
  service.reset();
  absl::Status last;
  for (; it != stream.end(); ++it) last = it->status();
  EXPECT_FALSE(last.ok());
}

TEST(GrpcConnectionTest, AnswersOfTheBuildsCalls) {
  FakeService service;
  service.create_build = [](const v1::CreateBuildRequest& request,
                            v1::CreateBuildResponse& response) {
    response.mutable_build()->set_name("builds/" + request.request_id());
    return grpc::Status::OK;
  };
  service.get_build = [](const v1::GetBuildRequest& request,
                         v1::GetBuildResponse& response) {
    response.mutable_build()->set_name(request.name());
    return grpc::Status::OK;
  };
  service.list_builds = [](const v1::ListBuildsRequest& request,
                           v1::ListBuildsResponse& response) {
    response.add_builds()->set_name("builds/" + request.page_token());
    if (request.page_token().empty()) response.set_next_page_token("2");
    return grpc::Status::OK;
  };
  service.cancel_build = [](const v1::CancelBuildRequest& request, auto&,
                            v1::CancelBuildResponse& response) {
    response.mutable_build()->set_name(request.name());
    return grpc::Status::OK;
  };
  service.delete_build = [](const v1::DeleteBuildRequest& request) {
    EXPECT_EQ(request.name(), "builds/1");
    return grpc::Status::OK;
  };
  service.watch_build = [](const v1::WatchBuildRequest& request, auto&,
                           BuildWriter& writer) {
    EXPECT_EQ(request.after_sequence(), 41);
    Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
    return grpc::Status::OK;
  };
  Client client(ClientOptions{.address = service.address()});

  v1::CreateBuildRequest request;
  request.set_request_id("1");
  for (const auto& build :
       {client.CreateBuild(request), client.GetBuild("builds/1"),
        client.CancelBuild("builds/1")}) {
    ASSERT_THAT(build, IsOk());
    EXPECT_EQ(build->name(), "builds/1");
  }
  EXPECT_THAT(client.DeleteBuild("builds/1"), IsOk());
  std::vector<std::string> names;
  for (const auto& build : client.ListBuilds()) {
    names.push_back(build.value().name());
  }
  EXPECT_THAT(names, ElementsAre("builds/", "builds/2"));
  for (const auto& event : client.Watch("builds/1", 41)) {
    ASSERT_THAT(event, IsOk());
    EXPECT_EQ(event->sequence(), 42);
  }
}

// How often a service that is Unavailable for the first `failures` calls is
// called, and what the client gets.
class RepeatTest : public testing::Test {
 protected:
  RepeatTest() {
    service_.health = [this](auto&) { return Next(); };
    service_.construct_args = [this](auto&, auto&) { return Next(); };
    service_.create_build = [this](auto&, auto&) { return Next(); };
    service_.get_build = [this](auto&, auto&) { return Next(); };
    service_.list_builds = [this](auto&, auto&) { return Next(); };
    service_.cancel_build = [this](auto&, auto&, auto&) { return Next(); };
    service_.delete_build = [this](auto&) { return Next(); };
  }

  grpc::Status Next() {
    return ++calls_ <= failures_ ? error_ : grpc::Status::OK;
  }

  absl::Status Call(const std::string& what) {
    calls_ = 0;
    v1::CreateBuildRequest request;
    if (what == "Health") return client_.Health().status();
    if (what == "ConstructArgs") return client_.ConstructArgs({}).status();
    if (what == "CreateBuild") return client_.CreateBuild(request).status();
    request.set_request_id("1");
    if (what == "CreateBuild 1") return client_.CreateBuild(request).status();
    if (what == "GetBuild") return client_.GetBuild("builds/1").status();
    if (what == "ListBuilds") return client_.ListBuildsPage({}).status();
    if (what == "CancelBuild") return client_.CancelBuild("builds/1").status();
    return client_.DeleteBuild("builds/1");
  }

  FakeService service_;
  const std::shared_ptr<FakePlatform> platform_ =
      std::make_shared<FakePlatform>();
  Client client_{
      ClientOptions{.address = service_.address(), .platform = platform_}};
  std::atomic<int> calls_ = 0;
  int failures_ = 0;
  grpc::Status error_ = {grpc::StatusCode::UNAVAILABLE, "down"};
};

constexpr const char* kRepeatable[] = {"Health",      "ConstructArgs",
                                       "GetBuild",    "ListBuilds",
                                       "CancelBuild", "CreateBuild 1"};

TEST_F(RepeatTest, CallsThatMayBeRepeatedAre) {
  failures_ = 3;
  for (const char* what : kRepeatable) {
    SCOPED_TRACE(what);
    EXPECT_THAT(Call(what), IsOk());
    EXPECT_EQ(calls_, 4);
  }
}

TEST_F(RepeatTest, OthersAreNot) {
  failures_ = 1;
  for (const char* what : {"CreateBuild", "DeleteBuild"}) {
    EXPECT_THAT(Call(what), StatusIs(absl::StatusCode::kUnavailable, "down"));
    EXPECT_EQ(calls_, 1);
  }
}

TEST_F(RepeatTest, ForAsLongAsTheTimeout) {
  failures_ = 1000;
  const auto start = platform_->Now();
  EXPECT_THAT(Call("GetBuild"),
              StatusIs(absl::StatusCode::kUnavailable, "down"));
  EXPECT_GT(calls_, 5);
  EXPECT_LE(absl::FromChrono(platform_->Now() - start), absl::Seconds(30));
}

TEST_F(RepeatTest, OtherCodesAreAnswers) {
  failures_ = 1;
  for (const auto code :
       {grpc::StatusCode::NOT_FOUND, grpc::StatusCode::INTERNAL,
        grpc::StatusCode::UNKNOWN, grpc::StatusCode::ABORTED}) {
    error_ = {code, "no"};
    for (const char* what : kRepeatable) {
      EXPECT_FALSE(Call(what).ok());
      EXPECT_EQ(calls_, 1);
    }
  }
}

TEST_F(RepeatTest, AReasonOfTheServiceIsAnAnswer) {
  failures_ = 1;
  error_ = Refusal(grpc::StatusCode::UNAVAILABLE, "no", "OTHER", "f", "d");
  EXPECT_THAT(Call("GetBuild"), HasReason("OTHER"));
  error_ = Refusal(grpc::StatusCode::UNAVAILABLE, "no", "DRAINING", "f", "d");
  EXPECT_THAT(Call("GetBuild"), IsOk());
}

TEST(GrpcConnectionTest, CancelBuildHasNoTimeoutOnceItIsReached) {
  FakeService service;
  service.cancel_build = [](const auto&, grpc::ServerContext& context, auto&) {
    // What a deadline leaves: longer than any timeout, or none at all.
    EXPECT_GT(context.deadline(),
              std::chrono::system_clock::now() + std::chrono::hours(24));
    return grpc::Status::OK;
  };
  Client client(ClientOptions{.address = service.address(),
                              .timeout = absl::Seconds(30)});
  EXPECT_THAT(client.CancelBuild("builds/1"), IsOk());

  service.cancel_build = [](const auto&, grpc::ServerContext& context, auto&) {
    while (!context.IsCancelled()) std::this_thread::yield();
    return grpc::Status::OK;
  };
  EXPECT_THAT(client.CancelBuild("builds/1", absl::Milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(GrpcConnectionTest, CancelOfAResumingStreamStopsTheBuild) {
  FakeService service;
  std::promise<void> cancelled;
  std::shared_future<void> is_cancelled = cancelled.get_future().share();
  service.build = [&](const auto&, auto&, BuildWriter& writer) {
    Send(writer, OutputEvent(kStdout, "a"));
    is_cancelled.wait();
    Send(writer, FinishedEvent(v1::Build::STATE_CANCELLED));
    return grpc::Status::OK;
  };
  service.cancel_build = [&](const v1::CancelBuildRequest& request, auto&,
                             auto&) {
    EXPECT_EQ(request.name(), "builds/1");
    cancelled.set_value();
    return grpc::Status::OK;
  };
  Client client(ClientOptions{.address = service.address()});
  BuildStream stream = client.Build(v1::BuildRequest());
  std::vector<absl::Status> elements;
  for (const auto& event : stream) {
    elements.push_back(event.status());
    if (event.ok() && event->has_output()) stream.Cancel();
  }
  EXPECT_THAT(elements, ElementsAre(IsOk(), IsOk(),
                                    StatusIs(absl::StatusCode::kCancelled)));
}

// A service whose one build is always the same, behind connections that break.
class BrokenConnectionTest : public testing::Test {
 protected:
  static constexpr int kOutputs = 8;

  BrokenConnectionTest() {
    service_.build = [](const auto&, auto&, BuildWriter& writer) {
      SendAfter(writer, 0);
      return grpc::Status::OK;
    };
    service_.watch_build = [](const v1::WatchBuildRequest& request, auto&,
                              BuildWriter& writer) {
      SendAfter(writer, request.after_sequence());
      return grpc::Status::OK;
    };
  }

  static std::string Bytes(int output) {
    return std::string(3000, static_cast<char>('a' + output));
  }

  static void SendAfter(BuildWriter& writer, std::int64_t sequence) {
    for (auto i = sequence; i < kOutputs; ++i) {
      Send(writer, OutputEvent(kStdout, Bytes(static_cast<int>(i))));
    }
    Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
  }

  static void ExpectWhole(BuildStream stream) {
    std::string expected;
    for (int i = 0; i < kOutputs; ++i) expected += Bytes(i);
    std::string bytes;
    for (const auto& event : stream) {
      ASSERT_THAT(event, IsOk());
      bytes += event->output().data();
    }
    EXPECT_TRUE(bytes == expected);
  }

  FakeService service_;
};

TEST_F(BrokenConnectionTest, ACutAnywhereIsInvisible) {
  // Before anything, in the handshake, and in the middle of messages.
  for (const std::size_t cut : {0, 1, 20, 100, 1000, 3100, 5000, 24000}) {
    SCOPED_TRACE(cut);
    const CuttingProxy proxy(service_.socket_path(), {cut});
    ExpectWhole(Client(ClientOptions{.address = proxy.address()})
                    .Build(v1::BuildRequest()));
    EXPECT_GE(proxy.connections(), 2);
  }
}

TEST_F(BrokenConnectionTest, ManyCutsInARowAreInvisible) {
  const CuttingProxy proxy(service_.socket_path(),
                           {100, 4000, 0, 3500, 200, 7000, 10});
  ExpectWhole(
      Client(ClientOptions{.address = proxy.address(), .wait_for_ready = false})
          .Build(v1::BuildRequest()));
  EXPECT_GE(proxy.connections(), 8);
}

TEST_F(BrokenConnectionTest, AWatchIsCutInvisibly) {
  const CuttingProxy proxy(service_.socket_path(), {5000, 5000});
  ExpectWhole(
      Client(ClientOptions{.address = proxy.address()}).Watch("builds/1"));
}

}  // namespace
}  // namespace containerbuilder::client
