// Streams of Client::Build and Client::Watch over connections that break.

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
#include "containerbuilder/client_mocks/mock_connection.h"
#include "support/status_matchers.h"
#include "unit/client/fake_service.h"
#include "unit/client/resuming_fixture.h"

namespace containerbuilder::client {
namespace {

using client_mocks::FakeBuildEventSource;
using client_mocks::MockConnection;
using test_support::EventAt;
using test_support::FinishedEvent;
using test_support::HangingSource;
using test_support::Heartbeat;
using test_support::IsOk;
using test_support::kEvents;
using test_support::Lost;
using test_support::OutputEvent;
using test_support::StatusIs;
using test_support::UnreachedSource;
using test_support::WithReason;
using test_support::WithRetryDelay;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::MatchesRegex;
using ::testing::NiceMock;
using ::testing::Not;
using ::testing::SizeIs;

// Cancels the stream while its first event is waited for.
class CancelledSource final : public BuildEventSource {
 public:
  // Gives the events nevertheless.
  CancelledSource(BuildStream** stream, std::deque<v1::BuildEvent> events,
                  absl::Status end)
      : stream_(stream), events_(std::move(events), end) {}

  std::optional<v1::BuildEvent> Next() override {
    (*stream_)->Cancel();
    EXPECT_TRUE(cancelled_);
    return events_.Next();
  }
  absl::Status Finish() override { return events_.Finish(); }
  void Cancel() override { cancelled_ = true; }

 private:
  BuildStream** const stream_;
  FakeBuildEventSource events_;
  bool cancelled_ = false;
};

class ResumingStreamTest : public test_support::ResumingTest {
 protected:
  // Reads to the end; heartbeats are left out.
  std::vector<absl::StatusOr<v1::BuildEvent>> Read(BuildStream&& stream) {
    return Read(stream);
  }
  std::vector<absl::StatusOr<v1::BuildEvent>> Read(BuildStream& stream) {
    std::vector<absl::StatusOr<v1::BuildEvent>> elements;
    for (const auto& element : stream) {
      if (!element.ok() || !element->has_heartbeat()) {
        elements.push_back(element);
      }
    }
    return elements;
  }

  // Reads to the end: every event once and in order, and no error.
  void ExpectWhole(BuildStream stream) {
    const auto elements = Read(stream);
    EXPECT_THAT(elements, SizeIs(kEvents));
    for (std::size_t i = 0; i < elements.size(); ++i) {
      ASSERT_THAT(elements[i], IsOk());
      EXPECT_EQ(elements[i]->sequence(), static_cast<int>(i) + 1);
    }
  }

