#ifndef CONTAINERBUILDER_CLIENT_MOCKS_MOCK_CONNECTION_H_
#define CONTAINERBUILDER_CLIENT_MOCKS_MOCK_CONNECTION_H_

#include <gmock/gmock.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "containerbuilder/client/build_call.h"
#include "containerbuilder/client/build_stream.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/transfer_calls.h"
#include "containerbuilder/v1/container_builder.pb.h"

// For tests of programs that use the client library, without a server.
namespace containerbuilder::client_mocks {

// Stands in for a service: Client(std::make_shared<MockConnection>()). A call
// that answers once and was not expected answers UNKNOWN; streams that are to
// be made must be expected, with a fake such as those below. To have retries
// take no time, give Client a Platform of your own.
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
  MOCK_METHOD(std::shared_ptr<client::BuildCall>, MakeBuildCall,
              (const v1::BuildRequest& request,
               std::shared_ptr<client::BuildCallReceiver> receiver),
              (override));
  MOCK_METHOD(std::shared_ptr<client::BuildCall>, MakeWatchCall,
              (const v1::WatchBuildRequest& request,
               std::shared_ptr<client::BuildCallReceiver> receiver),
              (override));
  MOCK_METHOD(void, CancelBuildAsync,
              (const v1::CancelBuildRequest& request, absl::Duration wait,
               std::function<void(const absl::Status&)> done),
              (override));
  MOCK_METHOD(absl::StatusOr<v1::DeleteBuildResponse>, DeleteBuild,
              (const v1::DeleteBuildRequest& request), (override));
  MOCK_METHOD(absl::StatusOr<v1::FindMissingBlobsResponse>, FindMissingBlobs,
              (const v1::FindMissingBlobsRequest& request), (override));
  MOCK_METHOD(std::unique_ptr<client::BlobUploadCall>, UploadBlobs, (),
              (override));
  MOCK_METHOD(std::unique_ptr<client::ArtifactCall>, DownloadArtifact,
              (const v1::DownloadArtifactRequest& request), (override));
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

// The same without a thread: plays what a source does from within Start.
class FakeBuildCall : public client::BuildCall {
 public:
  FakeBuildCall(std::unique_ptr<client::BuildEventSource> source,
                std::shared_ptr<client::BuildCallReceiver> receiver)
      : source_(std::move(source)), receiver_(std::move(receiver)) {}

  void Start() override {
    while (std::optional<v1::BuildEvent> event = source_->Next()) {
      receiver_->OnEvent(*std::move(event));
    }
    const absl::Status end = source_->Finish();
    // Which may hold this.
    const auto receiver = std::exchange(receiver_, nullptr);
    receiver->OnDone(end, end.ok() || source_->Reached());
  }
  void Cancel() override { source_->Cancel(); }

 private:
  const std::unique_ptr<client::BuildEventSource> source_;
  std::shared_ptr<client::BuildCallReceiver> receiver_;
};

// Takes pieces as long as `take` answers true, and ends as told. For one
// thread, but for Cancel.
class FakeBlobUploadCall : public client::BlobUploadCall {
 public:
  using Take = std::function<bool(const v1::UploadBlobsRequest& piece)>;
  explicit FakeBlobUploadCall(Take take, absl::Status end = absl::OkStatus())
      : take_(std::move(take)), end_(std::move(end)) {}

  bool Write(const v1::UploadBlobsRequest& piece) override {
    const std::lock_guard lock(mutex_);
    return !cancelled_ && take_(piece);
  }
  absl::StatusOr<v1::UploadBlobsResponse> Finish() override {
    const std::lock_guard lock(mutex_);
    if (cancelled_) return absl::CancelledError("cancelled");
    if (!end_.ok()) return end_;
    return v1::UploadBlobsResponse();
  }
  void Cancel() override {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }

 private:
  std::mutex mutex_;
  const Take take_;
  const absl::Status end_;
  bool cancelled_ = false;
};

// Sends the bytes of `content` from `offset` on, `piece_size` at a time, and
// ends as told after `most` of them. For one thread, but for Cancel.
class FakeArtifactCall : public client::ArtifactCall {
 public:
  FakeArtifactCall(std::string content, std::int64_t offset,
                   std::size_t piece_size, absl::Status end = absl::OkStatus(),
                   std::size_t most = std::string::npos)
      : content_(std::move(content)),
        at_(static_cast<std::size_t>(offset)),
        end_at_(most < content_.size() - at_ ? at_ + most : content_.size()),
        piece_size_(piece_size),
        end_(std::move(end)) {}

  std::optional<v1::DownloadArtifactResponse> Next() override {
    const std::lock_guard lock(mutex_);
    if (at_ >= end_at_) return std::nullopt;
    v1::DownloadArtifactResponse piece;
    piece.set_offset(static_cast<std::int64_t>(at_));
    piece.set_data(content_.substr(
        at_, piece_size_ < end_at_ - at_ ? piece_size_ : end_at_ - at_));
    at_ += piece.data().size();
    return piece;
  }
  absl::Status Finish() override {
    const std::lock_guard lock(mutex_);
    return end_;
  }
  void Cancel() override {
    const std::lock_guard lock(mutex_);
    end_at_ = at_;
    end_ = absl::CancelledError("cancelled");
  }

 private:
  std::mutex mutex_;
  const std::string content_;
  std::size_t at_;
  std::size_t end_at_;
  const std::size_t piece_size_;
  absl::Status end_;
};

}  // namespace containerbuilder::client_mocks

#endif  // CONTAINERBUILDER_CLIENT_MOCKS_MOCK_CONNECTION_H_
