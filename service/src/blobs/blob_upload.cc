#include "blobs/blob_upload.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/file_error.h"
#include "base/limits.h"
#include "base/status_macros.h"

namespace containerbuilder::service {
absl::StatusOr<std::unique_ptr<BlobUpload>> BlobUpload::Begin(
    BlobStore* store, std::string caller, std::string counted_as) {
  CONTAINERBUILDER_RETURN_IF_ERROR(store->BeginUpload(counted_as));
  return std::unique_ptr<BlobUpload>(
      new BlobUpload(store, std::move(caller), std::move(counted_as)));
}

BlobUpload::BlobUpload(BlobStore* store, std::string caller,
                       std::string counted_as)
    : store_(store),
      caller_(std::move(caller)),
      counted_as_(std::move(counted_as)) {}

BlobUpload::~BlobUpload() {
  if (current_ && current_->file.valid()) {
    store_->LeavePart(caller_, current_->digest, current_->offset);
  }
  store_->EndUpload(counted_as_);
}

absl::StatusOr<bool> BlobUpload::Take(const v1::UploadBlobsRequest& piece) {
  const std::string& data = piece.data();
  if (data.size() > limits::kMaxPieceBytes) {
    return errors::OptionInvalid(
        "data", absl::StrCat("a piece has at most ", limits::kMaxPieceBytes,
                             " bytes; this one has ", data.size()));
  }
  if (piece.has_blob()) CONTAINERBUILDER_RETURN_IF_ERROR(BeginBlob(piece));
  if (!current_) {
    return errors::OptionInvalid(
        "blob", "the first piece of each content has its blob");
  }
  if (piece.offset() != current_->offset) {
    return errors::OptionInvalid(
        "offset", absl::StrCat("the pieces of a blob follow each other: this "
                               "one is to begin at ",
                               current_->offset, ", not at ", piece.offset()));
  }
  if (static_cast<std::int64_t>(data.size()) >
      current_->size - current_->offset) {
    return errors::OptionInvalid(
        "data", absl::StrCat("this is more than the ", current_->size,
                             " bytes of blob.size_bytes"));
  }
  if (current_->hashed < current_->offset) {
    CONTAINERBUILDER_RETURN_IF_ERROR(HashSome());
    if (current_->hashed < current_->offset) return false;
  }
  // Such pieces would keep the upload's room for ever.
  if (data.empty() && current_->has_piece) {
    return errors::OptionInvalid(
        "data", "a piece that is not the first of its blob has bytes");
  }
  current_->has_piece = true;
  CONTAINERBUILDER_RETURN_IF_ERROR(Write(data));
  if (current_->offset == current_->size) {
    CONTAINERBUILDER_RETURN_IF_ERROR(Complete());
  }
  return true;
}

absl::Status BlobUpload::BeginBlob(const v1::UploadBlobsRequest& piece) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const Digest digest,
                                    ReadBlobDigest(piece.blob(), "blob"));
  if (current_) {
    // It may be said in every piece.
    if (current_->digest == digest) return absl::OkStatus();
    return errors::OptionInvalid(
        "blob", absl::StrCat("the blob before this one lacks ",
                             current_->size - current_->offset, " bytes"));
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      BlobStore::Place place,
      store_->BeginPart(caller_, digest, piece.blob().size_bytes(),
                        piece.offset()));
  // What is there already is taken from anywhere, and dropped.
  const std::int64_t offset =
      place.is_whole ? std::min(std::max<std::int64_t>(piece.offset(), 0),
                                piece.blob().size_bytes())
                     : place.committed;
  // Nobody asks for the hash of what is whole.
  const std::int64_t hashed = place.file.valid() ? 0 : offset;
  current_.emplace(Current{digest, piece.blob().size_bytes(), offset,
                           std::move(place.file), Sha256Stream(), hashed,
                           /*has_piece=*/false});
  if (current_->file.valid() &&
      lseek(current_->file.get(), offset, SEEK_SET) < 0) {
    return errors::Internal("an upload's file cannot be gone on with");
  }
  return absl::OkStatus();
}

absl::Status BlobUpload::HashSome() {
  CONTAINERBUILDER_RETURN_IF_ERROR(store_->MayGoOn());
  std::array<char, 128 * 1024> buffer;
  const std::int64_t end =
      std::min(current_->hashed + limits::kHashSliceBytes, current_->offset);
  while (current_->hashed < end) {
    const auto size = static_cast<std::size_t>(std::min<std::int64_t>(
        end - current_->hashed, static_cast<std::int64_t>(buffer.size())));
    const ssize_t got =
        pread(current_->file.get(), buffer.data(), size, current_->hashed);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return errors::Internal(
          FileError(got < 0 ? errno : EIO, "reading an upload").message());
    }
    current_->hash.Update({buffer.data(), static_cast<std::size_t>(got)});
    current_->hashed += got;
  }
  return absl::OkStatus();
}

absl::Status BlobUpload::Write(absl::string_view data) {
  unchecked_bytes_ += static_cast<std::int64_t>(data.size());
  if (unchecked_bytes_ >= limits::kDiskCheckBytes) {
    unchecked_bytes_ = 0;
    CONTAINERBUILDER_RETURN_IF_ERROR(store_->MayGoOn());
  }
  response_.set_received_bytes(response_.received_bytes() +
                               static_cast<std::int64_t>(data.size()));
  if (!current_->file.valid()) {
    current_->offset += static_cast<std::int64_t>(data.size());
    current_->hashed = current_->offset;
    return absl::OkStatus();
  }
  while (!data.empty()) {
    const ssize_t put = write(current_->file.get(), data.data(), data.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const absl::Status error = FileError(errno, "writing an upload");
      return absl::IsResourceExhausted(error)
                 ? errors::NoSpace(error.message())
                 : errors::Internal(error.message());
    }
    current_->hash.Update(data.substr(0, static_cast<std::size_t>(put)));
    current_->offset += put;
    current_->hashed += put;
    data.remove_prefix(static_cast<std::size_t>(put));
  }
  CONTAINERBUILDER_FAILPOINT("piece-written");
  return absl::OkStatus();
}

absl::Status BlobUpload::Complete() {
  if (current_->file.valid()) {
    const Digest digest = current_->digest;
    if (const Digest real = current_->hash.Finish(); !(real == digest)) {
      store_->DropPart(caller_, digest);
      current_.reset();
      return errors::OptionInvalid(
          "data", absl::StrCat("what came has the digest ", real.ToString(),
                               ", not ", digest.ToString(),
                               "; it is dropped, so begin anew at 0"));
    }
    CONTAINERBUILDER_RETURN_IF_ERROR(store_->CommitPart(caller_, digest));
  }
  current_.reset();
  response_.set_committed_blobs(response_.committed_blobs() + 1);
  return absl::OkStatus();
}

absl::StatusOr<v1::UploadBlobsResponse> BlobUpload::Finish() {
  if (current_) {
    return errors::OptionInvalid(
        "data",
        absl::StrCat("the last blob lacks ", current_->size - current_->offset,
                     " bytes; what came is kept, so go on there"));
  }
  return response_;
}

}  // namespace containerbuilder::service
