#include "containerbuilder/client/build_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "containerbuilder/client_mocks/mock_connection.h"
#include "support/status_matchers.h"
#include "unit/client/fake_service.h"

namespace containerbuilder::client {
namespace {

using client_mocks::FakeBuildEventSource;
using test_support::FinishedEvent;
using test_support::IsOk;
using test_support::OutputEvent;
using test_support::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

static_assert(std::input_iterator<BuildStream::Iterator>);
static_assert(std::ranges::input_range<BuildStream>);

v1::BuildEvent Output(std::string_view bytes) {
  return OutputEvent(v1::BuildOutput::STREAM_STDOUT, bytes);
}

BuildStream StreamOf(std::deque<v1::BuildEvent> events,
                     absl::Status end = absl::OkStatus()) {
  return BuildStream(
      std::make_unique<FakeBuildEventSource>(std::move(events), end));
}

std::vector<absl::StatusOr<v1::BuildEvent>> ReadAll(BuildStream stream) {
  std::vector<absl::StatusOr<v1::BuildEvent>> elements;
  for (const auto& element : stream) elements.push_back(element);
  return elements;
}

TEST(BuildStreamTest, PassesOnEveryEventAndEndsAfterSuccess) {
  const auto elements = ReadAll(StreamOf(
      {Output("a"), Output("b"), FinishedEvent(v1::Build::STATE_SUCCEEDED)}));

  ASSERT_THAT(elements, ElementsAre(IsOk(), IsOk(), IsOk()));
  EXPECT_EQ(elements[0]->output().data(), "a");
  EXPECT_EQ(elements[1]->output().data(), "b");
  EXPECT_TRUE(elements[2]->has_finished());
}

TEST(BuildStreamTest, AFailedBuildIsTheLastElement) {
  const auto elements =
      ReadAll(StreamOf({Output("a"), FinishedEvent(v1::Build::STATE_FAILED)}));

  ASSERT_THAT(elements, ElementsAre(IsOk(), IsOk(),
                                    StatusIs(absl::StatusCode::kAborted)));
  EXPECT_TRUE(elements[1]->has_finished());
}

TEST(BuildStreamTest, TheCallsErrorIsTheLastElement) {
  EXPECT_THAT(
      ReadAll(StreamOf({Output("a")}, absl::UnavailableError("gone"))),
      ElementsAre(IsOk(), StatusIs(absl::StatusCode::kUnavailable, "gone")));
  EXPECT_THAT(ReadAll(StreamOf({}, absl::InvalidArgumentError("no"))),
              ElementsAre(StatusIs(absl::StatusCode::kInvalidArgument, "no")));
}

TEST(BuildStreamTest, EndWithoutFinishedIsUnknown) {
  EXPECT_THAT(ReadAll(StreamOf({Output("a")})),
              ElementsAre(IsOk(), StatusIs(absl::StatusCode::kUnknown)));
  EXPECT_THAT(ReadAll(StreamOf({})),
              ElementsAre(StatusIs(absl::StatusCode::kUnknown)));
}

TEST(BuildStreamTest, FinishedOutweighsTheCallsError) {
  EXPECT_THAT(ReadAll(StreamOf({FinishedEvent(v1::Build::STATE_SUCCEEDED)},
                               absl::UnavailableError("gone"))),
              ElementsAre(IsOk()));
}

TEST(BuildStreamTest, NothingFollowsFinished) {
  EXPECT_THAT(ReadAll(StreamOf(
                  {FinishedEvent(v1::Build::STATE_SUCCEEDED), Output("late")})),
              ElementsAre(IsOk()));
}

TEST(BuildStreamTest, CancelBeforeTheFirstElement) {
  BuildStream stream =
      StreamOf({Output("a"), FinishedEvent(v1::Build::STATE_SUCCEEDED)});
  stream.Cancel();
  EXPECT_THAT(ReadAll(std::move(stream)),
              ElementsAre(StatusIs(absl::StatusCode::kCancelled)));
}

TEST(BuildStreamTest, CancelAfterTheEndAndTwiceIsHarmless) {
  BuildStream stream = StreamOf({FinishedEvent(v1::Build::STATE_SUCCEEDED)});
  BuildStream::Iterator it = stream.begin();
  ++it;
  EXPECT_TRUE(it == stream.end());
  stream.Cancel();
  stream.Cancel();
  ++it;
  EXPECT_TRUE(it == stream.end());
}

TEST(BuildStreamTest, CancelOfAMovedFromStreamIsHarmless) {
  BuildStream stream = StreamOf({});
  BuildStream other = std::move(stream);
  stream.Cancel();  // NOLINT(bugprone-use-after-move)
}

// Gives nothing until it is cancelled, and tells of its end.
class EndlessSource final : public BuildEventSource {
 public:
  explicit EndlessSource(bool* destroyed) : destroyed_(destroyed) {}
  ~EndlessSource() override { *destroyed_ = true; }

