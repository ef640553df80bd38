#ifndef CONTAINERBUILDER_RPC_AUTHENTICATOR_H_
#define CONTAINERBUILDER_RPC_AUTHENTICATOR_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "containerbuilder/service/caller.h"
#include "grpcpp/support/server_callback.h"
#include "rpc/callers_file.h"

namespace containerbuilder::service {

// What a caller shows of himself.
struct Credentials {
  bool is_local = false;                   // came over a unix socket
  std::vector<std::string> authorization;  // these headers
  // A client's certificate that the service's authorities signed.
  bool has_certificate = false;
  std::vector<std::string> uris, dns_names, emails;
  std::string common_name;
};

Credentials CredentialsOf(const grpc::CallbackServerContext& context);

// Knows who calls. Thread-safe.
class Authenticator {
 public:
  // The name of callers on TCP where nobody is asked for his.
  static constexpr char kAnonymous[] = "anonymous";

  struct Options {
    // Callers on the unix socket may name any path and option.
    bool trust_local = true;
    // Clients on TCP must show a certificate.
    bool certificates = false;
    // Empty: there are no tokens.
    std::string callers_file;
  };

  // Reads the file of callers.
  static absl::StatusOr<std::unique_ptr<Authenticator>> Create(Options options);

  // UNAUTHENTICATED where a caller shows none of what he should, or something
  // that is not known. Nothing that he shows is passed over in silence.
  absl::StatusOr<Caller> Authenticate(const Credentials& credentials) const;

  // Takes over what the file of callers holds now; whether that is anything
  // new. Where it is wrong, what there was stays.
  absl::StatusOr<bool> Reload();

 private:
  explicit Authenticator(Options options) : options_(std::move(options)) {}

  absl::StatusOr<Caller> OfToken(const std::string& authorization) const;
  absl::StatusOr<Caller> OfCertificate(const Credentials& credentials) const;

  const Options options_;
  mutable absl::Mutex mutex_;
  std::string text_ ABSL_GUARDED_BY(mutex_);  // what was read last
  // Null: there are no tokens.
  std::shared_ptr<const CallersFile> callers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_AUTHENTICATOR_H_
