// Client::BuildAsync and Client::WatchAsync.

#include "containerbuilder/client/async_build.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/error_info.h"
#include "containerbuilder/client_mocks/mock_connection.h"
#include "support/status_matchers.h"
#include "unit/client/cutting_proxy.h"
#include "unit/client/fake_service.h"
#include "unit/client/resuming_fixture.h"

namespace containerbuilder::client {
namespace {

using client_mocks::FakeBuildEventSource;
using test_support::BuildWriter;
using test_support::CuttingProxy;
using test_support::EventAt;
using test_support::FakeService;
using test_support::FinishedEvent;
using test_support::HangingSource;
using test_support::IsOk;
using test_support::kEvents;
using test_support::Lost;
using test_support::OutputEvent;
using test_support::Refusal;
using test_support::ResumingTest;
using test_support::Send;
using test_support::StatusIs;
using test_support::UnreachedSource;
using test_support::WithReason;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;

// What a build tells, checked on the way: one thing at a time, and nothing
// after the end.
class Recorder final : public BuildObserver {
 public:
  // Called for each event that is no heartbeat.
  std::function<void(const v1::BuildEvent&)> on_event;

  void OnEvent(v1::BuildEvent event) override {
    EXPECT_FALSE(busy_.exchange(true));
    EXPECT_FALSE(done_.HasBeenNotified());
    if (!event.has_heartbeat()) {
      events_.push_back(event);
      if (on_event) on_event(event);
    }
    busy_ = false;
  }
  void OnDone(const absl::Status& status) override {
    EXPECT_FALSE(busy_.exchange(true));
    status_ = status;
    done_.Notify();
  }

  absl::Status Wait() {
    EXPECT_TRUE(done_.WaitForNotificationWithTimeout(absl::Seconds(60)));
    return status_;
  }
  // All of them, once and in order; once the build was waited for.
  void ExpectWhole() const {
    ASSERT_THAT(events_, SizeIs(kEvents));
    for (int i = 0; i < kEvents; ++i) EXPECT_EQ(events_[i].sequence(), i + 1);
  }
  const std::vector<v1::BuildEvent>& events() const { return events_; }

 private:
  std::atomic<bool> busy_ = false;
  std::vector<v1::BuildEvent> events_;
  absl::Status status_;
  absl::Notification done_;
};

class AsyncBuildTest : public ResumingTest {
 protected:
  AsyncBuildTest() {
    ExpectAsync();
    ON_CALL(*connection_, CancelBuildAsync)
        .WillByDefault(
            [this](const v1::CancelBuildRequest& request, absl::Duration wait,
                   const std::function<void(const absl::Status&)>& done) {
              EXPECT_EQ(request.name(), "builds/1");
              EXPECT_EQ(wait, absl::Seconds(5));
              ++cancels_;
              absl::Status answer;
              if (!answers_.empty()) {
                answer = answers_.front();
                answers_.pop_front();
              }
              if (answer.ok() && cut_on_cancel_) cut_on_cancel_->Cancel();
              done(answer);
            });
  }

  ~AsyncBuildTest() override { platform_->Join(); }

  // The next call gives these events and then waits until CancelBuild was
  // taken or it is cancelled itself.
  void ExpectHangingCall(int first, int last) {
    std::deque<v1::BuildEvent> events;
    for (int sequence = first; sequence <= last; ++sequence) {
      events.push_back(EventAt(sequence));
    }
    auto source = std::make_unique<HangingSource>(std::move(events));
    cut_on_cancel_ = source.get();
    sources_.push_back(std::move(source));
  }

  // Has `act` called with the build at the event of that sequence.
  void At(int sequence, std::function<void(AsyncBuild&)> act) {
    recorder_->on_event = [this, sequence,
                           act = std::move(act)](const v1::BuildEvent& event) {
      if (event.sequence() != sequence) return;
      started_.WaitForNotification();
      act(*build_);
    };
  }
  void Build(ClientOptions options = {}) {
    build_ = MakeClient(options).BuildAsync(v1::BuildRequest(), recorder_);
    started_.Notify();
  }
  void Watch(const v1::WatchBuildRequest& request) {
    build_ = MakeClient().WatchAsync(request, recorder_);
    started_.Notify();
  }

