#include "rpc/download_reactor.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

#include "base/errors.h"
#include "base/limits.h"
#include "base/unique_fd.h"
#include "rpc/grpc_status.h"
#include "rpc/message_bytes.h"

namespace containerbuilder::service {

DownloadReactor* DownloadReactor::Start(
    absl::FunctionRef<void(Open open)> begin, Executor* transfers,
    absl::Duration idle_timeout) {
  std::shared_ptr<DownloadReactor> reactor(
      new DownloadReactor(transfers, idle_timeout));
  reactor->self_ = reactor;
  begin([reactor](absl::StatusOr<Opened> opened) {
    reactor->OpenWith(std::move(opened));
  });
  return reactor.get();
}

DownloadReactor* DownloadReactor::Fail(const absl::Status& status) {
  std::shared_ptr<DownloadReactor> reactor(
      new DownloadReactor(nullptr, absl::InfiniteDuration()));
  reactor->self_ = reactor;
  reactor->FinishWith(status);
  return reactor.get();
}

DownloadReactor::DownloadReactor(Executor* transfers,
                                 absl::Duration idle_timeout)
    : transfers_(transfers),
      turn_(transfers, idle_timeout, [this, idle_timeout] {
        EndStalled(errors::DownloadIdle(idle_timeout));
      }) {}

void DownloadReactor::OpenWith(absl::StatusOr<Opened> opened) {
  if (!opened.ok()) {
    FinishWith(opened.status());
    return;
  }
  artifact_ = std::move(opened->artifact);
  offset_ = opened->offset;
  turn_.Start(weak_from_this());
  Send();
}

void DownloadReactor::Send() {
  if (offset_ == artifact_.size) {
    FinishWith(absl::OkStatus());
    return;
  }
  v1::DownloadArtifactResponse piece;
  std::string& data = *piece.mutable_data();
  data.resize(static_cast<std::size_t>(std::min<std::int64_t>(
      artifact_.size - offset_, limits::kDownloadPieceBytes)));
  ssize_t got = 0;
  do {
    got = pread(artifact_.file.get(), data.data(), data.size(), offset_);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) {
    FinishWith(errors::Internal("the artifact cannot be read"));
    return;
  }
  data.resize(static_cast<std::size_t>(got));
  piece.set_offset(offset_);
  offset_ += got;
  Serialize(piece, &message_);
  turn_.Give();
  StartWrite(&message_);
}

void DownloadReactor::OnWriteDone(bool ok) {
  const bool is_back = turn_.TakeBack();
  // OnDone comes behind this, and what was before the write before it, which
  // ThreadSanitizer sees by the reference and by the turn alone.
  const std::shared_ptr<DownloadReactor> reactor = shared_from_this();
  if (!is_back) return;  // it was ended for being idle
  if (!ok) {
    FinishWith(absl::CancelledError());
    return;
  }
  transfers_->Post([reactor] { reactor->Send(); });
}

void DownloadReactor::OnCancel() {
  // The write that is under way fails.
}

void DownloadReactor::OnDone() {
  // The last use of this by gRPC.
  const std::shared_ptr<DownloadReactor> last = std::move(self_);
}

// The piece that is not read is in memory until the caller reads on, or his
// connection ends: so long the call counts as his, and so few he may have.
void DownloadReactor::EndStalled(const absl::Status& status) {
  artifact_.file = UniqueFd();
  Finish(ToGrpcStatus(status));
}

void DownloadReactor::FinishWith(const absl::Status& status) {
  turn_.End();
  // Now: whoever is told of the end may begin another.
  artifact_ = Engine::OpenedArtifact();
  // OnDone may run before Finish returns: nothing after it.
  Finish(ToGrpcStatus(status));
}

}  // namespace containerbuilder::service
