#ifndef CONTAINERBUILDER_RPC_REFLECTION_SERVICE_H_
#define CONTAINERBUILDER_RPC_REFLECTION_SERVICE_H_

#include <string>
#include <vector>

#include "base/executor.h"
#include "grpcpp/generic/async_generic_service.h"
#include "rpc/caller_shares.h"
#include "rpc/caller_turns.h"

namespace containerbuilder::service {

// Server reflection (grpc.reflection.v1 and v1alpha), by which grpcurl and
// others learn the contract. Everybody may call it, so it takes little: gRPC's
// own keeps a thread for each stream, and parses what strangers send whatever
// its size.
//
// It is asked for every method that no other service has; those that are not
// reflection's are UNIMPLEMENTED.
class ReflectionService final : public grpc::CallbackGenericService {
 public:
  // `services` are the full names of those that the server has. `work` answers;
  // `timers` ends streams that stay open. Both must outlive the calls.
  ReflectionService(std::vector<std::string> services, Executor* work,
                    Executor* timers);

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  const std::vector<std::string> services_;
  Executor* const timers_;
  CallerTurns turns_;     // by host
  CallerShares streams_;  // by host
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_REFLECTION_SERVICE_H_