  absl::Status LastOf(BuildStream&& stream) { return LastOf(stream); }
  absl::Status LastOf(BuildStream& stream) {
    const auto elements = Read(stream);
    return elements.empty() ? absl::OkStatus() : elements.back().status();
  }
};

TEST_F(ResumingStreamTest, AsksForWhatResumingNeeds) {
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
  ASSERT_THAT(build_requests_, SizeIs(2));
  for (const v1::BuildRequest& request : build_requests_) {
    EXPECT_EQ(request.policy().disconnect_policy(),
              v1::DISCONNECT_POLICY_LINGER);
    EXPECT_EQ(request.policy().linger().seconds(), 60);
    EXPECT_THAT(request.request_id(),
                MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-"
                             "[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  }
  EXPECT_NE(build_requests_[0].request_id(), build_requests_[1].request_id());
}

TEST_F(ResumingStreamTest, KeepsWhatTheRequestSays) {
  v1::BuildRequest request;
  request.set_request_id("mine");
  request.mutable_policy()->set_priority(-1);
  request.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_DETACH);
  ExpectWhole(MakeClient().Build(request));
  request.mutable_policy()->set_disconnect_policy(
      v1::DISCONNECT_POLICY_UNSPECIFIED);
  request.mutable_policy()->mutable_linger()->set_seconds(5);
  ExpectWhole(MakeClient().Build(request));

  ASSERT_THAT(build_requests_, SizeIs(2));
  EXPECT_EQ(build_requests_[0].request_id(), "mine");
  EXPECT_EQ(build_requests_[0].policy().priority(), -1);
  EXPECT_EQ(build_requests_[0].policy().disconnect_policy(),
            v1::DISCONNECT_POLICY_DETACH);
  EXPECT_FALSE(build_requests_[0].policy().has_linger());
  EXPECT_EQ(build_requests_[1].policy().disconnect_policy(),
            v1::DISCONNECT_POLICY_LINGER);
  EXPECT_EQ(build_requests_[1].policy().linger().seconds(), 5);
}

TEST_F(ResumingStreamTest, CutBeforeTheFirstEventSendsTheSameRequestAgain) {
  plan_ = {{0, Lost()}, {0, absl::OkStatus()}, {0, Lost()}};
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
  EXPECT_THAT(calls_, ElementsAre("build", "build", "build", "build"));
  for (const v1::BuildRequest& request : build_requests_) {
    EXPECT_EQ(request.SerializeAsString(),
              build_requests_[0].SerializeAsString());
  }
}

TEST_F(ResumingStreamTest, CutAfterEveryEvent) {
  for (const absl::Status& end :
       {Lost(), absl::CancelledError(), absl::UnknownError("Stream removed"),
        absl::InternalError("RST_STREAM"), absl::DeadlineExceededError(""),
        absl::OkStatus(),
        WithReason(absl::StatusCode::kUnavailable, "DRAINING")}) {
    for (int cut = 1; cut < kEvents; ++cut) {
      SCOPED_TRACE(absl::StrCat(end.ToString(), " after ", cut));
      calls_.clear();
      plan_ = {{cut, end}};
      ExpectWhole(MakeClient().Build(v1::BuildRequest()));
      EXPECT_THAT(calls_, ElementsAre("build", absl::StrCat("watch ", cut)));
    }
  }
}

TEST_F(ResumingStreamTest, CutAfterFinishedDoesNotMatter) {
  plan_ = {{kEvents, Lost()}};
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
  EXPECT_THAT(calls_, ElementsAre("build"));
}

TEST_F(ResumingStreamTest, CutAfterEachOfAllEvents) {
  for (int cut = 0; cut < kEvents; ++cut) plan_.push_back({cut, Lost()});
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
  EXPECT_THAT(calls_, ElementsAre("build", "build", "watch 1", "watch 2",
                                  "watch 3", "watch 4", "watch 5"));
}

TEST_F(ResumingStreamTest, CutSeveralTimesInARowWithNothingBetween) {
  plan_ = {{3, Lost()}, {3, Lost()}, {3, Lost()}, {3, absl::OkStatus()}};
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
  EXPECT_THAT(calls_,
              ElementsAre("build", "watch 3", "watch 3", "watch 3", "watch 3"));
}

TEST_F(ResumingStreamTest, AHeartbeatNamesTheBuild) {
  sources_.push_back(std::make_unique<FakeBuildEventSource>(
      std::deque<v1::BuildEvent>{Heartbeat()}, Lost()));
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
  EXPECT_THAT(calls_, ElementsAre("build", "watch 0"));
}

TEST_F(ResumingStreamTest, WaitsLongerEachTimeAndNeverAllAtOnce) {
  all_calls_ = Call{3, Lost()};
  EXPECT_THAT(LastOf(MakeClient().Build(v1::BuildRequest())),
              StatusIs(absl::StatusCode::kUnavailable, "Socket closed"));
  const std::vector<absl::Duration> waits = platform_->waits();
  ASSERT_THAT(waits, SizeIs(Ge(15U)));
  absl::Duration longest = absl::Milliseconds(100);
  for (const absl::Duration wait : waits) {
    EXPECT_THAT(wait, AllOf(Ge(longest / 2), Le(longest)));
    longest = std::min(longest * 2, absl::Seconds(5));
  }
  // Until the next wait would be too long.
  EXPECT_THAT(Waited(), AllOf(Ge(absl::Seconds(55)), Le(absl::Seconds(60))));
  EXPECT_THAT(calls_, SizeIs(waits.size() + 1));
}

TEST_F(ResumingStreamTest, GivesUpWhenTheBuildWouldBeGone) {
  all_calls_ = Call{3, Lost()};
  v1::BuildRequest request;
  request.mutable_policy()->mutable_linger()->set_seconds(600);
  EXPECT_THAT(LastOf(MakeClient().Build(request)),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Waited(), AllOf(Ge(absl::Seconds(595)), Le(absl::Seconds(600))));
}

TEST_F(ResumingStreamTest, GivesUpWhenItWasTold) {
  all_calls_ = Call{0, Lost()};
  EXPECT_THAT(LastOf(MakeClient({.resume_limit = absl::Seconds(2)})
                         .Build(v1::BuildRequest())),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Waited(), AllOf(Ge(absl::Seconds(1)), Le(absl::Seconds(2))));
}

TEST_F(ResumingStreamTest, TheLimitCountsFromTheLastEvent) {
  // Each outage is as long as can be.
  for (int cut = 1; cut < kEvents; ++cut) {
    plan_.push_back({cut, Lost()});
    for (int i = 0; i < 5; ++i) plan_.push_back({0, Lost()});
  }
  ExpectWhole(
      MakeClient({.resume_limit = absl::Seconds(7)}).Build(v1::BuildRequest()));
  EXPECT_GT(Waited(), absl::Seconds(7));
}

TEST_F(ResumingStreamTest, EndlessOkWithoutFinishedIsUnknown) {
  all_calls_ = Call{2, absl::OkStatus()};
  EXPECT_THAT(
      LastOf(MakeClient().Build(v1::BuildRequest())),
      StatusIs(absl::StatusCode::kUnknown, HasSubstr("without `finished`")));
}

TEST_F(ResumingStreamTest, WaitsAsLongAsTheServiceAsks) {
  plan_ = {{0, WithRetryDelay(
                   WithReason(absl::StatusCode::kUnavailable, "DRAINING"), 7)}};
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
  EXPECT_THAT(platform_->waits(), ElementsAre(absl::Seconds(7)));
}

TEST_F(ResumingStreamTest, GivesUpAtOnceWhereTheServiceAsksForTooLong) {
  all_calls_ = Call{0, WithRetryDelay(Lost(), 61)};
  EXPECT_THAT(LastOf(MakeClient().Build(v1::BuildRequest())),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(calls_, ElementsAre("build"));
}

TEST_F(ResumingStreamTest, AQueuedBuildWaitsForTheServicesRestart) {
  const absl::Status draining =
      WithReason(absl::StatusCode::kUnavailable, "DRAINING");
  plan_ = {{1, draining}, {1, Lost()}, {1, Lost()}, {1, draining}};
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
  EXPECT_THAT(calls_,
              ElementsAre("build", "watch 1", "watch 1", "watch 1", "watch 1"));
}

TEST_F(ResumingStreamTest, ARateLimitEndsOnlyWhatIsNotAdmitted) {
  const absl::Status limited = WithRetryDelay(
      WithReason(absl::StatusCode::kResourceExhausted, "RATE_LIMITED"), 2);
  plan_ = {{3, Lost()}, {0, limited}, {5, limited}};
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
  EXPECT_THAT(calls_, ElementsAre("build", "watch 3", "watch 3", "watch 5"));
  plan_ = {{0, limited}};
  EXPECT_EQ(LastOf(MakeClient().Build(v1::BuildRequest())), limited);
}

TEST_F(ResumingStreamTest, ARefusalEndsIt) {
  const std::vector<absl::Status> refusals = {
      WithReason(absl::StatusCode::kUnavailable, "OTHER"),
      WithReason(absl::StatusCode::kInternal, "OTHER"),
      WithReason(absl::StatusCode::kInvalidArgument, "OPTION_INVALID"),
      WithReason(absl::StatusCode::kResourceExhausted, "QUEUE_FULL"),
      WithReason(absl::StatusCode::kNotFound, "BUILD_NOT_FOUND"),
      WithReason(absl::StatusCode::kDataLoss, "JOURNAL_DAMAGED"),
      WithReason(absl::StatusCode::kOutOfRange, "SEQUENCE_OUT_OF_RANGE"),
      WithReason(absl::StatusCode::kAlreadyExists, "REQUEST_ID_REUSED"),
      absl::NotFoundError("gone"),
      absl::DataLossError("damaged"),
      absl::UnauthenticatedError("who"),
      absl::PermissionDeniedError("no"),
      absl::UnimplementedError("later"),
      absl::ResourceExhaustedError("much"),
  };
  for (const absl::Status& refusal : refusals) {
    for (const int cut : {0, 3}) {
      SCOPED_TRACE(absl::StrCat(refusal.ToString(), " after ", cut));
      calls_.clear();
      // At once, and when it is joined again.
      plan_ = {{cut, refusal}};
      EXPECT_EQ(LastOf(MakeClient().Build(v1::BuildRequest())), refusal);
      plan_ = {{cut, Lost()}, {cut, refusal}};
      EXPECT_EQ(LastOf(MakeClient().Build(v1::BuildRequest())), refusal);
      EXPECT_THAT(calls_, SizeIs(3));
    }
  }
}

TEST_F(ResumingStreamTest, BeforeTheFirstEventOnlyUnavailableIsALoss) {
  for (const auto code :
       {absl::StatusCode::kCancelled, absl::StatusCode::kUnknown,
        absl::StatusCode::kInternal, absl::StatusCode::kDeadlineExceeded}) {
    plan_ = {{0, absl::Status(code, "answer")}};
    EXPECT_THAT(LastOf(MakeClient().Build(v1::BuildRequest())),
                StatusIs(code, "answer"));
  }
}

TEST_F(ResumingStreamTest, GapOrRepeatIsDataLoss) {
  for (const int wrong : {5, 3, 1, 0}) {
    SCOPED_TRACE(wrong);
    calls_.clear();
    plan_ = {{3, Lost()}};
    v1::BuildEvent event = EventAt(4);
    event.set_sequence(wrong);
    event.set_name("builds/1");
    // The fake numbers what has no number.
    std::unique_ptr<BuildEventSource> source =
        std::make_unique<FakeBuildEventSource>(
            std::deque<v1::BuildEvent>{event}, absl::OkStatus(),
            wrong == 0 ? 7 : 3);
    sources_.push_back(nullptr);
    sources_.push_back(std::move(source));
    const auto elements = Read(MakeClient().Build(v1::BuildRequest()));
    ASSERT_THAT(elements, SizeIs(4));
    EXPECT_THAT(elements.back(), StatusIs(absl::StatusCode::kDataLoss,
                                          HasSubstr("after event 3 "
                                                    "of builds/1")));
    EXPECT_THAT(calls_, ElementsAre("build", "watch 3"));
  }
}

TEST_F(ResumingStreamTest, ARepeatedFinishedIsARepeat) {
  plan_ = {{3, Lost()}};
  v1::BuildEvent finished = EventAt(kEvents);
  finished.set_sequence(3);
  sources_.push_back(nullptr);
  sources_.push_back(std::make_unique<FakeBuildEventSource>(
      std::deque<v1::BuildEvent>{finished}));
  EXPECT_THAT(LastOf(MakeClient().Build(v1::BuildRequest())),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ResumingStreamTest, AFailedBuildIsNoReasonToResume) {
  sources_.push_back(std::make_unique<FakeBuildEventSource>(
      std::deque<v1::BuildEvent>{FinishedEvent(v1::Build::STATE_INTERRUPTED)},
      Lost()));
  EXPECT_THAT(Read(MakeClient().Build(v1::BuildRequest())),
              ElementsAre(IsOk(), StatusIs(absl::StatusCode::kAborted)));
  EXPECT_THAT(calls_, SizeIs(1));
}

TEST_F(ResumingStreamTest, DoesNotResumeWhereItIsNotToOrTheBuildIsGone) {
  v1::BuildRequest request;
  for (const int cut : {0, 3}) {
    plan_ = {{cut, Lost()}};
    EXPECT_THAT(
        LastOf(
            MakeClient({.resume_limit = absl::ZeroDuration()}).Build(request)),
        StatusIs(absl::StatusCode::kUnavailable));
  }
  plan_ = {{3, Lost()}};
  EXPECT_THAT(LastOf(MakeClient({.resume_limit = absl::ZeroDuration()})
                         .Watch("builds/1", 2)),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(build_requests_[0].SerializeAsString(), "");

  request.mutable_policy()->set_disconnect_policy(v1::DISCONNECT_POLICY_CANCEL);
  plan_ = {{3, Lost()}};
  EXPECT_THAT(LastOf(MakeClient().Build(request)),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(build_requests_.back().SerializeAsString(),
            request.SerializeAsString());
  EXPECT_THAT(calls_, SizeIs(4));
}

TEST_F(ResumingStreamTest, NobodyListens) {
  sources_.push_back(std::make_unique<UnreachedSource>());
  EXPECT_THAT(
      LastOf(MakeClient({.wait_for_ready = false}).Build(v1::BuildRequest())),
      StatusIs(absl::StatusCode::kUnavailable));
  sources_.push_back(std::make_unique<UnreachedSource>());
  EXPECT_THAT(LastOf(MakeClient({.wait_for_ready = false}).Watch("builds/1")),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(calls_, SizeIs(2));

  // Later, or where one wants to wait, it is a loss as any other.
  sources_.push_back(nullptr);
  sources_.push_back(std::make_unique<UnreachedSource>());
  plan_ = {{0, Lost()}};
  ExpectWhole(MakeClient({.wait_for_ready = false}).Build(v1::BuildRequest()));
  sources_.push_back(std::make_unique<UnreachedSource>());
  ExpectWhole(MakeClient().Build(v1::BuildRequest()));
}

TEST_F(ResumingStreamTest, WatchJoinsAfterAnyEvent) {
  for (int after = 0; after < kEvents; ++after) {
    for (int cut = after; cut < kEvents; ++cut) {
      calls_.clear();
      plan_ = {{cut, Lost()}};
      const auto elements = Read(MakeClient().Watch("builds/1", after));
      ASSERT_THAT(elements, SizeIs(kEvents - after));
      EXPECT_EQ(elements[0]->sequence(), after + 1);
      EXPECT_THAT(calls_, ElementsAre(absl::StrCat("watch ", after),
                                      absl::StrCat("watch ", cut)));
    }
  }
}

TEST_F(ResumingStreamTest, WatchOfAnEndedBuildRepeatsFinished) {
  for (const bool is_cut : {false, true}) {
    if (is_cut) plan_ = {{0, Lost()}};
    if (is_cut) sources_.push_back(nullptr);
    sources_.push_back(std::make_unique<FakeBuildEventSource>(
        std::deque<v1::BuildEvent>{EventAt(kEvents)}));
    EXPECT_THAT(Read(MakeClient().Watch("builds/1", kEvents)),
                ElementsAre(IsOk()));
  }
}

TEST_F(ResumingStreamTest, WatchWithoutFollowingEndsWell) {
  v1::WatchBuildRequest request;
  request.set_name("builds/1");
  request.set_no_follow(true);
  for (const auto& limit :
       {std::optional<absl::Duration>(), std::optional(absl::ZeroDuration())}) {
    plan_ = {{3, absl::OkStatus()}};
    EXPECT_THAT(Read(MakeClient({.resume_limit = limit}).Watch(request)),
                ElementsAre(IsOk(), IsOk(), IsOk()));
  }
  plan_ = {{2, Lost()}, {3, absl::OkStatus()}};
  EXPECT_THAT(Read(MakeClient().Watch(request)),
              ElementsAre(IsOk(), IsOk(), IsOk()));
}

// What Cancel does.
class CancelTest : public ResumingStreamTest {
 protected:
  CancelTest() {
    ON_CALL(*connection_, CancelBuild)
        .WillByDefault(
            [this](const v1::CancelBuildRequest& request, absl::Duration wait)
                -> absl::StatusOr<v1::CancelBuildResponse> {
              EXPECT_EQ(request.name(), "builds/1");
              EXPECT_EQ(wait, absl::Seconds(5));
              const std::lock_guard lock(mutex_);
              ++cancels_;
              absl::Status answer;
              if (!answers_.empty()) {
                answer = answers_.front();
                answers_.pop_front();
              }
              if (answer.ok() && cut_on_cancel_) cut_on_cancel_->Cancel();
              if (!answer.ok()) return answer;
              return v1::CancelBuildResponse();
            });
  }

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

  int cancels() {
    const std::lock_guard lock(mutex_);
    return cancels_;
  }

  std::mutex mutex_;
  int cancels_ = 0;
  std::deque<absl::Status> answers_;
  BuildEventSource* cut_on_cancel_ = nullptr;
};

TEST_F(CancelTest, BeforeItIsReadNothingIsSent) {
  BuildStream stream = MakeClient().Build(v1::BuildRequest());
  stream.Cancel();
  stream.Cancel();
  EXPECT_THAT(LastOf(stream), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(calls_, IsEmpty());
  EXPECT_EQ(cancels(), 0);
}

TEST_F(CancelTest, BeforeTheFirstEventEndsTheCall) {
  for (const absl::Status& end :
       {absl::CancelledError(), Lost(), absl::OkStatus()}) {
    BuildStream* cancelled = nullptr;
    sources_.push_back(std::make_unique<CancelledSource>(
        &cancelled, std::deque<v1::BuildEvent>(), end));
    BuildStream stream = MakeClient().Build(v1::BuildRequest());
    cancelled = &stream;
    EXPECT_THAT(LastOf(stream), StatusIs(absl::StatusCode::kCancelled));
  }
  EXPECT_THAT(calls_, Each("build"));
  EXPECT_EQ(cancels(), 0);
}

TEST_F(CancelTest, ARefusalIsNotHiddenByIt) {
  BuildStream* cancelled = nullptr;
  sources_.push_back(std::make_unique<CancelledSource>(
      &cancelled, std::deque<v1::BuildEvent>(),
      absl::InvalidArgumentError("no")));
  BuildStream stream = MakeClient().Build(v1::BuildRequest());
  cancelled = &stream;
  EXPECT_THAT(LastOf(stream), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(CancelTest, AfterEveryEventHasTheBuildStoppedAndGoesOn) {
  for (int last = 1; last < kEvents; ++last) {
    SCOPED_TRACE(last);
    calls_.clear();
    cancels_ = 0;
    ExpectHangingCall(1, last);
    BuildStream stream = MakeClient().Build(v1::BuildRequest());
    int count = 0;
    for (const auto& event : stream) {
      ASSERT_THAT(event, IsOk());
      if (event->has_heartbeat()) continue;
      ++count;
      if (event->sequence() == last) {
        stream.Cancel();
        stream.Cancel();
      }
    }
    EXPECT_EQ(count, kEvents);
    EXPECT_EQ(cancels(), 1);
    EXPECT_THAT(calls_, ElementsAre("build", absl::StrCat("watch ", last)));
  }
}

TEST_F(CancelTest, TheEventThatIsOnItsWayNamesTheBuild) {
  BuildStream* cancelled = nullptr;
  sources_.push_back(std::make_unique<CancelledSource>(
      &cancelled, std::deque<v1::BuildEvent>{EventAt(1)},
      absl::CancelledError()));
  {
    BuildStream stream = MakeClient().Build(v1::BuildRequest());
    cancelled = &stream;
    EXPECT_THAT(Read(stream), SizeIs(kEvents));
  }
  EXPECT_THAT(calls_, ElementsAre("build", "watch 1"));
  EXPECT_EQ(cancels(), 1);
}

TEST_F(CancelTest, DuringBackoff) {
  for (const int cut : {0, 3}) {
    SCOPED_TRACE(cut);
    calls_.clear();
    cancels_ = 0;
    plan_ = {{cut, Lost()}};
    absl::Status last;
    {
      BuildStream stream = MakeClient().Build(v1::BuildRequest());
      std::jthread canceller;
      platform_->set_on_wait([&](const absl::Notification& interrupt) {
        canceller = std::jthread([&] { stream.Cancel(); });
        interrupt.WaitForNotification();
      });
      last = LastOf(stream);
    }
    if (cut == 0) {
      EXPECT_THAT(last, StatusIs(absl::StatusCode::kCancelled));
      EXPECT_THAT(calls_, ElementsAre("build"));
      EXPECT_EQ(cancels(), 0);
    } else {
      EXPECT_THAT(last, IsOk());
      EXPECT_THAT(calls_, ElementsAre("build", "watch 3"));
      EXPECT_EQ(cancels(), 1);
    }
  }
}

TEST_F(CancelTest, IsSentAgainUntilItIsTaken) {
  answers_ = {Lost(), WithReason(absl::StatusCode::kUnavailable, "DRAINING"),
              absl::DeadlineExceededError("still stopping"),
              WithReason(absl::StatusCode::kResourceExhausted, "RATE_LIMITED"),
              Lost()};
  ExpectHangingCall(1, 3);
  BuildStream stream = MakeClient().Build(v1::BuildRequest());
  for (const auto& event : stream) {
    ASSERT_THAT(event, IsOk());
    if (event->sequence() == 3) stream.Cancel();
  }
  EXPECT_EQ(cancels(), 6);
  EXPECT_THAT(platform_->waits(), SizeIs(Ge(4U)));
}

TEST_F(CancelTest, ThatIsRefusedIsTheLastElement) {
  answers_ = {absl::PermissionDeniedError("not yours")};
  ExpectHangingCall(1, 3);
  BuildStream stream = MakeClient().Build(v1::BuildRequest());
  absl::Status last;
  for (const auto& event : stream) {
    last = event.status();
    if (event.ok() && event->sequence() == 3) stream.Cancel();
  }
  EXPECT_THAT(last, StatusIs(absl::StatusCode::kPermissionDenied, "not yours"));
  EXPECT_THAT(calls_, ElementsAre("build"));
}

TEST_F(CancelTest, ServiceThatIsGoneForGoodEndsIt) {
  all_calls_ = Call{3, Lost()};
  answers_ = std::deque<absl::Status>(1000, Lost());
  BuildStream stream = MakeClient().Build(v1::BuildRequest());
  absl::Status last;
  for (const auto& event : stream) {
    last = event.status();
    if (event.ok() && event->sequence() == 3) stream.Cancel();
  }
  EXPECT_THAT(last, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(CancelTest, AfterTheEndIsHarmless) {
  BuildStream stream = MakeClient().Build(v1::BuildRequest());
  for (const auto& event : stream) {
    EXPECT_THAT(event, IsOk());
    if (event->has_finished()) stream.Cancel();
  }
  stream.Cancel();
  EXPECT_EQ(cancels(), 0);
}

TEST_F(CancelTest, OfAWatchLeavesTheBuildAlone) {
  ExpectHangingCall(1, 3);
  BuildStream stream = MakeClient().Watch("builds/1");
  absl::Status last;
  for (const auto& event : stream) {
    last = event.status();
    if (event.ok() && event->sequence() == 3) stream.Cancel();
  }
  EXPECT_THAT(last, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(cancels(), 0);
  EXPECT_THAT(calls_, ElementsAre("watch 0"));
}

TEST_F(CancelTest, OfAWatchDuringBackoff) {
  plan_ = {{3, Lost()}};
  BuildStream stream = MakeClient().Watch("builds/1");
  std::jthread canceller;
  platform_->set_on_wait([&](const absl::Notification& interrupt) {
    canceller = std::jthread([&] { stream.Cancel(); });
    interrupt.WaitForNotification();
  });
  absl::Status last;
  for (const auto& event : stream) last = event.status();
  EXPECT_THAT(last, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(calls_, ElementsAre("watch 0"));
}

TEST_F(CancelTest, DestroyingTheStreamLeavesTheBuildAlone) {
  for (int last = 0; last < kEvents; ++last) {
    ExpectHangingCall(1, std::max(last, 1));
    BuildStream stream = MakeClient().Build(v1::BuildRequest());
    BuildStream::Iterator it = stream.begin();
    for (int i = 1; i < last; ++i) ++it;
    EXPECT_THAT(*it, IsOk());
  }
  EXPECT_EQ(cancels(), 0);
}

TEST_F(CancelTest, DestroyingTheStreamAfterwardsStillHasItSent) {
  ExpectHangingCall(1, 3);
  {
    BuildStream stream = MakeClient().Build(v1::BuildRequest());
    EXPECT_THAT(*stream.begin(), IsOk());
    stream.Cancel();
  }
  EXPECT_EQ(cancels(), 1);
}

TEST_F(CancelTest, DestroyingTheStreamEndsTheRepeats) {
  absl::Notification waiting;
  answers_ = std::deque<absl::Status>(1000, Lost());
  platform_->set_on_wait([&](const absl::Notification& interrupt) {
    waiting.Notify();
    interrupt.WaitForNotification();
  });
  ExpectHangingCall(1, 3);
  {
    BuildStream stream = MakeClient().Build(v1::BuildRequest());
    EXPECT_THAT(*stream.begin(), IsOk());
    stream.Cancel();
    waiting.WaitForNotification();
  }
  EXPECT_EQ(cancels(), 1);
}

TEST_F(CancelTest, FromManyThreadsAtAnyTime) {
  for (int round = 0; round < 200; ++round) {
    calls_.clear();
    cancels_ = 0;
    cut_on_cancel_ = nullptr;
    plan_ = {{2, Lost()}, {4, Lost()}};
    BuildStream stream = MakeClient().Build(v1::BuildRequest());
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] { stream.Cancel(); });
      }
      std::int64_t sequence = 0;
      for (const auto& event : stream) {
        if (!event.ok()) {
          EXPECT_THAT(event, StatusIs(absl::StatusCode::kCancelled));
        } else if (!event->has_heartbeat()) {
          EXPECT_EQ(event->sequence(), ++sequence);
        }
      }
    }
    EXPECT_THAT(cancels(), Le(1));
  }
}

}  // namespace
}  // namespace containerbuilder::client
