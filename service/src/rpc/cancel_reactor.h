#ifndef CONTAINERBUILDER_RPC_CANCEL_REACTOR_H_
#define CONTAINERBUILDER_RPC_CANCEL_REACTOR_H_

#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/executor.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "grpcpp/support/server_callback.h"
#include "rpc/unread_answer.h"

namespace containerbuilder::service {

// One call of CancelBuild: answers when the build has ended, unless the caller
// goes away before.
class CancelReactor final : public grpc::ServerUnaryReactor,
                            public std::enable_shared_from_this<CancelReactor> {
 public:
  using OnEnd = std::function<void(absl::StatusOr<v1::Build>)>;
  // Writes the answer.
  using Respond = std::function<absl::StatusOr<Answered>(
      const v1::CancelBuildResponse& answer)>;

  // `begin` has the build cancelled on some executor, and `on_end` told of its
  // end, or why not; that may be after the call has ended. The rest runs on
  // `timers`, which must outlive the call.
  static CancelReactor* Start(absl::FunctionRef<void(OnEnd on_end)> begin,
                              Respond respond,
                              grpc::CallbackServerContext* context,
                              Executor* timers);

  void OnCancel() override;
  void OnDone() override;

 private:
  CancelReactor(Respond respond, grpc::CallbackServerContext* context,
                Executor* timers)
      : respond_(std::move(respond)), timers_(timers), unread_(context) {}

  void FinishOnce(absl::StatusOr<v1::Build> build);

  const Respond respond_;
  Executor* const timers_;
  UnreadAnswer unread_;
  std::shared_ptr<CancelReactor> self_;
  absl::Mutex mutex_;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CANCEL_REACTOR_H_
