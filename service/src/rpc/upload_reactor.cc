#include "rpc/upload_reactor.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/limits.h"
#include "rpc/grpc_status.h"
#include "rpc/message_bytes.h"

namespace containerbuilder::service {

UploadReactor* UploadReactor::Start(Begin begin, Listener listener,
                                    grpc::ByteBuffer* response,
                                    Executor* transfers,
                                    absl::Duration idle_timeout) {
  std::shared_ptr<UploadReactor> reactor(new UploadReactor(
      std::move(listener), response, transfers, idle_timeout));
  reactor->self_ = reactor;
  transfers->Post(
      [reactor, begin = std::move(begin)] { reactor->Open(begin); });
  return reactor.get();
}

UploadReactor* UploadReactor::Fail(const absl::Status& status) {
  std::shared_ptr<UploadReactor> reactor(
      new UploadReactor({}, nullptr, nullptr, absl::InfiniteDuration()));
  reactor->self_ = reactor;
  reactor->FinishWith(status);
  return reactor.get();
}

UploadReactor::UploadReactor(Listener listener, grpc::ByteBuffer* response,
                             Executor* transfers, absl::Duration idle_timeout)
    : listener_(std::move(listener)),
      response_(response),
      transfers_(transfers),
      turn_(transfers, idle_timeout, [this, idle_timeout] {
        FinishWith(errors::UploadIdle(idle_timeout));
      }) {}

void UploadReactor::Open(const Begin& begin) {
  absl::StatusOr<std::unique_ptr<BlobUpload>> upload = begin();
  if (!upload.ok()) {
    FinishWith(upload.status());
    return;
  }
  upload_ = *std::move(upload);
  turn_.Start(weak_from_this());
  Read();
}

void UploadReactor::Read() {
  turn_.Give();
  StartRead(&bytes_);
}

void UploadReactor::OnReadDone(bool ok) {
  if (!turn_.TakeBack()) return;  // it was ended for being idle
  // At once: until it is counted, it looks like a flood.
  if (ok) listener_.on_piece(static_cast<std::int64_t>(bytes_.Length()));
  transfers_->Post([reactor = shared_from_this(), ok] {
    if (!ok) {
      reactor->TakeEnd();
    } else if (const absl::Status parsed = reactor->Parse(); !parsed.ok()) {
      reactor->FinishWith(parsed);
    } else {
      reactor->Take();
    }
  });
}

absl::Status UploadReactor::Parse() {
  const std::size_t size = bytes_.Length();
  if (size > limits::kMaxPieceBytes + limits::kMaxPieceOverheadBytes) {
    bytes_.Clear();
    return errors::OptionInvalid(
        "data", absl::StrCat("a piece has at most ", limits::kMaxPieceBytes,
                             " bytes; this message has ", size));
  }
  const bool is_piece = Deserialize(&bytes_, &piece_);
  // Of what came before, as well, for its memory is used again.
  const bool is_small =
      piece_.SpaceUsedLong() <=
      2 * limits::kMaxPieceBytes + limits::kMaxPieceOverheadBytes;
  if (is_piece && is_small) return absl::OkStatus();
  // Now: until the peer knows of the end, this stays.
  v1::UploadBlobsRequest().Swap(&piece_);
  return errors::RequestInvalid(
      is_piece ? "the piece takes much more memory than it has bytes; send "
                 "fewer parts, such as fields that nobody knows, in it"
               : "the piece does not parse");
}

void UploadReactor::Take() {
  const absl::StatusOr<bool> taken = upload_->Take(piece_);
  if (!taken.ok()) {
    FinishWith(taken.status());
  } else if (*taken) {
    Read();
  } else if (cancelled_) {
    FinishWith(absl::CancelledError());
  } else {
    // Behind what others have to do.
    transfers_->Post([reactor = shared_from_this()] { reactor->Take(); });
  }
}

void UploadReactor::TakeEnd() {
  absl::StatusOr<v1::UploadBlobsResponse> response = upload_->Finish();
  const absl::Status status = response.status();
  if (status.ok()) Serialize(*response, response_);
  FinishWith(status);
}

void UploadReactor::OnCancel() {
  // The read that is under way fails, and what came is kept.
  cancelled_ = true;
}

void UploadReactor::OnDone() {
  // The last use of this by gRPC.
  const std::shared_ptr<UploadReactor> last = std::move(self_);
}

void UploadReactor::FinishWith(const absl::Status& status) {
  turn_.End();
  // Now: whoever is told of the end may go on with what came.
  upload_.reset();
  if (listener_.on_end != nullptr) listener_.on_end(status);
  // OnDone may run before Finish returns: nothing after it.
  Finish(ToGrpcStatus(status));
}

}  // namespace containerbuilder::service
