#include "rpc/upload_reactor.h"

#include <utility>

#include "base/errors.h"
#include "base/limits.h"
#include "rpc/grpc_status.h"

namespace containerbuilder::service {

UploadReactor* UploadReactor::Start(Begin begin, Listener listener,
                                    v1::UploadBlobsResponse* response,
                                    Executor* transfers) {
  std::shared_ptr<UploadReactor> reactor(
      new UploadReactor(std::move(listener), response, transfers));
  reactor->self_ = reactor;
  transfers->Post(
      [reactor, begin = std::move(begin)] { reactor->Open(begin); });
  return reactor.get();
}

UploadReactor* UploadReactor::Fail(const absl::Status& status) {
  std::shared_ptr<UploadReactor> reactor(
      new UploadReactor({}, nullptr, nullptr));
  reactor->self_ = reactor;
  reactor->FinishWith(status);
  return reactor.get();
}

UploadReactor::UploadReactor(Listener listener,
                             v1::UploadBlobsResponse* response,
                             Executor* transfers)
    : listener_(std::move(listener)),
      response_(response),
      transfers_(transfers) {}

void UploadReactor::Open(const Begin& begin) {
  absl::StatusOr<std::unique_ptr<BlobUpload>> upload = begin();
  if (!upload.ok()) {
    FinishWith(upload.status());
    return;
  }
  upload_ = *std::move(upload);
  {
    absl::MutexLock lock(&mutex_);
    WatchIdle(0);
  }
  Read();
}

void UploadReactor::Read() {
  {
    absl::MutexLock lock(&mutex_);
    state_ = State::kReading;
    // Begins anew to count as idle: the piece before may have taken long.
    ++turns_;
  }
  StartRead(&piece_);
}

void UploadReactor::OnReadDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    if (state_ != State::kReading) return;  // the idle timer ended it
    state_ = State::kWorking;
  }
  transfers_->Post([reactor = shared_from_this(), ok] {
    if (ok) {
      reactor->Take();
      return;
    }
    absl::StatusOr<v1::UploadBlobsResponse> response =
        reactor->upload_->Finish();
    const absl::Status status = response.status();
    if (status.ok()) *reactor->response_ = *std::move(response);
    reactor->FinishWith(status);
  });
}

void UploadReactor::Take() {
  listener_.on_piece(static_cast<std::int64_t>(piece_.ByteSizeLong()));
  const absl::Status taken = upload_->Take(piece_);
  if (taken.ok()) {
    Read();
  } else {
    FinishWith(taken);
  }
}

void UploadReactor::WatchIdle(std::int64_t turns) {
  idle_ = transfers_->After(limits::kUploadIdleTimeout,
                            [weak = weak_from_this(), turns] {
                              if (const auto reactor = weak.lock()) {
                                reactor->OnIdle(turns);
                              }
                            });
}

void UploadReactor::OnIdle(std::int64_t turns) {
  {
    absl::MutexLock lock(&mutex_);
    if (state_ == State::kFinished) return;
    // Something came since, or is being written.
    if (turns_ != turns || state_ != State::kReading) {
      WatchIdle(turns_);
      return;
    }
    state_ = State::kWorking;
  }
  FinishWith(errors::UploadIdle(limits::kUploadIdleTimeout));
}

void UploadReactor::OnCancel() {
  // The read that is under way fails, and what came is kept.
}

void UploadReactor::OnDone() {
  // The last use of this by gRPC.
  const std::shared_ptr<UploadReactor> last = std::move(self_);
}

void UploadReactor::FinishWith(const absl::Status& status) {
  Executor::Timer idle;
  {
    absl::MutexLock lock(&mutex_);
    state_ = State::kFinished;
    idle = std::move(idle_);
  }
  // Now: whoever is told of the end may go on with what came.
  upload_.reset();
  if (listener_.on_end != nullptr) listener_.on_end();
  // OnDone may run before Finish returns: no lock, and nothing after it.
  Finish(ToGrpcStatus(status));
}

}  // namespace containerbuilder::service
