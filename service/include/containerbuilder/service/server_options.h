#ifndef CONTAINERBUILDER_SERVICE_SERVER_OPTIONS_H_
#define CONTAINERBUILDER_SERVICE_SERVER_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "containerbuilder/service/engine_options.h"

namespace containerbuilder::service {

// How to run a Server: the engine's options, and who is served where. Errors
// name a field as container-builderd names its flag: `--tls_cert`.
struct ServerOptions : EngineOptions {
  // --- Where
  //
  // `unix:///path/to.sock`, made with mode 0600, or `host:port`; port 0 picks
  // a free one.
  //
  // A unix socket takes processes of this user and of root only. TCP on a
  // loopback address is in the clear unless tls_cert is set. Any other address
  // needs TLS, and a way to tell who calls (callers_file or tls_client_ca), or
  // `insecure`.
  std::vector<std::string> listen = {
      "unix:///run/container-builder/container-builder.sock"};
  // Take addresses other than loopback without TLS, or without asking who
  // calls.
  bool insecure = false;

  // --- TLS, for all of TCP; 1.2 at least
  //
  // PEM files: the service's certificate, followed by those between it and its
  // authority, and its key, without a password. They are read again when they
  // change; a pair that does not fit leaves the old one in use, and is logged.
  std::string tls_cert;
  std::string tls_key;
  // PEM file: the authorities that sign clients' certificates. Set: every
  // client on TCP must show one.
  std::string tls_client_ca;

  // --- Who
  //
  // Callers on the unix socket that show no token are `local`: they may name
  // any path and option of this machine, and are admins.
  bool trust_local = true;
  // Who may call, and in which role. One caller a line, `#` begins a comment:
  //
  //   # ROLE   NAME                          HOW
  //   builder  ci                            sha256:9f86d081884c7d65...
  //   viewer   ci                            sha256:60303ae22b998861...
  //   admin    uri:spiffe://example.org/ops  certificate
  //
  // A token is sent as `authorization: Bearer TOKEN`; the file has its SHA-256
  // in hexadecimal. That is safe for random tokens, and for these alone: make
  // them with `openssl rand -hex 32`, and their lines with
  // `printf %s "$TOKEN" | sha256sum`. Tokens of one name are one caller, so
  // that they can be changed one after the other, and that one may look at what
  // the other builds.
  //
  // A certificate is known by its first URI name, else its first DNS name, its
  // first email name, its common name, written `uri:`, `dns:`, `email:` or
  // `cn:` and the name. Those that the file does not have are builders.
  //
  // Read again when it changes; one that is wrong, or empty, leaves the old one
  // in use, and is logged. Nobody but its owner may be able to write it.
  //
  // With neither this nor tls_client_ca, callers on TCP are all `anonymous`, a
  // builder. With either, calls that show nothing end UNAUTHENTICATED.
  // grpc.health.v1 and reflection are for everybody who can connect: they tell
  // whether the service is up, and its public contract.
  std::string callers_file;

  // --- How much; 0 is no limit, but for connections
  //
  // Of a caller, over time: more than any tool needs that follows its builds,
  // little for the machine. A burst of ten seconds' worth is let through.
  // `local` has no limit, those who are `anonymous` one for each address.
  int max_calls_per_second = 100;
  // Connections over TCP, in all and from one address (of IPv6: one network
  // /64). Each takes two descriptors, and those that would take the last 256 of
  // the process, or the last quarter where that is less, are refused.
  int max_connections = 4000;
  int max_connections_per_peer = 256;
  // Calls at the same time on one connection, watches included; a client lets
  // further ones wait (the C++ client puts 64 streams on each, so 64 or less
  // stalls its calls). One over TCP with more than twice is reset. 0: no limit.
  int max_streams_per_connection = 100;
  // What gRPC may keep in memory for all connections; over it, it closes some.
  // Of what was begun and not finished, half of it. 0: no limit.
  std::int64_t max_rpc_memory_bytes = std::int64_t{512} << 20;
  // A connection on which nothing is called is closed after this.
  absl::Duration max_connection_idle = absl::Minutes(10);
  // After this a connection takes no new calls, and is closed when those on it
  // have ended, so that clients spread over addresses again and show their
  // certificates. Streams are not cut.
  absl::Duration max_connection_age = absl::Hours(24);

  // How often the answer of grpc.health.v1 is brought up to date.
  absl::Duration health_interval = absl::Seconds(5);
  // Between heartbeats on a stream where nothing happens.
  absl::Duration heartbeat_interval = absl::Seconds(15);
  // An upload that sends no whole piece, and a download that takes none, for so
  // long, or up to twice as long, is ended: a client that reads a slow disk,
  // and a proxy that was suspended, are back by then. So is a unary call of one
  // who is neither trusted nor an admin and does not take its answer for so
  // long, and for what its size takes at 16 KiB a second. At least 100 ms.
  absl::Duration transfer_idle_timeout = absl::Minutes(1);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_SERVICE_SERVER_OPTIONS_H_
