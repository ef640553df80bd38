#ifndef CONTAINERBUILDER_RPC_CANCEL_REACTOR_H_
#define CONTAINERBUILDER_RPC_CANCEL_REACTOR_H_

#include <functional>
#include <memory>
#include <utility>

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

  // What keeps an answer's place in memory until the call ends, or an error
  // where there is none.
  using Hold = std::function<absl::StatusOr<std::shared_ptr<void>>(
      const v1::CancelBuildResponse& answer)>;

  // `begin` runs on `requests`, which must outlive the call; `response` is
  // gRPC's.
  static CancelReactor* Start(Begin begin, Hold hold,
                              v1::CancelBuildResponse* response,
                              Executor* requests);

  void OnCancel() override;
  void OnDone() override;

 private:
  CancelReactor(Hold hold, v1::CancelBuildResponse* response)
      : hold_(std::move(hold)), response_(response) {}

  void FinishOnce(absl::StatusOr<v1::Build> build);

  const Hold hold_;
  v1::CancelBuildResponse* const response_;
  std::shared_ptr<void> held_;
  std::shared_ptr<CancelReactor> self_;
  absl::Mutex mutex_;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_CANCEL_REACTOR_H_
