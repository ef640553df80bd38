#ifndef CONTAINERBUILDER_TESTS_UNIT_CLIENT_TRANSFER_FIXTURE_H_
#define CONTAINERBUILDER_TESTS_UNIT_CLIENT_TRANSFER_FIXTURE_H_

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "containerbuilder/client_mocks/mock_connection.h"
#include "containerbuilder/errors/v1/error_details.pb.h"

namespace containerbuilder::test_support {

inline std::string Sha256Of(const std::string& bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(),
             nullptr);
  return absl::StrCat(
      "sha256:", absl::BytesToHexString(
                     {reinterpret_cast<const char*>(digest.data()), size}));
}

inline absl::Status ErrorWithReason(absl::StatusCode code,
                                    const std::string& reason) {
  errors::v1::ErrorInfo info;
  info.set_reason(reason);
  absl::Status status(code, reason);
  status.SetPayload("type.googleapis.com/google.rpc.ErrorInfo",
                    absl::Cord(info.SerializeAsString()));
  return status;
}

// A service's contents, as the proto has them.
class FakeBlobs {
 public:
  void Serve(client_mocks::MockConnection& connection) {
    ON_CALL(connection, FindMissingBlobs)
        .WillByDefault([this](const v1::FindMissingBlobsRequest& request) {
          return Find(request);
        });
    ON_CALL(connection, UploadBlobs).WillByDefault([this] {
      ++uploads;
      return MakeCall(cut_after);
    });
  }

  // One that takes that many pieces; below 0: all.
  std::unique_ptr<client::BlobUploadCall> MakeCall(std::int64_t pieces) {
    pieces_left_ = pieces;
    current_.clear();
    return std::make_unique<client_mocks::FakeBlobUploadCall>(
        [this](const v1::UploadBlobsRequest& piece) { return Take(piece); },
        end);
  }

  std::map<std::string, std::string> blobs;  // by digest
  int uploads = 0;
  int questions = 0;
  std::int64_t received = 0;
  std::int64_t cut_after = -1;  // pieces; below 0: never
  absl::Status end;             // of calls

 private:
  v1::FindMissingBlobsResponse Find(
      const v1::FindMissingBlobsRequest& request) {
    ++questions;
    v1::FindMissingBlobsResponse response;
    for (const v1::BlobDigest& blob : request.blobs()) {
      if (blobs.count(blob.digest()) > 0) continue;
      auto& missing = *response.add_missing_blobs();
      *missing.mutable_blob() = blob;
      const auto part = parts_.find(blob.digest());
      if (part != parts_.end()) {
        missing.set_committed_bytes(
            static_cast<std::int64_t>(part->second.size()));
      }
    }
    return response;
  }

  bool Take(const v1::UploadBlobsRequest& piece) {
    if (pieces_left_ == 0) return false;
    --pieces_left_;
    EXPECT_LE(piece.data().size(), 1024 * 1024);
    if (piece.has_blob()) {
      EXPECT_THAT(current_, testing::IsEmpty()) << "a blob was not whole";
      current_ = piece.blob().digest();
      size_ = piece.blob().size_bytes();
    }
    std::string& part = parts_[current_];
    EXPECT_EQ(piece.offset(), static_cast<std::int64_t>(part.size()));
    part += piece.data();
    received += static_cast<std::int64_t>(piece.data().size());
    if (static_cast<std::int64_t>(part.size()) < size_) return true;
    EXPECT_EQ(Sha256Of(part), current_);
    blobs[current_] = part;
    parts_.erase(current_);
    current_.clear();
    return true;
  }

  std::map<std::string, std::string> parts_;
  std::string current_;
  std::int64_t size_ = 0;
  std::int64_t pieces_left_ = -1;
};

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_UNIT_CLIENT_TRANSFER_FIXTURE_H_