  const std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  std::optional<AsyncBuild> build_;
  absl::Notification started_;
  std::atomic<int> cancels_ = 0;
  std::deque<absl::Status> answers_;
  BuildEventSource* cut_on_cancel_ = nullptr;
};

TEST_F(AsyncBuildTest, TellsEveryEventAndTheEnd) {
  Build();
  EXPECT_THAT(recorder_->Wait(), IsOk());
  recorder_->ExpectWhole();
  ASSERT_THAT(build_requests_, SizeIs(1));
  EXPECT_EQ(build_requests_[0].policy().disconnect_policy(),
            v1::DISCONNECT_POLICY_LINGER);
  EXPECT_FALSE(build_requests_[0].request_id().empty());
}

TEST_F(AsyncBuildTest, ABuildThatFailedEndsWithItsStatus) {
  sources_.push_back(std::make_unique<FakeBuildEventSource>(
      std::deque<v1::BuildEvent>{FinishedEvent(v1::Build::STATE_TIMED_OUT)},
      Lost()));
  Build();
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_THAT(recorder_->events(), SizeIs(1));
}

TEST_F(AsyncBuildTest, ResumesWithNoGapAndNoRepeat) {
  plan_ = {{0, Lost()}, {2, Lost()}, {2, absl::OkStatus()}, {5, Lost()}};
  Build();
  EXPECT_THAT(recorder_->Wait(), IsOk());
  recorder_->ExpectWhole();
  EXPECT_THAT(calls_,
              ElementsAre("build", "build", "watch 2", "watch 2", "watch 5"));
  EXPECT_THAT(platform_->waits(), SizeIs(4));
}

TEST_F(AsyncBuildTest, WaitsAsLongAsTheServiceAsks) {
  plan_ = {{3, test_support::WithRetryDelay(
                   WithReason(absl::StatusCode::kUnavailable, "DRAINING"), 7)}};
  Build();
  EXPECT_THAT(recorder_->Wait(), IsOk());
  EXPECT_THAT(platform_->waits(), ElementsAre(absl::Seconds(7)));
}

TEST_F(AsyncBuildTest, WaitsOutARateLimit) {
  const absl::Status limited = test_support::WithRetryDelay(
      WithReason(absl::StatusCode::kResourceExhausted, "RATE_LIMITED"), 2);
  plan_ = {{3, Lost()}, {0, limited}, {5, limited}};
  Build();
  EXPECT_THAT(recorder_->Wait(), IsOk());
  recorder_->ExpectWhole();
  EXPECT_THAT(calls_, ElementsAre("build", "watch 3", "watch 3", "watch 5"));
  EXPECT_THAT(platform_->waits(),
              ElementsAre(testing::_, absl::Seconds(2), absl::Seconds(2)));
}

TEST_F(AsyncBuildTest, ARateLimitEndsWhatIsNotAdmitted) {
  const absl::Status limited = test_support::WithRetryDelay(
      WithReason(absl::StatusCode::kResourceExhausted, "RATE_LIMITED"), 2);
  plan_ = {{0, limited}};
  Build();
  EXPECT_EQ(recorder_->Wait(), limited);
  EXPECT_THAT(calls_, ElementsAre("build"));
}

TEST_F(AsyncBuildTest, GivesUpWhenTheBuildWouldBeGone) {
  plan_ = {{3, Lost()}};
  all_calls_ = Call{0, Lost()};
  Build();
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_LE(Waited(), absl::Seconds(60));
  EXPECT_GT(Waited(), absl::Seconds(50));
}

TEST_F(AsyncBuildTest, ARefusalEndsIt) {
  plan_ = {{0, absl::InvalidArgumentError("no")}};
  Build();
  EXPECT_THAT(recorder_->Wait(),
              StatusIs(absl::StatusCode::kInvalidArgument, "no"));
  EXPECT_THAT(calls_, ElementsAre("build"));
}

TEST_F(AsyncBuildTest, DoesNotResumeWhereItIsNotTo) {
  plan_ = {{3, Lost()}};
  Build({.resume_limit = absl::ZeroDuration()});
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(calls_, ElementsAre("build"));
  EXPECT_TRUE(build_requests_[0].request_id().empty());
}

TEST_F(AsyncBuildTest, NobodyListens) {
  sources_.push_back(std::make_unique<UnreachedSource>());
  Build({.wait_for_ready = false});
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(calls_, ElementsAre("build"));
}

TEST_F(AsyncBuildTest, AGapIsDataLoss) {
  sources_.push_back(std::make_unique<FakeBuildEventSource>(
      std::deque<v1::BuildEvent>{EventAt(1), EventAt(3)}));
  Build();
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(recorder_->events(), SizeIs(1));
}

TEST_F(AsyncBuildTest, AWatchJoinsAfterAnyEvent) {
  plan_ = {{4, Lost()}};
  v1::WatchBuildRequest request;
  request.set_name("builds/1");
  request.set_after_sequence(2);
  Watch(request);
  EXPECT_THAT(recorder_->Wait(), IsOk());
  EXPECT_THAT(recorder_->events(), SizeIs(kEvents - 2));
  EXPECT_THAT(calls_, ElementsAre("watch 2", "watch 4"));
}

TEST_F(AsyncBuildTest, AWatchWithoutFollowingEndsWell) {
  plan_ = {{3, absl::OkStatus()}};
  v1::WatchBuildRequest request;
  request.set_name("builds/1");
  request.set_no_follow(true);
  Watch(request);
  EXPECT_THAT(recorder_->Wait(), IsOk());
  EXPECT_THAT(recorder_->events(), SizeIs(3));
}

TEST_F(AsyncBuildTest, CancelStopsTheBuildAndGoesOn) {
  for (int last = 1; last < kEvents; ++last) {
    SCOPED_TRACE(last);
    ExpectHangingCall(1, last);
    const auto recorder = std::make_shared<Recorder>();
    std::optional<AsyncBuild> build;
    absl::Notification started;
    recorder->on_event = [&](const v1::BuildEvent& event) {
      if (event.sequence() != last) return;
      started.WaitForNotification();
      build->Cancel();
      build->Cancel();
    };
    build = MakeClient().BuildAsync(v1::BuildRequest(), recorder);
    started.Notify();
    EXPECT_THAT(recorder->Wait(), IsOk());
    recorder->ExpectWhole();
    EXPECT_EQ(cancels_.exchange(0), 1);
  }
}

TEST_F(AsyncBuildTest, CancelBeforeTheFirstEventEndsTheCall) {
  ExpectHangingCall(1, 0);
  Build();
  build_->Cancel();
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(cancels_, 0);
}

TEST_F(AsyncBuildTest, CancelIsSentAgainUntilItIsTaken) {
  answers_ = {Lost(), WithReason(absl::StatusCode::kUnavailable, "DRAINING"),
              absl::DeadlineExceededError("still stopping"),
              WithReason(absl::StatusCode::kResourceExhausted, "RATE_LIMITED"),
              Lost()};
  ExpectHangingCall(1, 3);
  At(3, [](AsyncBuild& build) { build.Cancel(); });
  Build();
  EXPECT_THAT(recorder_->Wait(), IsOk());
  EXPECT_EQ(cancels_, 6);
  EXPECT_THAT(platform_->waits(), SizeIs(Ge(4U)));
}

TEST_F(AsyncBuildTest, CancelThatGotNoAnswerMayBeSentAgain) {
  answers_ = {test_support::WithRetryDelay(
      absl::DeadlineExceededError("still stopping"), 61)};
  ExpectHangingCall(1, 3);
  At(3, [](AsyncBuild& build) {
    build.Cancel();
    build.Cancel();
    build.Cancel();
  });
  Build();
  EXPECT_THAT(recorder_->Wait(), IsOk());
  EXPECT_EQ(cancels_, 2);
}

TEST_F(AsyncBuildTest, CancelThatIsRefusedEndsIt) {
  answers_ = {absl::PermissionDeniedError("not yours")};
  ExpectHangingCall(1, 3);
  At(3, [](AsyncBuild& build) { build.Cancel(); });
  Build();
  EXPECT_THAT(recorder_->Wait(),
              StatusIs(absl::StatusCode::kPermissionDenied, "not yours"));
  EXPECT_THAT(calls_, ElementsAre("build"));
}

TEST_F(AsyncBuildTest, CancelDuringBackoff) {
  for (const int cut : {0, 3}) {
    SCOPED_TRACE(cut);
    plan_ = {{cut, Lost()}};
    calls_.clear();
    cancels_ = 0;
    platform_->set_hold_timers(true);
    const auto recorder = std::make_shared<Recorder>();
    const std::size_t waits = platform_->waits().size();
    AsyncBuild build = MakeClient().BuildAsync(v1::BuildRequest(), recorder);
    ASSERT_TRUE(platform_->AwaitWaits(waits + 1));
    build.Cancel();
    if (cut == 0) {
      EXPECT_THAT(recorder->Wait(), StatusIs(absl::StatusCode::kCancelled));
      EXPECT_THAT(calls_, ElementsAre("build"));
      EXPECT_EQ(cancels_, 0);
    } else {
      EXPECT_THAT(recorder->Wait(), IsOk());
      EXPECT_THAT(calls_, ElementsAre("build", "watch 3"));
      EXPECT_EQ(cancels_, 1);
    }
  }
}

TEST_F(AsyncBuildTest, CancelOfAWatchLeavesTheBuildAlone) {
  ExpectHangingCall(1, 3);
  At(3, [](AsyncBuild& build) { build.Cancel(); });
  v1::WatchBuildRequest request;
  request.set_name("builds/1");
  Watch(request);
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(cancels_, 0);
}

TEST_F(AsyncBuildTest, LeavingTouchesNothing) {
  ExpectHangingCall(1, 3);
  At(3, [](AsyncBuild& build) {
    build.Leave();
    build.Leave();
  });
  Build();
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(cancels_, 0);
  EXPECT_THAT(calls_, ElementsAre("build"));
  build_->Cancel();
  build_->Leave();
}

TEST_F(AsyncBuildTest, LeavingDuringBackoff) {
  plan_ = {{3, Lost()}};
  platform_->set_hold_timers(true);
  Build();
  ASSERT_TRUE(platform_->AwaitWaits(1));
  build_->Leave();
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(calls_, ElementsAre("build"));
}

TEST_F(AsyncBuildTest, TheObserverMayHoldTheBuild) {
  std::weak_ptr<Recorder> held;
  {
    const auto recorder = std::make_shared<Recorder>();
    held = recorder;
    const auto build = std::make_shared<std::optional<AsyncBuild>>();
    recorder->on_event = [build](const v1::BuildEvent& /*event*/) {};
    *build = MakeClient().BuildAsync(v1::BuildRequest(), recorder);
    EXPECT_THAT(recorder->Wait(), IsOk());
  }
  platform_->Join();
  EXPECT_TRUE(held.expired());
}

TEST_F(AsyncBuildTest, CancelFromManyThreadsAtAnyTime) {
  for (int round = 0; round < 200; ++round) {
    calls_.clear();
    cancels_ = 0;
    plan_ = {{2, Lost()}, {4, Lost()}};
    const auto recorder = std::make_shared<Recorder>();
    AsyncBuild build = MakeClient().BuildAsync(v1::BuildRequest(), recorder);
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&build] { build.Cancel(); });
      }
    }
    const absl::Status status = recorder->Wait();
    if (status.ok()) {
      recorder->ExpectWhole();
    } else {
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled));
    }
    EXPECT_THAT(cancels_, Le(1));
  }
}

