#include "context_uploader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "containerbuilder/client/error_info.h"
#include "context_tree.h"
#include "retry.h"
#include "unique_fd.h"

namespace containerbuilder::client {
namespace {

// The service's limits.
constexpr int kBlobsPerQuestion = 10'000;
// A quarter of the service's limit: a slow line, too, is to bring one before
// the call counts as idle.
constexpr std::int64_t kPieceSize = 256 * 1024;

class Uploader {
 public:
  Uploader(Connection& connection, Platform& platform, absl::Duration limit,
           const LocalContext::Tree& tree, const UploadOptions& options)
      : connection_(connection),
        platform_(platform),
        limit_(limit),
        tree_(tree),
        options_(options),
        stopped_(options.stop, [this] { interrupt_.Notify(); }) {}

  absl::StatusOr<UploadedContext> Run() {
    std::vector<const std::string*> wanted;
    wanted.reserve(tree_.blobs.size());
    for (const auto& [digest, blob] : tree_.blobs) wanted.push_back(&digest);
    absl::Status status = Ask(wanted);
    if (!status.ok()) return status;
    NoteTotal();
    UploadedContext result = {tree_.root_digest,
                              static_cast<std::int64_t>(missing_.size()),
                              progress_.total_bytes};
    std::optional<Retry> retry;
    while (!missing_.empty()) {
      status = Send();
      if (status.ok()) break;
      if (!local_error_.ok()) return local_error_;
      if (options_.stop.stop_requested()) return Stopped();
      if (!MayTransferGoOn(status)) return status;
      const std::int64_t left_before = left_;
      const std::size_t missing_before = missing_.size();
      if (!retry.has_value()) retry.emplace(platform_, limit_);
      if (!retry->Wait(status, interrupt_)) return status;
      wanted.clear();
      for (const Missing& blob : missing_) wanted.push_back(blob.digest);
      status = Ask(wanted);
      if (!status.ok()) return status;
      if (left_ < left_before || missing_.size() < missing_before) {
        retry.reset();
      }
    }
    return result;
  }

 private:
  struct Missing {
    const std::string* digest;
    const ContextBlob* blob;
    std::int64_t committed;
  };

  static absl::Status Stopped() {
    return absl::CancelledError("the upload was stopped");
  }

  // Makes `missing_` those of them that the service lacks.
  absl::Status Ask(const std::vector<const std::string*>& wanted) {
    missing_.clear();
    left_ = 0;
    v1::FindMissingBlobsRequest request;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      v1::BlobDigest& blob = *request.add_blobs();
      blob.set_digest(*wanted[i]);
      blob.set_size_bytes(tree_.blobs.at(*wanted[i]).size);
      if (request.blobs_size() < kBlobsPerQuestion && i + 1 < wanted.size()) {
        continue;
      }
      absl::Status status = AskFor(request);
      if (!status.ok()) return status;
      request.clear_blobs();
    }
    return absl::OkStatus();
  }

  absl::Status AskFor(const v1::FindMissingBlobsRequest& request) {
    Retry retry(platform_, limit_);
    absl::StatusOr<v1::FindMissingBlobsResponse> answer;
    while (true) {
      if (options_.stop.stop_requested()) return Stopped();
      answer = connection_.FindMissingBlobs(request);
      if (answer.ok()) break;
      // Before the first answer, the connection itself has waited as long as
      // its options say.
      if (!MayTransferGoOn(answer.status()) ||
          (!answered_ && IsLostCall(answer.status())) ||
          !retry.Wait(answer.status(), interrupt_)) {
        return answer.status();
      }
    }
    answered_ = true;
    for (const auto& missing : answer->missing_blobs()) {
      const auto found = tree_.blobs.find(missing.blob().digest());
      if (found == tree_.blobs.end()) continue;
      const std::int64_t committed = std::clamp<std::int64_t>(
          missing.committed_bytes(), 0, found->second.size);
      missing_.push_back({&found->first, &found->second, committed});
      left_ += found->second.size - committed;
    }
    return absl::OkStatus();
  }

  void NoteTotal() {
    progress_.total_bytes = left_;
    for (const Missing& blob : missing_) {
      if (!blob.blob->path.empty()) ++progress_.total_files;
    }
  }