  std::optional<v1::BuildEvent> Next() override {
    std::unique_lock lock(mutex_);
    cancelled_changed_.wait(lock, [this] { return cancelled_; });
    return std::nullopt;
  }
  absl::Status Finish() override { return absl::CancelledError("cancelled"); }
  void Cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    cancelled_changed_.notify_all();
  }

 private:
  bool* const destroyed_;
  std::mutex mutex_;
  std::condition_variable cancelled_changed_;
  bool cancelled_ = false;
};

TEST(BuildStreamTest, CancelFromAnotherThreadEndsTheWait) {
  bool destroyed = false;
  BuildStream stream(std::make_unique<EndlessSource>(&destroyed));
  const std::jthread canceller([&stream] { stream.Cancel(); });
  std::vector<absl::Status> errors;
  for (const auto& element : stream) errors.push_back(element.status());
  EXPECT_THAT(errors, ElementsAre(StatusIs(absl::StatusCode::kCancelled)));
  EXPECT_FALSE(destroyed);
}

TEST(BuildStreamTest, DestroyingItEndsTheCall) {
  bool destroyed = false;
  {
    BuildStream stream(std::make_unique<EndlessSource>(&destroyed));
    const BuildStream moved = std::move(stream);
    EXPECT_FALSE(destroyed);
  }
  EXPECT_TRUE(destroyed);
}

TEST(BuildStatusTest, CodeFollowsTheState) {
  const auto code_of = [](v1::Build::State state, bool retryable) {
    v1::Build build;
    build.set_state(state);
    build.mutable_failure()->set_retryable(retryable);
    return BuildStatus(build).code();
  };
  using Build = v1::Build;
  EXPECT_EQ(code_of(Build::STATE_SUCCEEDED, false), absl::StatusCode::kOk);
  EXPECT_EQ(code_of(Build::STATE_FAILED, false), absl::StatusCode::kAborted);
  EXPECT_EQ(code_of(Build::STATE_FAILED, true), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code_of(Build::STATE_CANCELLED, true),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(code_of(Build::STATE_TIMED_OUT, true),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(code_of(Build::STATE_EXPIRED, true),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(code_of(Build::STATE_INTERRUPTED, true),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(code_of(Build::STATE_INTERRUPTED, false),
            absl::StatusCode::kAborted);
  EXPECT_EQ(code_of(Build::STATE_UNSPECIFIED, false),
            absl::StatusCode::kAborted);
}

TEST(BuildStatusTest, MessageIsTheFailures) {
  v1::Build build;
  build.set_state(v1::Build::STATE_FAILED);
  EXPECT_THAT(BuildStatus(build),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("STATE_FAILED")));
  build.mutable_failure()->set_message("RUN make failed");
  EXPECT_THAT(BuildStatus(build),
              StatusIs(absl::StatusCode::kAborted, "RUN make failed"));
}

}  // namespace
}  // namespace containerbuilder::client