// --- Over gRPC ---------------------------------------------------------------

class AsyncGrpcTest : public testing::Test {
 protected:
  static constexpr int kOutputs = kEvents - 1;

  AsyncGrpcTest() {
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

  static void SendAfter(BuildWriter& writer, std::int64_t sequence) {
    for (auto i = sequence; i < kOutputs; ++i) {
      Send(writer,
           OutputEvent(v1::BuildOutput::STREAM_STDOUT, std::string(3000, 'x')));
    }
    Send(writer, FinishedEvent(v1::Build::STATE_SUCCEEDED));
  }

  // Sends events for as long as the call lasts; then `left` is told.
  void HangAfter(int events, absl::Notification& left) {
    service_.build = [events, &left](const auto&, grpc::ServerContext& context,
                                     BuildWriter& writer) {
      for (int i = 0; i < events; ++i) {
        Send(writer, OutputEvent(v1::BuildOutput::STREAM_STDOUT, "x"));
      }
      while (!context.IsCancelled()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      left.Notify();
      return grpc::Status::CANCELLED;
    };
  }

  FakeService service_;
  const std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
};

TEST_F(AsyncGrpcTest, ACutAnywhereIsInvisible) {
  for (const std::size_t cut : {0, 1, 20, 100, 1000, 3100, 5000, 14000}) {
    SCOPED_TRACE(cut);
    const CuttingProxy proxy(service_.socket_path(), {cut});
    const auto recorder = std::make_shared<Recorder>();
    // Nothing but the observer is left.
    Client(ClientOptions{.address = proxy.address()})
        .BuildAsync(v1::BuildRequest(), recorder);
    EXPECT_THAT(recorder->Wait(), IsOk());
    recorder->ExpectWhole();
    EXPECT_GE(proxy.connections(), 2);
  }
}

TEST_F(AsyncGrpcTest, AWatchIsCutInvisibly) {
  const CuttingProxy proxy(service_.socket_path(), {5000, 5000});
  v1::WatchBuildRequest request;
  request.set_name("builds/1");
  Client(ClientOptions{.address = proxy.address()})
      .WatchAsync(request, recorder_);
  EXPECT_THAT(recorder_->Wait(), IsOk());
  recorder_->ExpectWhole();
}

TEST_F(AsyncGrpcTest, ARefusalIsToldWithItsDetails) {
  service_.build = [](const auto&, auto&, auto&) {
    return Refusal(grpc::StatusCode::INVALID_ARGUMENT, "no", "OPTION_INVALID",
                   "spec", "why");
  };
  Client(ClientOptions{.address = service_.address()})
      .BuildAsync(v1::BuildRequest(), recorder_);
  const absl::Status status = recorder_->Wait();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, "no"));
  EXPECT_EQ(GetErrorInfo(status)->reason, "OPTION_INVALID");
}

