#include "daemon/settings_table.h"

namespace containerbuilder::daemon {

absl::Span<const Setting> Settings() {
  static constexpr Setting kSettings[] = {
      // --- Where it listens, and for whom
      {"listen", [](DaemonOptions& o) -> Field { return &o.server.listen; },
       Reload::kNo,
       "Addresses to listen on: unix:///path/to.sock (mode 0600; who can open "
       "it may name any path of this machine) or host:port (port 0 picks a "
       "free one)."},
      {"address_file",
       [](DaemonOptions& o) -> Field { return &o.address_file; }, Reload::kNo,
       "The bound addresses are written to this file, one a line, when the "
       "service is ready. Empty: nowhere."},
      {"insecure", [](DaemonOptions& o) -> Field { return &o.server.insecure; },
       Reload::kNo,
       "Take addresses other than loopback without TLS, or without asking who "
       "calls."},
      {"tls_cert", [](DaemonOptions& o) -> Field { return &o.server.tls_cert; },
       Reload::kNo,
       "PEM file: the service's certificate, followed by those between it and "
       "its authority. TCP is TLS then. Read again when it changes, as are the "
       "next three."},
      {"tls_key", [](DaemonOptions& o) -> Field { return &o.server.tls_key; },
       Reload::kNo,
       "PEM file: the certificate's key, without a password. Not for everybody "
       "to read."},
      {"tls_client_ca",
       [](DaemonOptions& o) -> Field { return &o.server.tls_client_ca; },
       Reload::kNo,
       "PEM file: authorities. Callers on TCP must show a certificate that one "
       "of them signed, and are known by its name."},
      {"callers_file",
       [](DaemonOptions& o) -> Field { return &o.server.callers_file; },
       Reload::kNo,
       "Who may call, one a line: ROLE NAME sha256:HEX for a token (the sum of "
       "a random one, such as `openssl rand -hex 32` prints), ROLE NAME "
       "certificate for a client certificate. Roles: viewer, builder, admin. "
       "With neither this nor tls_client_ca, callers on TCP are all anonymous "
       "builders."},
      {"trust_local",
       [](DaemonOptions& o) -> Field { return &o.server.trust_local; },
       Reload::kNo,
       "Callers on the unix socket who show no token may name any path and "
       "option, and are admins."},

      // --- What connections and calls may take
      {"max_calls_per_second",
       [](DaemonOptions& o) -> Field { return &o.server.max_calls_per_second; },
       Reload::kYes,
       "Calls of one caller, with bursts of ten seconds' worth; more are "
       "refused (RATE_LIMITED). 0: no limit."},
      {"max_connections",
       [](DaemonOptions& o) -> Field { return &o.server.max_connections; },
       Reload::kYes, "Connections over TCP, in all."},
      {"max_connections_per_peer",
       [](DaemonOptions& o) -> Field {
         return &o.server.max_connections_per_peer;
       },
       Reload::kYes,
       "Connections over TCP from one address; of IPv6, from one network /64."},
      {"max_streams_per_connection",
       [](DaemonOptions& o) -> Field {
         return &o.server.max_streams_per_connection;
       },
       Reload::kNo,
       "Calls at the same time on one connection, watches included. The C++ "
       "client puts up to 64 builds and watches on each. A TCP connection with "
       "more than twice as many is reset. 0: no limit."},
      {"max_rpc_memory_bytes",
       [](DaemonOptions& o) -> Field {
         return Bytes{&o.server.max_rpc_memory_bytes};
       },
       Reload::kNo,
       "What gRPC may keep in memory for all connections; over it, it closes "
       "some. Half of it at most is for what was begun and not finished. 0: no "
       "limit."},
      {"max_connection_idle",
       [](DaemonOptions& o) -> Field { return &o.server.max_connection_idle; },
       Reload::kNo,
       "A connection on which nothing is called is closed after this."},
      {"max_connection_age",
       [](DaemonOptions& o) -> Field { return &o.server.max_connection_age; },
       Reload::kNo,
       "A connection takes no new calls after this, and is closed when those "
       "on it have ended. Streams are not cut."},
      {"transfer_idle_timeout",
       [](DaemonOptions& o) -> Field {
         return &o.server.transfer_idle_timeout;
       },
       Reload::kNo,
       "An upload that sends nothing, and a download that takes nothing, is "
       "ended after this, or twice as long; so are a call whose answer is "
       "not taken, and a connection that began and called nothing, after this "
       "and the size of it at 16 KiB a second. 100 ms at least."},

      // --- What callers who are not trusted may do
      {"read_roots",
       [](DaemonOptions& o) -> Field { return &o.server.policy.read_roots; },
       Reload::kYes,
       "Folders that callers who are not trusted may read contexts and files "
       "from. What they name is copied, and used from the copy."},
      {"write_roots",
       [](DaemonOptions& o) -> Field { return &o.server.policy.write_roots; },
       Reload::kYes,
       "Folders that callers who are not trusted may have outputs written "
       "to."},
      {"allowed_options",
       [](DaemonOptions& o) -> Field {
         return &o.server.policy.allowed_options;
       },
       Reload::kYes,
       "All options that callers who are not trusted may use, named as "
       "nerdctl build's flags."},
      {"allowed_entitlements",
       [](DaemonOptions& o) -> Field {
         return &o.server.policy.allowed_entitlements;
       },
       Reload::kYes,
       "Entitlements that callers who are not trusted may use; network=host "
       "needs network.host and security.insecure."},
      {"allowed_networks",
       [](DaemonOptions& o) -> Field {
         return &o.server.policy.allowed_networks;
       },
       Reload::kYes, "Networks that callers who are not trusted may use."},
      {"allowed_ssh",
       [](DaemonOptions& o) -> Field { return &o.server.policy.allowed_ssh; },
       Reload::kYes,
       "Ids, and sockets and keys by their paths, that callers who are not "
       "trusted may name in the option ssh."},
      {"allowed_registries",
       [](DaemonOptions& o) -> Field {
         return &o.server.policy.allowed_registries;
       },
       Reload::kYes,
       "Registries, by host, that callers who are not trusted may push to, "
       "have caches in and name images for."},
      {"allowed_tags",
       [](DaemonOptions& o) -> Field { return &o.server.policy.allowed_tags; },
       Reload::kYes,
       "Patterns, such as team/*, of the names that callers who are not "
       "trusted may give images."},
      {"allowed_frontends",
       [](DaemonOptions& o) -> Field {
         return &o.server.policy.allowed_frontends;
       },
       Reload::kYes,
       "Patterns of the images that the syntax lines of untrusted callers' "
       "Dockerfiles may name."},
      {"allowed_buildkit_hosts",
       [](DaemonOptions& o) -> Field {
         return &o.server.policy.allowed_buildkit_hosts;
       },
       Reload::kYes,
       "Values of the option buildkit-host that callers who are not trusted "
       "may use."},
      {"max_staged_bytes",
       [](DaemonOptions& o) -> Field {
         return Bytes{&o.server.policy.max_staged_bytes};
       },
       Reload::kYes,
       "How many bytes may be copied for one build of a caller who is not "
       "trusted, or unpacked of one uploaded context (TOO_LARGE)."},
      {"max_staged_files",
       [](DaemonOptions& o) -> Field {
         return &o.server.policy.max_staged_files;
       },
       Reload::kYes,
       "How many files may be copied or unpacked for one such build "
       "(TOO_LARGE)."},
      {"share_registry_logins",
       [](DaemonOptions& o) -> Field {
         return &o.server.share_registry_logins;
       },
       Reload::kNo,
       "Callers who are not trusted build with the registry logins of the "
       "daemon's user (~/.docker)."},

      // --- What every caller may do
      {"allowed_environment",
       [](DaemonOptions& o) -> Field {
         return &o.server.policy.allowed_environment;
       },
       Reload::kYes,
       "Variables of nerdctl's environment that a request may set besides "
       "SOURCE_DATE_EPOCH, TRACEPARENT and TRACESTATE."},

      // --- Secrets by value
      {"secret_dir",
       [](DaemonOptions& o) -> Field { return &o.server.secret_dir; },
       Reload::kNo,
       "Folder in memory (tmpfs) for secrets while their builds run. Empty: "
       "$XDG_RUNTIME_DIR, /run or /dev/shm, the first that will do."},
      {"allow_secrets_in_output",
       [](DaemonOptions& o) -> Field {
         return &o.server.policy.allow_secrets_in_output;
       },
       Reload::kYes, "Requests may ask that their secrets stay in the output."},

      // --- nerdctl and its surroundings
      {"nerdctl", [](DaemonOptions& o) -> Field { return &o.server.nerdctl; },
       Reload::kNo, "nerdctl's path. Empty: looked up on PATH."},
      {"containerd_address",
       [](DaemonOptions& o) -> Field { return &o.server.containerd_address; },
       Reload::kNo,
       "containerd's socket. Empty: $CONTAINERD_ADDRESS, else nerdctl's "
       "default."},
      {"containerd_namespace",
       [](DaemonOptions& o) -> Field { return &o.server.containerd_namespace; },
       Reload::kNo,
       "containerd's namespace, such as k8s.io. Empty: $CONTAINERD_NAMESPACE, "
       "else nerdctl's default."},
      {"buildkit_host",
       [](DaemonOptions& o) -> Field { return &o.server.buildkit_host; },
       Reload::kNo,
       "buildkitd's address. Empty: $BUILDKIT_HOST, else nerdctl's default."},
      {"snapshotter",
       [](DaemonOptions& o) -> Field { return &o.server.snapshotter; },
       Reload::kNo,
       "containerd's snapshotter. Empty: $CONTAINERD_SNAPSHOTTER, else "
       "nerdctl's default."},

      // --- The queue
      {"max_running_builds",
       [](DaemonOptions& o) -> Field { return &o.server.max_running_builds; },
       Reload::kYes,
       "Builds that run at the same time. 0: as many as there are cores."},
      {"max_queued_builds",
       [](DaemonOptions& o) -> Field { return &o.server.max_queued_builds; },
       Reload::kYes,
       "Builds that wait besides; further ones are refused (QUEUE_FULL)."},
      {"max_builds_per_caller",
       [](DaemonOptions& o) -> Field {
         return &o.server.max_builds_per_caller;
       },
       Reload::kYes,
       "Of those that run and wait, how many one caller may have who is no "
       "admin; more are refused (RATE_LIMITED). 0: no limit."},
      {"drain_timeout",
       [](DaemonOptions& o) -> Field { return &o.server.drain_timeout; },
       Reload::kYes,
       "How long builds may go on after SIGTERM before they are stopped."},

      // --- What is kept
      {"state_dir",
       [](DaemonOptions& o) -> Field { return &o.server.state_dir; },
       Reload::kNo,
       "Folder for builds, their logs and records, kept across restarts; one "
       "daemon alone may use it."},
      {"retain_age",
       [](DaemonOptions& o) -> Field { return &o.server.retain_age; },
       Reload::kYes,
       "Ended builds are forgotten, with their logs, when they are older."},
      {"retain_builds",
       [](DaemonOptions& o) -> Field { return &o.server.retain_builds; },
       Reload::kYes,
       "Ended builds are forgotten when there are more: the oldest of the "
       "caller who has the most."},
      {"retain_bytes",
       [](DaemonOptions& o) -> Field { return Bytes{&o.server.retain_bytes}; },
       Reload::kYes,
       "Ended builds are forgotten when their logs and artifacts have more "
       "bytes: the oldest of the caller who has the most."},
      {"max_log_bytes",
       [](DaemonOptions& o) -> Field { return Bytes{&o.server.max_log_bytes}; },
       Reload::kNo, "A build that prints more bytes is ended (LOG_LIMIT)."},
      {"min_free_bytes",
       [](DaemonOptions& o) -> Field {
         return Bytes{&o.server.min_free_bytes};
       },
       Reload::kNo,
       "Where the disk of state_dir has less free, no build is taken, and one "
       "that prints is ended (NO_SPACE)."},

      // --- Uploads
      {"max_blob_store_bytes",
       [](DaemonOptions& o) -> Field {
         return Bytes{&o.server.max_blob_store_bytes};
       },
       Reload::kYes,
       "Contents of uploaded contexts that are kept for later builds; over it, "
       "those go that were not used for the longest time."},
      {"max_blob_store_bytes_per_caller",
       [](DaemonOptions& o) -> Field {
         return Bytes{&o.server.max_blob_store_bytes_per_caller};
       },
       Reload::kYes,
       "The same of one caller. A context must fit into it (NO_SPACE)."},
      {"max_blob_bytes",
       [](DaemonOptions& o) -> Field {
         return Bytes{&o.server.max_blob_bytes};
       },
       Reload::kYes, "The largest single file of an upload (TOO_LARGE)."},
      {"upload_ttl",
       [](DaemonOptions& o) -> Field { return &o.server.upload_ttl; },
       Reload::kYes,
       "What came of an upload that broke off is kept for so long, to be gone "
       "on with."},

      // --- The process
      {"no_new_privs",
       [](DaemonOptions& o) -> Field { return &o.no_new_privs; }, Reload::kNo,
       "Neither the service nor what it starts can gain rights by a set-uid "
       "program. False is for credential helpers that need sudo."},

      // --- Health
      {"health_interval",
       [](DaemonOptions& o) -> Field { return &o.server.health_interval; },
       Reload::kNo,
       "How often grpc.health.v1 is brought up to date; at least 1ms."},
  };
  return kSettings;
}

const Setting* FindSetting(absl::string_view key) {
  for (const Setting& setting : Settings()) {
    if (setting.key == key) return &setting;
  }
  return nullptr;
}

}  // namespace containerbuilder::daemon
