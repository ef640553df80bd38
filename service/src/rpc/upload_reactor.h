#ifndef CONTAINERBUILDER_RPC_UPLOAD_REACTOR_H_
#define CONTAINERBUILDER_RPC_UPLOAD_REACTOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "blobs/blob_upload.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "rpc/peer_turn.h"

namespace containerbuilder::service {

// One call of UploadBlobs: reads a piece, has it written on an executor, and
// only then reads the next, so that a caller sends no quicker than the disk
// takes it. A caller that sends nothing for long is told so. Work that takes
// long is done in turns with other calls'.
//
// It is kept alive by a reference of its own until OnDone, and by the work it
// has posted.
class UploadReactor final : public grpc::ServerReadReactor<grpc::ByteBuffer>,
                            public std::enable_shared_from_this<UploadReactor> {
 public:
  using Begin = std::function<absl::StatusOr<std::unique_ptr<BlobUpload>>()>;
  // Told of each piece that came, of how many bytes, and of the end.
  struct Listener {
    std::function<void(std::int64_t bytes)> on_piece;
    std::function<void(const absl::Status& status)> on_end;
  };

  // `begin` and what it answers run on `transfers`, which must outlive the
  // call; `response` is gRPC's. A caller that sends no whole piece for
  // `idle_timeout`, or up to twice as long, gets UPLOAD_IDLE.
  static UploadReactor* Start(Begin begin, Listener listener,
                              grpc::ByteBuffer* response, Executor* transfers,
                              absl::Duration idle_timeout);
  // Ends the call at once with an error.
  static UploadReactor* Fail(const absl::Status& status);

  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  UploadReactor(Listener listener, grpc::ByteBuffer* response,
                Executor* transfers, absl::Duration idle_timeout);

  void Open(const Begin& begin);
  void Read();
  // Reads the bytes that came; an error where they take too much.
  absl::Status Parse();
  void Take();
  void TakeEnd();
  void FinishWith(const absl::Status& status);

  const Listener listener_;
  grpc::ByteBuffer* const response_;
  Executor* const transfers_;
  std::shared_ptr<UploadReactor> self_;
  std::atomic<bool> cancelled_ = false;

  PeerTurn turn_;
  // Of whoever has the turn; bytes_ is gRPC's in the peer's.
  grpc::ByteBuffer bytes_;
  v1::UploadBlobsRequest piece_;  // its memory is that of the next, too
  std::unique_ptr<BlobUpload> upload_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_UPLOAD_REACTOR_H_
