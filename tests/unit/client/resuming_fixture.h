#ifndef CONTAINERBUILDER_TESTS_UNIT_CLIENT_RESUMING_FIXTURE_H_
#define CONTAINERBUILDER_TESTS_UNIT_CLIENT_RESUMING_FIXTURE_H_

#include <gmock/gmock.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client_mocks/mock_connection.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "unit/client/fake_platform.h"
#include "unit/client/fake_service.h"

namespace containerbuilder::test_support {

using client::BuildEventSource;
using client::Client;
using client::ClientOptions;
using client_mocks::FakeBuildEventSource;
using client_mocks::MockConnection;

inline constexpr int kEvents = 6;

inline v1::BuildEvent EventAt(int sequence) {
  v1::BuildEvent event;
  if (sequence == 1) {
    event.mutable_queued()->set_position(1);
  } else if (sequence == 2) {
    event.mutable_started();
  } else if (sequence < kEvents) {
    event = OutputEvent(v1::BuildOutput::STREAM_STDOUT, absl::StrCat(sequence));
  } else {
    event = FinishedEvent(v1::Build::STATE_SUCCEEDED);
  }
  event.set_sequence(sequence);
  return event;
}

inline v1::BuildEvent Heartbeat() {
  v1::BuildEvent event;
  event.mutable_heartbeat();
  return event;
}

inline absl::Status WithReason(absl::StatusCode code,
                               const std::string& reason) {
  errors::v1::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("containerbuilder.v1");
  absl::Status status(code, reason);
  status.SetPayload("type.googleapis.com/google.rpc.ErrorInfo",
                    absl::Cord(info.SerializeAsString()));
  return status;
}

inline absl::Status WithRetryDelay(absl::Status status, int seconds) {
  errors::v1::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(seconds);
  status.SetPayload("type.googleapis.com/google.rpc.RetryInfo",
                    absl::Cord(retry.SerializeAsString()));
  return status;
}

inline absl::Status Lost() { return absl::UnavailableError("Socket closed"); }

// Gives its events and then nothing, until it is cancelled.
class HangingSource final : public BuildEventSource {
 public:
  explicit HangingSource(std::deque<v1::BuildEvent> events)
      : events_(std::move(events)) {}

  std::optional<v1::BuildEvent> Next() override {
    if (auto event = events_.Next()) return event;
    cancelled_.WaitForNotification();
    return std::nullopt;
  }
  absl::Status Finish() override { return absl::CancelledError("cancelled"); }
  void Cancel() override {
    if (!cancelled_.HasBeenNotified()) cancelled_.Notify();
  }

 private:
  FakeBuildEventSource events_;
  absl::Notification cancelled_;
};

// A call that did not get to the service.
class UnreachedSource final : public BuildEventSource {
 public:
  std::optional<v1::BuildEvent> Next() override { return std::nullopt; }
  absl::Status Finish() override { return Lost(); }
  void Cancel() override {}
  bool Reached() override { return false; }
};

// One build whose calls break as the test plans it.
class ResumingTest : public testing::Test {
 protected:
  // One call: how far it gets and how it ends. Calls that are not planned get
  // all events and end OK.
  struct Call {
    int last_event = kEvents;
    absl::Status end = absl::OkStatus();
  };

  ResumingTest() {
    ON_CALL(*connection_, Build)
        .WillByDefault([this](const v1::BuildRequest& request) {
          build_requests_.push_back(request);
          return NextCall("build", 0);
        });
    ON_CALL(*connection_, WatchBuild)
        .WillByDefault([this](const v1::WatchBuildRequest& request) {
          EXPECT_EQ(request.name(), "builds/1");
          return NextCall(absl::StrCat("watch ", request.after_sequence()),
                          static_cast<int>(request.after_sequence()));
        });
  }

  // Calls by callbacks are planned in the same way.
  void ExpectAsync() {
    using client_mocks::FakeBuildCall;
    ON_CALL(*connection_, MakeBuildCall)
        .WillByDefault([this](const v1::BuildRequest& request,
                              std::shared_ptr<client::BuildCallReceiver> to) {
          return std::make_shared<FakeBuildCall>(connection_->Build(request),
                                                 std::move(to));
        });
    ON_CALL(*connection_, MakeWatchCall)
        .WillByDefault([this](const v1::WatchBuildRequest& request,
                              std::shared_ptr<client::BuildCallReceiver> to) {
          return std::make_shared<FakeBuildCall>(
              connection_->WatchBuild(request), std::move(to));
        });
  }

  std::unique_ptr<BuildEventSource> NextCall(const std::string& what,
                                             int after) {
    calls_.push_back(what);
    if (!sources_.empty()) {
      std::unique_ptr<BuildEventSource> source = std::move(sources_.front());
      sources_.pop_front();
      if (source != nullptr) return source;
    }
    Call call;
    if (!plan_.empty()) {
      call = plan_.front();
      plan_.pop_front();
    } else if (all_calls_) {
      call = *all_calls_;
    }
    std::deque<v1::BuildEvent> events;
    for (int sequence = after + 1; sequence <= call.last_event; ++sequence) {
      events.push_back(EventAt(sequence));
      events.push_back(Heartbeat());
    }
    return std::make_unique<FakeBuildEventSource>(std::move(events), call.end,
                                                  after);
  }

  // Ends what timers keep alive.
  ~ResumingTest() override { platform_->Join(); }

  Client MakeClient(ClientOptions options = {}) const {
    options.platform = platform_;
    return Client(connection_, options);
  }

  absl::Duration Waited() const {
    const auto waits = platform_->waits();
    return std::accumulate(waits.begin(), waits.end(), absl::ZeroDuration());
  }

  const std::shared_ptr<testing::NiceMock<MockConnection>> connection_ =
      std::make_shared<testing::NiceMock<MockConnection>>();
  const std::shared_ptr<FakePlatform> platform_ =
      std::make_shared<FakePlatform>();
  std::deque<Call> plan_;
  std::optional<Call> all_calls_;  // what is not planned
  // In place of what is planned; null: as planned.
  std::deque<std::unique_ptr<BuildEventSource>> sources_;
  std::vector<std::string> calls_;
  std::vector<v1::BuildRequest> build_requests_;
};

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_UNIT_CLIENT_RESUMING_FIXTURE_H_
