#ifndef CONTAINERBUILDER_RPC_DOWNLOAD_REACTOR_H_
#define CONTAINERBUILDER_RPC_DOWNLOAD_REACTOR_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "build/engine.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "grpcpp/support/server_callback.h"
#include "rpc/peer_turn.h"

namespace containerbuilder::service {

// One call of DownloadArtifact: reads a piece on an executor, and the next one
// when it was written, as fast as the caller reads. A caller that does not
// read for long is told so.
//
// It is kept alive by a reference of its own until OnDone, and by the work it
// has posted.
class DownloadReactor final
    : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
      public std::enable_shared_from_this<DownloadReactor> {
 public:
  struct Opened {
    Engine::OpenedArtifact artifact;
    std::int64_t offset = 0;  // of the first byte that is sent
  };
  // Has the call go on with the artifact, or end. Once, on `transfers`.
  using Open = std::function<void(absl::StatusOr<Opened>)>;

  // `begin` has the artifact opened, and then `open` called. `transfers` must
  // outlive the call. A caller that takes no whole piece for `idle_timeout`, or
  // up to twice as long, gets DOWNLOAD_IDLE.
  static DownloadReactor* Start(absl::FunctionRef<void(Open open)> begin,
                                Executor* transfers,
                                absl::Duration idle_timeout);
  // Ends the call at once with an error.
  static DownloadReactor* Fail(const absl::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  DownloadReactor(Executor* transfers, absl::Duration idle_timeout);

  void OpenWith(absl::StatusOr<Opened> opened);
  void Send();
  void EndStalled(const absl::Status& status);
  void FinishWith(const absl::Status& status);

  Executor* const transfers_;
  std::shared_ptr<DownloadReactor> self_;

  // The peer's while a piece is written.
  PeerTurn turn_;
  // Of whoever has the turn; message_ is gRPC's in the peer's.
  std::int64_t offset_ = 0;
  Engine::OpenedArtifact artifact_;
  grpc::ByteBuffer message_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_DOWNLOAD_REACTOR_H_
