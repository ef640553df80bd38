#ifndef CONTAINERBUILDER_CLIENT_MOCKS_MOCK_CONNECTION_H_
#define CONTAINERBUILDER_CLIENT_MOCKS_MOCK_CONNECTION_H_

#include <gmock/gmock.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
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
  MOCK_METHOD(absl::StatusOr<v1::CreateBuildResponse>, CreateBuild,
              (const v1::CreateBuildRequest& request), (override));
  MOCK_METHOD(std::unique_ptr<client::BuildEventSource>, WatchBuild,
              (const v1::WatchBuildRequest& request), (override));
  MOCK_METHOD(absl::StatusOr<v1::GetBuildResponse>, GetBuild,
              (const v1::GetBuildRequest& request), (override));
  MOCK_METHOD(absl::StatusOr<v1::ListBuildsResponse>, ListBuilds,
              (const v1::ListBuildsRequest& request), (override));
  MOCK_METHOD(absl::StatusOr<v1::CancelBuildResponse>, CancelBuild,
              (const v1::CancelBuildRequest& request, absl::Duration wait),
              (override));
  MOCK_METHOD(absl::StatusOr<v1::DeleteBuildResponse>, DeleteBuild,
              (const v1::DeleteBuildRequest& request), (override));
};

// Plays these events and ends as told. Events without a name are of builds/1,
// and those without a sequence follow `after_sequence` and each other. Reading
// is for one thread; Cancel drops what has not been played and makes the end
// CANCELLED.
class FakeBuildEventSource : public client::BuildEventSource {
 public:
  explicit FakeBuildEventSource(std::deque<v1::BuildEvent> events,
                                absl::Status end = absl::OkStatus(),
                                std::int64_t after_sequence = 0)
      : events_(std::move(events)),
        end_(std::move(end)),
        sequence_(after_sequence) {}

  std::optional<v1::BuildEvent> Next() override {
    const std::lock_guard lock(mutex_);
    if (events_.empty()) return std::nullopt;
    v1::BuildEvent event = std::move(events_.front());
    events_.pop_front();
    if (event.name().empty()) event.set_name("builds/1");
    if (event.sequence() == 0 && !event.has_heartbeat()) {
      event.set_sequence(sequence_ + 1);
    }
    if (!event.has_heartbeat()) sequence_ = event.sequence();
    return event;
  }
  absl::Status Finish() override {
    const std::lock_guard lock(mutex_);
    return end_;
  }
  void Cancel() override {
    const std::lock_guard lock(mutex_);
    events_.clear();
    end_ = absl::CancelledError("cancelled");
  }

 private:
  std::mutex mutex_;
  std::deque<v1::BuildEvent> events_;
  absl::Status end_;
  std::int64_t sequence_;
};

}  // namespace containerbuilder::client_mocks

#endif  // CONTAINERBUILDER_CLIENT_MOCKS_MOCK_CONNECTION_H_
