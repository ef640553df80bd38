#ifndef CONTAINERBUILDER_CLIENT_CLIENT_OPTIONS_H_
#define CONTAINERBUILDER_CLIENT_CLIENT_OPTIONS_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "containerbuilder/client/platform.h"

namespace containerbuilder::client {

// TLS, with the service's certificate checked against its address. Files are
// PEM, read when the client is made; where one cannot be read, every call fails
// with INVALID_ARGUMENT.
struct TlsOptions {
  // Authorities, one of which must have signed the service's certificate;
  // empty: the machine's own.
  std::string ca_file;
  // The client's certificate and its key, where the service asks for one.
  std::string cert_file;
  std::string key_file;
  // The name that the service's certificate must have; empty: that of the
  // address.
  std::string server_name;
};

// How to reach a service.
struct ClientOptions {
  // `unix:///path/to.sock`, `unix:path` or `host:port`.
  std::string address = "unix:///run/container-builder/container-builder.sock";
  // How to know the service, and to be known to it; see TlsOptions. Unset: in
  // the clear, and never by a proxy. With TLS, the environment's `grpc_proxy`,
  // `https_proxy`, `http_proxy` and `no_proxy` count, as gRPC reads them.
  std::optional<TlsOptions> tls = std::nullopt;
  // Sent with each call as `authorization: Bearer TOKEN`. Only over TLS, a unix
  // socket or to a loopback address: calls to others fail with
  // INVALID_ARGUMENT, and the token is not sent.
  std::string token = "";
  // Per call that answers once, all of its tries included. Streams have no
  // deadline of their own: use BuildPolicy.timeout for that.
  absl::Duration timeout = absl::Seconds(30);
  // Calls wait for a service that does not listen yet: those that answer once
  // within their timeout, a resuming stream for as long as it would resume.
  // False: where the first try finds nobody, they fail at once with
  // UNAVAILABLE.
  bool wait_for_ready = true;
  // How long a stream tries to get back a connection that it lost, before that
  // error becomes its last element. Zero: streams do not resume. Unset: as
  // long as the service lets the build of that stream go on without anybody
  // (its `linger`), and 60 s where that is not known or has no end.
  std::optional<absl::Duration> resume_limit = std::nullopt;
  // Null: this machine.
  std::shared_ptr<Platform> platform = nullptr;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_CLIENT_OPTIONS_H_
