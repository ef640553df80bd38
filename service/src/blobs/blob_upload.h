#ifndef CONTAINERBUILDER_BLOBS_BLOB_UPLOAD_H_
#define CONTAINERBUILDER_BLOBS_BLOB_UPLOAD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/sha256.h"
#include "base/unique_fd.h"
#include "blobs/blob_store.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// One call of UploadBlobs: takes its pieces in, in order. Its calls block for
// the disk, none for long. After an error it takes nothing more. What has come
// of a blob when it is destroyed is kept, to be gone on with.
class BlobUpload {
 public:
  // `store` must outlive it. RATE_LIMITED where there are many of `counted_as`,
  // DRAINING.
  static absl::StatusOr<std::unique_ptr<BlobUpload>> Begin(
      BlobStore* store, std::string caller, std::string counted_as);
  BlobUpload(const BlobUpload&) = delete;
  BlobUpload& operator=(const BlobUpload&) = delete;
  ~BlobUpload();

  // False where there is more to be done before this piece can be taken: of a
  // blob that is gone on with, what came earlier is hashed first, some of it
  // with each call. Call it again with the same piece then.
  absl::StatusOr<bool> Take(const v1::UploadBlobsRequest& piece);

  // There are no more pieces.
  absl::StatusOr<v1::UploadBlobsResponse> Finish();

 private:
  BlobUpload(BlobStore* store, std::string caller, std::string counted_as);

  struct Current {
    Digest digest;
    std::int64_t size;
    std::int64_t offset;
    UniqueFd file;  // none where the blob is whole already
    Sha256Stream hash;
    // What `hash` has of it.
    std::int64_t hashed;
    bool has_piece;
  };

  absl::Status BeginBlob(const v1::UploadBlobsRequest& piece);
  // Takes some of what was written before into the hash.
  absl::Status HashSome();
  absl::Status Write(absl::string_view data);
  absl::Status Complete();

  BlobStore* const store_;
  const std::string caller_;
  const std::string counted_as_;
  std::optional<Current> current_;
  std::int64_t unchecked_bytes_ = 0;
  v1::UploadBlobsResponse response_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BLOBS_BLOB_UPLOAD_H_
