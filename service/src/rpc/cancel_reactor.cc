#include "rpc/cancel_reactor.h"

#include <utility>

#include "rpc/grpc_status.h"

namespace containerbuilder::service {

CancelReactor* CancelReactor::Start(absl::FunctionRef<void(OnEnd on_end)> begin,
                                    Respond respond,
                                    grpc::CallbackServerContext* context,
                                    Executor* timers) {
  std::shared_ptr<CancelReactor> reactor(
      new CancelReactor(std::move(respond), context, timers));
  reactor->self_ = reactor;
  begin([weak = std::weak_ptr(reactor)](absl::StatusOr<v1::Build> build) {
    if (auto alive = weak.lock()) alive->FinishOnce(std::move(build));
  });
  return reactor.get();
}

void CancelReactor::OnCancel() { FinishOnce(absl::CancelledError()); }

void CancelReactor::OnDone() {
  unread_.End();
  // The last use of this by gRPC.
  const std::shared_ptr<CancelReactor> last = std::move(self_);
}

void CancelReactor::FinishOnce(absl::StatusOr<v1::Build> build) {
  {
    absl::MutexLock lock(&mutex_);
    if (finished_) return;
    finished_ = true;
  }
  absl::Status status = build.status();
  if (build.ok()) {
    v1::CancelBuildResponse response;
    *response.mutable_build() = *std::move(build);
    absl::StatusOr<Answered> answered = respond_(response);
    status = answered.status();
    if (answered.ok()) {
      unread_.Await(*std::move(answered), timers_, weak_from_this());
    }
  }
  // OnDone may run before Finish returns: nothing after it.
  Finish(ToGrpcStatus(status));
}

}  // namespace containerbuilder::service
