#ifndef CONTAINERBUILDER_CLIENT_TRANSFER_CALLS_H_
#define CONTAINERBUILDER_CLIENT_TRANSFER_CALLS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::client {

// One call of UploadBlobs. Implement it to test a program without a server.
class BlobUploadCall {
 public:
  // Ends the call if it has not ended.
  virtual ~BlobUploadCall() = default;
  // Blocks until there is room for it. False: the call has ended; Finish tells
  // how.
  virtual bool Write(const v1::UploadBlobsRequest& piece) = 0;
  // Says that this was all, and blocks for the answer. Once.
  virtual absl::StatusOr<v1::UploadBlobsResponse> Finish() = 0;
  // Ends the call; from any thread, without blocking.
  virtual void Cancel() = 0;
};

// One call of DownloadArtifact. Implement it to test a program without a
// server.
class ArtifactCall {
 public:
  // Ends the call if it has not ended.
  virtual ~ArtifactCall() = default;
  // Blocks for the next piece; nothing at the end of the call.
  virtual std::optional<v1::DownloadArtifactResponse> Next() = 0;
  // How the call ended; once Next has answered nothing.
  virtual absl::Status Finish() = 0;
  // Ends the call; from any thread, without blocking.
  virtual void Cancel() = 0;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_TRANSFER_CALLS_H_
