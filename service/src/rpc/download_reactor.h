#ifndef CONTAINERBUILDER_RPC_DOWNLOAD_REACTOR_H_
#define CONTAINERBUILDER_RPC_DOWNLOAD_REACTOR_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/executor.h"
#include "build/engine.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "grpcpp/support/server_callback.h"

namespace containerbuilder::service {

// One call of DownloadArtifact: reads a piece on an executor, and the next one
// when it was written, as fast as the caller reads.
//
// It is kept alive by a reference of its own until OnDone, and by the work it
// has posted.
class DownloadReactor final
    : public grpc::ServerWriteReactor<v1::DownloadArtifactResponse>,
      public std::enable_shared_from_this<DownloadReactor> {
 public:
  using Begin = std::function<absl::StatusOr<Engine::OpenedArtifact>()>;

  // `begin` runs on `transfers`, which must outlive the call.
  static DownloadReactor* Start(Begin begin, std::int64_t offset,
                                Executor* transfers);
  // Ends the call at once with an error.
  static DownloadReactor* Fail(const absl::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  DownloadReactor(std::int64_t offset, Executor* transfers)
      : offset_(offset), transfers_(transfers) {}

  void Open(const Begin& begin);
  void Send();
  void FinishWith(const absl::Status& status);

  // Those of the one step that is under way: a piece is read, or written.
  std::int64_t offset_;
  Engine::OpenedArtifact artifact_;
  v1::DownloadArtifactResponse piece_;

  Executor* const transfers_;
  std::shared_ptr<DownloadReactor> self_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_DOWNLOAD_REACTOR_H_
