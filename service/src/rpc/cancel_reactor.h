#ifndef CONTAINERBUILDER_RPC_CANCEL_REACTOR_H_
#define CONTAINERBUILDER_RPC_CANCEL_REACTOR_H_

#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/executor.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "grpcpp/support/server_callback.h"

namespace containerbuilder::service {

// One call of CancelBuild: answers when the build has ended, unless the caller
// goes away before.
class CancelReactor final : public grpc::ServerUnaryReactor,
                            public std::enable_shared_from_this<CancelReactor> {
 public:
  using OnEnd = std::function<void(absl::StatusOr<v1::Build>)>;
  // Begins to cancel the build, or says why not.
  using Begin = std::function<absl::Status(OnEnd)>;

  // `begin` runs on `requests`, which must outlive the call; `response` is
  // gRPC's.
  static CancelReactor* Start(Begin begin, v1::CancelBuildResponse* response,
                              Executor* requests);

  void OnCancel() override;
  void OnDone() override;

 private:
  explicit CancelReactor(v1::CancelBuildResponse* response)
      : response_(response) {}

  void FinishOnce(absl::StatusOr<v1::Build> build);

  v1::CancelBuildResponse* const response_;
  std::shared_ptr<CancelReactor> self_;
  absl::Mutex mutex_;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CANCEL_REACTOR_H_
