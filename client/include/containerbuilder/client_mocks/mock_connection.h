#ifndef CONTAINERBUILDER_CLIENT_MOCKS_MOCK_CONNECTION_H_
#define CONTAINERBUILDER_CLIENT_MOCKS_MOCK_CONNECTION_H_

#include <gmock/gmock.h>

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "containerbuilder/client/build_stream.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/v1/container_builder.pb.h"

// For tests of programs that use the client library, without a server.
namespace containerbuilder::client_mocks {

class MockConnection : public client::Connection {
 public:
  MOCK_METHOD(absl::StatusOr<v1::HealthResponse>, Health,
              (const v1::HealthRequest& request), (override));
  MOCK_METHOD(absl::StatusOr<v1::ConstructArgsResponse>, ConstructArgs,
              (const v1::ConstructArgsRequest& request), (override));
  MOCK_METHOD(std::unique_ptr<client::BuildEventSource>, Build,
              (const v1::BuildRequest& request), (override));
};

// Plays these events and ends as told. For one thread: Cancel drops what has
// not been played and makes the end CANCELLED.
class FakeBuildEventSource : public client::BuildEventSource {
 public:
  explicit FakeBuildEventSource(std::deque<v1::BuildEvent> events,
                                absl::Status end = absl::OkStatus())
      : events_(std::move(events)), end_(std::move(end)) {}

  std::optional<v1::BuildEvent> Next() override {
    if (events_.empty()) return std::nullopt;
    v1::BuildEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  absl::Status Finish() override { return end_; }
  void Cancel() override {
    events_.clear();
    end_ = absl::CancelledError("cancelled");
  }

 private:
  std::deque<v1::BuildEvent> events_;
  absl::Status end_;
};

}  // namespace containerbuilder::client_mocks

#endif  // CONTAINERBUILDER_CLIENT_MOCKS_MOCK_CONNECTION_H_
