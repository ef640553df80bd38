#ifndef CONTAINERBUILDER_RPC_TLS_CERTIFICATES_H_
#define CONTAINERBUILDER_RPC_TLS_CERTIFICATES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/security/server_credentials.h"

namespace containerbuilder::service {

// The service's certificate and key, and the authorities whose certificates
// clients must show; read again where the files change. Thread-safe.
class TlsCertificates {
 public:
  // PEM; client_ca may be empty, and then clients need no certificate.
  struct Files {
    std::string cert;
    std::string key;
    std::string client_ca;
  };
  // What the files hold.
  struct Pem {
    std::string cert;
    std::string key;
    std::string client_ca;
    bool operator==(const Pem&) const = default;
  };

  // Errors name the setting and what is wrong with its file.
  static absl::StatusOr<std::shared_ptr<TlsCertificates>> Load(Files files,
                                                               absl::Time now);

  // Takes over what the files hold now; whether that is anything new. Where it
  // does not fit together (as when one file is written and the other is not
  // yet) it is an error, which is told once for the same contents, and what
  // there was stays. A certificate that has expired or is not valid yet is an
  // error each time, for it is looked at again: `now` may be wrong.
  absl::StatusOr<bool> Reload(absl::Time now);

  // Handshakes use what there is at their begin. TLS 1.2 at least. For one
  // listener of gRPC.
  static std::shared_ptr<grpc::ServerCredentials> MakeCredentials(
      std::shared_ptr<const TlsCertificates> certificates);

  // The newest, and a number that tells it from others.
  Pem Current(std::uint64_t& generation) const;

 private:
  explicit TlsCertificates(Files files) : files_(std::move(files)) {}

  const Files files_;
  mutable absl::Mutex mutex_;
  // What was read last and told of for good, not for the time of day.
  Pem tried_ ABSL_GUARDED_BY(mutex_);
  Pem current_ ABSL_GUARDED_BY(mutex_);  // what was good last
  std::uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_TLS_CERTIFICATES_H_
