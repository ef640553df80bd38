#ifndef CONTAINERBUILDER_CLIENT_FAILED_CONNECTION_H_
#define CONTAINERBUILDER_CLIENT_FAILED_CONNECTION_H_

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "containerbuilder/client/client.h"

namespace containerbuilder::client {

// One that could not be made: all calls end with the same error.
class FailedConnection final : public Connection {
 public:
  explicit FailedConnection(absl::Status error) : error_(std::move(error)) {}

  absl::StatusOr<v1::HealthResponse> Health(
      const v1::HealthRequest& /*request*/) override {
    return error_;
  }
  absl::StatusOr<v1::ConstructArgsResponse> ConstructArgs(
      const v1::ConstructArgsRequest& /*request*/) override {
    return error_;
  }
  std::unique_ptr<BuildEventSource> Build(
      const v1::BuildRequest& /*request*/) override {
    return std::make_unique<Source>(error_);
  }
  absl::StatusOr<v1::CreateBuildResponse> CreateBuild(
      const v1::CreateBuildRequest& /*request*/) override {
    return error_;
  }
  std::unique_ptr<BuildEventSource> WatchBuild(
      const v1::WatchBuildRequest& /*request*/) override {
    return std::make_unique<Source>(error_);
  }
  absl::StatusOr<v1::GetBuildResponse> GetBuild(
      const v1::GetBuildRequest& /*request*/) override {
    return error_;
  }
  absl::StatusOr<v1::ListBuildsResponse> ListBuilds(
      const v1::ListBuildsRequest& /*request*/) override {
    return error_;
  }
  absl::StatusOr<v1::CancelBuildResponse> CancelBuild(
      const v1::CancelBuildRequest& /*request*/,
      absl::Duration /*wait*/) override {
    return error_;
  }
  std::shared_ptr<BuildCall> MakeBuildCall(
      const v1::BuildRequest& /*request*/,
      std::shared_ptr<BuildCallReceiver> receiver) override {
    return std::make_shared<EventCall>(error_, std::move(receiver));
  }
  std::shared_ptr<BuildCall> MakeWatchCall(
      const v1::WatchBuildRequest& /*request*/,
      std::shared_ptr<BuildCallReceiver> receiver) override {
    return std::make_shared<EventCall>(error_, std::move(receiver));
  }
  void CancelBuildAsync(
      const v1::CancelBuildRequest& /*request*/, absl::Duration /*wait*/,
      std::function<void(const absl::Status&)> done) override {
    done(error_);
  }
  absl::StatusOr<v1::DeleteBuildResponse> DeleteBuild(
      const v1::DeleteBuildRequest& /*request*/) override {
    return error_;
  }

  absl::StatusOr<v1::FindMissingBlobsResponse> FindMissingBlobs(
      const v1::FindMissingBlobsRequest& /*request*/) override {
    return error_;
  }
  std::unique_ptr<BlobUploadCall> UploadBlobs() override {
    return std::make_unique<Upload>(error_);
  }
  std::unique_ptr<ArtifactCall> DownloadArtifact(
      const v1::DownloadArtifactRequest& /*request*/) override {
    return std::make_unique<Download>(error_);
  }

 private:
  class Source final : public BuildEventSource {
   public:
    explicit Source(absl::Status error) : error_(std::move(error)) {}
    std::optional<v1::BuildEvent> Next() override { return std::nullopt; }
    absl::Status Finish() override { return error_; }
    void Cancel() override {}

   private:
    const absl::Status error_;
  };
  class EventCall final : public BuildCall {
   public:
    EventCall(absl::Status error, std::shared_ptr<BuildCallReceiver> receiver)
        : error_(std::move(error)), receiver_(std::move(receiver)) {}
    void Start() override {
      std::exchange(receiver_, nullptr)->OnDone(error_, /*reached=*/false);
    }
    void Cancel() override {}

   private:
    const absl::Status error_;
    std::shared_ptr<BuildCallReceiver> receiver_;
  };
  class Upload final : public BlobUploadCall {
   public:
    explicit Upload(absl::Status error) : error_(std::move(error)) {}
    bool Write(const v1::UploadBlobsRequest& /*piece*/) override {
      return false;
    }
    absl::StatusOr<v1::UploadBlobsResponse> Finish() override { return error_; }
    void Cancel() override {}

   private:
    const absl::Status error_;
  };
  class Download final : public ArtifactCall {
   public:
    explicit Download(absl::Status error) : error_(std::move(error)) {}
    std::optional<v1::DownloadArtifactResponse> Next() override {
      return std::nullopt;
    }
    absl::Status Finish() override { return error_; }
    void Cancel() override {}

   private:
    const absl::Status error_;
  };

  const absl::Status error_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_FAILED_CONNECTION_H_