TEST_F(AsyncGrpcTest, NobodyListens) {
  Client({.address = "unix:///nonexistent", .wait_for_ready = false})
      .BuildAsync(v1::BuildRequest(), recorder_);
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(AsyncGrpcTest, AConnectionThatCannotBeMade) {
  Client({.address = "example.test:1", .token = "secret"})
      .BuildAsync(v1::BuildRequest(), recorder_);
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(AsyncGrpcTest, LeavingEndsTheCall) {
  absl::Notification left;
  HangAfter(1, left);
  absl::Notification event;
  recorder_->on_event = [&event](const auto&) { event.Notify(); };
  AsyncBuild build = Client(ClientOptions{.address = service_.address()})
                         .BuildAsync(v1::BuildRequest(), recorder_);
  event.WaitForNotification();
  build.Leave();
  EXPECT_THAT(recorder_->Wait(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(left.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST_F(AsyncGrpcTest, CancelIsSentAndRefused) {
  absl::Notification left;
  HangAfter(1, left);
  service_.cancel_build = [](const v1::CancelBuildRequest& request, auto&,
                             auto&) {
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, request.name());
  };
  absl::Notification event;
  recorder_->on_event = [&event](const auto&) { event.Notify(); };
  AsyncBuild build = Client(ClientOptions{.address = service_.address()})
                         .BuildAsync(v1::BuildRequest(), recorder_);
  event.WaitForNotification();
  build.Cancel();
  EXPECT_THAT(recorder_->Wait(),
              StatusIs(absl::StatusCode::kPermissionDenied, "builds/1"));
  EXPECT_TRUE(left.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST_F(AsyncGrpcTest, CancelAtOnce) {
  for (int round = 0; round < 100; ++round) {
    const auto recorder = std::make_shared<Recorder>();
    service_.cancel_build = [](const auto&, auto&, auto&) {
      return grpc::Status::OK;
    };
    Client(ClientOptions{.address = service_.address()})
        .BuildAsync(v1::BuildRequest(), recorder)
        .Cancel();
    EXPECT_THAT(recorder->Wait(),
                AnyOf(IsOk(), StatusIs(absl::StatusCode::kCancelled)));
  }
}

}  // namespace
}  // namespace containerbuilder::client