  // One call with all that is missing.
  absl::Status Send() {
    progress_.files = progress_.total_files;
    for (const Missing& blob : missing_) {
      if (!blob.blob->path.empty()) --progress_.files;
    }
    progress_.bytes = progress_.total_bytes - left_;
    const std::unique_ptr<BlobUploadCall> call = connection_.UploadBlobs();
    const std::stop_callback stop(options_.stop, [&call] { call->Cancel(); });
    for (const Missing& missing : missing_) {
      local_error_ = missing.blob->path.empty() ? SendBytes(*call, missing)
                                                : SendFile(*call, missing);
      if (!local_error_.ok()) {
        call->Cancel();
        return local_error_;
      }
      if (ended_) break;
      if (!missing.blob->path.empty()) ++progress_.files;
    }
    const bool ended_early = std::exchange(ended_, false);
    const absl::Status status = call->Finish().status();
    return status.ok() && ended_early
               ? absl::UnavailableError("the upload ended early")
               : status;
  }

  absl::Status SendBytes(BlobUploadCall& call, const Missing& missing) {
    std::int64_t offset = missing.committed;
    do {
      const std::int64_t size =
          std::min(kPieceSize, missing.blob->size - offset);
      piece_.set_data(missing.blob->bytes.data() + offset,
                      static_cast<std::size_t>(size));
      SendPiece(call, missing, offset);
      offset += size;
    } while (!ended_ && offset < missing.blob->size);
    return absl::OkStatus();
  }

  absl::Status SendFile(BlobUploadCall& call, const Missing& missing) {
    const ContextBlob& blob = *missing.blob;
    const UniqueFd fd(::open(blob.path.c_str(),
                             O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info = {};
    if (!fd.valid() || ::fstat(fd.get(), &info) != 0 ||
        FileStamp::Of(info) != blob.stamp) {
      return FileChanged(blob.path);
    }
    std::int64_t offset = missing.committed;
    do {
      const std::int64_t size = std::min(kPieceSize, blob.size - offset);
      absl::Status status = Read(fd.get(), blob.path, offset, size);
      if (!status.ok()) return status;
      SendPiece(call, missing, offset);
      offset += size;
    } while (!ended_ && offset < blob.size);
    // Before the service says so: it would only tell of a digest.
    if (::fstat(fd.get(), &info) != 0 || FileStamp::Of(info) != blob.stamp) {
      return FileChanged(blob.path);
    }
    return absl::OkStatus();
  }

  absl::Status Read(int fd, const std::string& path, std::int64_t offset,
                    std::int64_t size) {
    std::string& data = *piece_.mutable_data();
    data.resize(static_cast<std::size_t>(size));
    for (std::size_t at = 0; at < data.size();) {
      const ssize_t count = ::pread(fd, data.data() + at, data.size() - at,
                                    offset + static_cast<std::int64_t>(at));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("cannot read \"", path,
                         "\": ", std::generic_category().message(errno)));
      }
      if (count == 0) return FileChanged(path);
      at += static_cast<std::size_t>(count);
    }
    return absl::OkStatus();
  }

  void SendPiece(BlobUploadCall& call, const Missing& missing,
                 std::int64_t offset) {
    if (offset == missing.committed) {
      piece_.mutable_blob()->set_digest(*missing.digest);
      piece_.mutable_blob()->set_size_bytes(missing.blob->size);
    } else {
      piece_.clear_blob();
    }
    piece_.set_offset(offset);
    ended_ = !call.Write(piece_);
    if (ended_) return;
    progress_.bytes += static_cast<std::int64_t>(piece_.data().size());
    if (options_.progress) options_.progress(progress_);
  }

  Connection& connection_;
  Platform& platform_;
  const absl::Duration limit_;
  const LocalContext::Tree& tree_;
  const UploadOptions& options_;
  absl::Notification interrupt_;
  const std::stop_callback<std::function<void()>> stopped_;
  std::vector<Missing> missing_;
  std::int64_t left_ = 0;  // bytes of `missing_`
  bool answered_ = false;  // any question
  ContextProgress progress_;
  v1::UploadBlobsRequest piece_;
  bool ended_ = false;        // the call, before all was sent
  absl::Status local_error_;  // in place of what the call ended with
};

}  // namespace

absl::StatusOr<UploadedContext> UploadContext(Connection& connection,
                                              Platform& platform,
                                              absl::Duration limit,
                                              const LocalContext& context,
                                              const UploadOptions& options) {
  return Uploader(connection, platform, limit, context.tree(), options).Run();
}

bool IsBlobsMissing(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info && info->reason == "BLOBS_MISSING";
}

}  // namespace containerbuilder::client
