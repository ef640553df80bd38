#include "containerbuilder/service/server.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "base/executor.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "build/engine.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "rpc/acceptor.h"
#include "rpc/authenticator.h"
#include "rpc/container_builder_service.h"
#include "rpc/listen_address.h"
#include "rpc/open_streams.h"
#include "rpc/rate_limiter.h"
#include "rpc/reflection_service.h"
#include "rpc/tls_certificates.h"
#include "spdlog/logger.h"

namespace containerbuilder::service {
namespace {

// Strangers are let in by TLS and by name, or because the operator says so.
absl::Status CheckMayListen(const ServerOptions& options,
                            const ListenAddress& address) {
  if (address.is_unix() || address.loopback || options.insecure) {
    return absl::OkStatus();
  }
  if (options.tls_cert.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        address.setting,
        ": not a loopback address, so it needs TLS: set --tls_cert and "
        "--tls_key; or say --insecure if the network is trusted"));
  }
  if (options.callers_file.empty() && options.tls_client_ca.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        address.setting,
        ": not a loopback address, and whoever reaches it could build here: "
        "set --callers_file or --tls_client_ca; or say --insecure if the "
        "network is trusted"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ListenAddress>> ParseAddresses(
    const ServerOptions& options) {
  if (options.listen.empty()) {
    return absl::InvalidArgumentError("--listen: name at least one address");
  }
  std::vector<ListenAddress> addresses;
  for (const std::string& text : options.listen) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(ListenAddress address,
                                      ParseListenAddress(text));
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckMayListen(options, address));
    addresses.push_back(std::move(address));
  }
  return addresses;
}

absl::Status CheckOptions(const ServerOptions& options) {
  const auto wrong = [](absl::string_view what) {
    return absl::InvalidArgumentError(what);
  };
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return wrong("--tls_cert and --tls_key: set both or neither");
  }
  if (!options.tls_client_ca.empty() && options.tls_cert.empty()) {
    return wrong("--tls_client_ca: needs --tls_cert and --tls_key");
  }
  if (options.max_calls_per_second < 0 || options.max_rpc_memory_bytes < 0 ||
      options.max_streams_per_connection < 0) {
    return wrong(
        "--max_calls_per_second, --max_rpc_memory_bytes and "
        "--max_streams_per_connection: 0 is no limit, less is nothing");
  }
  if (options.max_connections < 1 || options.max_connections_per_peer < 1) {
    return wrong(
        "--max_connections and --max_connections_per_peer: at least 1");
  }
  if (options.max_connection_idle < absl::Seconds(1) ||
      options.max_connection_age < absl::Seconds(1)) {
    return wrong(
        "--max_connection_idle and --max_connection_age: at least 1s, or inf");
  }
  if (options.transfer_idle_timeout < absl::Milliseconds(100)) {
    return wrong("--transfer_idle_timeout: at least 100ms");
  }
  for (const auto& [name, interval] :
       {std::pair{"--health_interval", options.health_interval},
        {"heartbeat_interval", options.heartbeat_interval}}) {
    if (interval < limits::kMinInterval) {
      return wrong(absl::StrCat(name, ": at least ",
                                absl::FormatDuration(limits::kMinInterval)));
    }
  }
  return absl::OkStatus();
}

// The streams are those that gRPC tells peers of, once and for all.
Acceptor::Limits ConnectionLimits(const ServerOptions& options,
                                  int max_streams) {
  return {.max_connections = options.max_connections,
          .max_connections_per_peer = options.max_connections_per_peer,
          .max_streams = max_streams,
          // One request at least.
          .max_owed_bytes = options.max_rpc_memory_bytes == 0
                                ? 0
                                : std::max(options.max_rpc_memory_bytes / 2,
                                           limits::kMaxUncalledBytes),
          .idle_timeout = options.transfer_idle_timeout};
}

void SetMilliseconds(grpc::ServerBuilder& builder, const char* argument,
                     absl::Duration duration) {
  // INT_MAX is never.
  builder.AddChannelArgument(argument, static_cast<int>(std::min<std::int64_t>(
                                           absl::ToInt64Milliseconds(duration),
                                           std::numeric_limits<int>::max())));
}

// What a connection may cost.
void SetLimits(grpc::ServerBuilder& builder, const ServerOptions& options) {
  builder.SetMaxReceiveMessageSize(limits::kMaxRequestBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                             limits::kStreamAheadBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE,
                             limits::kMaxMetadataBytes);
  // A compressed request can be a thousand times larger than what was sent.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  if (options.max_streams_per_connection > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                               options.max_streams_per_connection);
  }
  if (options.max_rpc_memory_bytes > 0) {
    grpc::ResourceQuota quota("container-builder");
    quota.Resize(static_cast<std::size_t>(options.max_rpc_memory_bytes));
    builder.SetResourceQuota(quota);
  }
  SetMilliseconds(builder, GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                  limits::kHandshakeTimeout);
  SetMilliseconds(builder, GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                  options.max_connection_idle);
  SetMilliseconds(builder, GRPC_ARG_MAX_CONNECTION_AGE_MS,
                  options.max_connection_age);
  SetMilliseconds(builder, GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                  absl::InfiniteDuration());
  SetMilliseconds(builder, GRPC_ARG_KEEPALIVE_TIME_MS, limits::kKeepaliveTime);
  SetMilliseconds(builder, GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                  limits::kKeepaliveTimeout);
  SetMilliseconds(builder,
                  GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                  limits::kMinPingInterval);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
}

}  // namespace

class Server::State {
 public:
  explicit State(ServerOptions options)
      : options_(std::move(options)),
        rate_limiter_(options_.max_calls_per_second) {}

  ~State() { Shutdown(); }

  absl::Status Start() {
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckOptions(options_));
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const std::vector<ListenAddress> addresses, ParseAddresses(options_));
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        authenticator_,
        Authenticator::Create({options_.trust_local, /*certificates=*/
                               !options_.tls_client_ca.empty(),
                               options_.callers_file}));
    if (!options_.tls_cert.empty()) {
      CONTAINERBUILDER_ASSIGN_OR_RETURN(
          certificates_,
          TlsCertificates::Load(
              {options_.tls_cert, options_.tls_key, options_.tls_client_ca},
              absl::Now()));
      tls_ = TlsCertificates::MakeCredentials(certificates_);
    }
    // First of what others see: a port that is taken is told at once.
    for (const ListenAddress& address : addresses) {
      CONTAINERBUILDER_ASSIGN_OR_RETURN(BoundAddress bound,
                                        BoundAddress::Bind(address));
      addresses_.push_back(bound.address());
      bound_.push_back(std::move(bound));
    }
    parsing_ = std::make_unique<Executor>(limits::kParseThreads);
    large_parsing_ = std::make_unique<Executor>(limits::kLargeParseThreads);
    requests_ = std::make_unique<Executor>(limits::kRequestThreads);
    lists_ = std::make_unique<Executor>(limits::kListThreads);
    cancels_ = std::make_unique<Executor>(limits::kCancelThreads);
    health_ = std::make_unique<Executor>(limits::kHealthThreads);
    nerdctl_ = std::make_unique<Executor>(limits::kNerdctlThreads);
    admissions_ = std::make_unique<Executor>(limits::kAdmissionThreads);
    streams_ = std::make_unique<Executor>(limits::kStreamThreads);
    transfers_ = std::make_unique<Executor>(limits::kTransferThreads);
    CONTAINERBUILDER_ASSIGN_OR_RETURN(engine_, Engine::Create(options_));
    ContainerBuilderService::Options service_options;
    service_options.heartbeat_interval = options_.heartbeat_interval;
    service_options.transfer_idle_timeout = options_.transfer_idle_timeout;
    service_options.logger = options_.logger;
    service_options.on_call = [this](const std::string& peer,
                                     std::int64_t bytes) {
      absl::MutexLock lock(&acceptor_mutex_);
      if (acceptor_ != nullptr) acceptor_->CountCall(peer, bytes);
    };
    service_options.on_upload = [this](const std::string& peer, bool begins) {
      absl::MutexLock lock(&acceptor_mutex_);
      if (acceptor_ == nullptr) return;
      if (begins) {
        acceptor_->BeginUpload(peer);
      } else {
        acceptor_->EndUpload(peer);
      }
    };
    service_options.on_piece = [this](const std::string& peer,
                                      std::int64_t bytes) {
      absl::MutexLock lock(&acceptor_mutex_);
      if (acceptor_ != nullptr) acceptor_->CountPiece(peer, bytes);
    };
    service_ = std::make_unique<ContainerBuilderService>(
        std::move(service_options), engine_.get(), authenticator_.get(),
        &rate_limiter_,
        ContainerBuilderService::Executors{
            .parsing = parsing_.get(),
            .large_parsing = large_parsing_.get(),
            .requests = requests_.get(),
            .lists = lists_.get(),
            .cancels = cancels_.get(),
            .health = health_.get(),
            .nerdctl = nerdctl_.get(),
            .admissions = admissions_.get(),
            .streams = streams_.get(),
            .transfers = transfers_.get()});
    // Not its own names, of which there is no description here. That of the
    // other is the daemon's.
    reflection_ = std::make_unique<ReflectionService>(
        std::vector<std::string>{v1::ContainerBuilder::service_full_name(),
                                 "grpc.health.v1.Health"},
        parsing_.get(), streams_.get());
    CONTAINERBUILDER_RETURN_IF_ERROR(Serve(addresses));
    WatchHealth();
    WatchFiles();
    return absl::OkStatus();
  }

  void Shutdown() {
    {
      absl::MutexLock lock(&mutex_);
      if (shut_down_) return;
      shut_down_ = true;
      health_timer_.reset();
      files_timer_.reset();
    }
    if (server_ != nullptr) server_->GetHealthCheckService()->Shutdown();
    if (engine_ != nullptr) engine_->Shutdown();
    // Before gRPC's shutdown: it tells peers to go and then ends each
    // connection with its last call, at once. A client that is just writing
    // finds it closed and drops what it has not read, the end of its build.
    if (service_ != nullptr) service_->AwaitWatches(limits::kShutdownTimeout);
    StopAccepting();
    if (server_ != nullptr) {
      server_->Shutdown(
          absl::ToChronoTime(absl::Now() + limits::kShutdownTimeout));
      server_->Wait();
    }
    bound_.clear();
  }

  absl::Status Reload(const ServerOptions& options) {
    // All of it is checked before any of it is changed.
    CONTAINERBUILDER_RETURN_IF_ERROR(Engine::Check(options));
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckOptions(options));
    CONTAINERBUILDER_RETURN_IF_ERROR(engine_->SetPolicy(options.policy));
    engine_->SetBounds(options);
    rate_limiter_.SetRate(options.max_calls_per_second);
    {
      absl::MutexLock lock(&acceptor_mutex_);
      if (acceptor_ != nullptr) {
        acceptor_->SetLimits(
            ConnectionLimits(options, options_.max_streams_per_connection));
      }
    }
    ReloadFiles();
    return absl::OkStatus();
  }

  void HastenShutdown() {
    if (engine_ != nullptr) engine_->HastenShutdown();
  }

  const std::vector<std::string>& addresses() const { return addresses_; }

 private:
  absl::Status Serve(const std::vector<ListenAddress>& addresses) {
    // A setting of the process in gRPC 1.51, harmless to repeat.
    grpc::EnableDefaultHealthCheckService(true);

    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    builder.RegisterCallbackGenericService(reflection_.get());
    SetLimits(builder, options_);
    const auto take_connections =
        [&builder](std::shared_ptr<grpc::ServerCredentials> credentials) {
          return builder.experimental().AddExternalConnectionAcceptor(
              grpc::ServerBuilder::experimental_type::ExternalConnectionType::
                  FROM_FD,
              std::move(credentials));
        };
    plain_connections_ = take_connections(grpc::InsecureServerCredentials());
    if (tls_ != nullptr) tls_connections_ = take_connections(tls_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::UnavailableError("gRPC did not start");
    // gRPC's own beginning is that it serves; WatchHealth finds out.
    SetServing(false);

    std::vector<Acceptor::Listener> listeners;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      const bool is_unix = addresses[i].is_unix();
      grpc::experimental::ExternalConnectionAcceptor* connections =
          is_unix || tls_ == nullptr ? plain_connections_.get()
                                     : tls_connections_.get();
      for (const UniqueFd& socket : bound_[i].sockets()) {
        listeners.push_back(
            {socket.get(), is_unix, [connections](UniqueFd connection) {
               grpc::experimental::ExternalConnectionAcceptor::
                   NewConnectionParameters parameters;
               parameters.fd = connection.release();
               connections->HandleNewConnection(&parameters);
             }});
      }
    }
    absl::MutexLock lock(&acceptor_mutex_);
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        acceptor_,
        Acceptor::Start(
            std::move(listeners),
            ConnectionLimits(options_, options_.max_streams_per_connection),
            [streams =
                 OpenStreams()](absl::Span<const std::string> peers) mutable {
              return streams.Count(peers);
            },
            options_.logger));
    return absl::OkStatus();
  }

  // Calls go on until gRPC's own shutdown.
  void StopAccepting() {
    std::unique_ptr<Acceptor> stopped;
    absl::MutexLock lock(&acceptor_mutex_);
    stopped = std::move(acceptor_);
  }

  void SetServing(bool serving) {
    grpc::HealthCheckServiceInterface* service =
        server_->GetHealthCheckService();
    service->SetServingStatus("", serving);
    service->SetServingStatus(v1::ContainerBuilder::service_full_name(),
                              serving);
  }

  // Brings grpc.health.v1 up to date, now and every health_interval.
  void WatchHealth() {
    const v1::HealthResponse health = engine_->Health(absl::ZeroDuration());
    const bool serving = health.state() != v1::HealthResponse::STATE_UNHEALTHY;
    absl::MutexLock lock(&mutex_);
    // The health service goes with the server's shutdown.
    if (shut_down_) return;
    if (serving_ != serving) {
      serving_ = serving;
      SetServing(serving);
      if (options_.logger != nullptr) {
        options_.logger->log(
            serving ? spdlog::level::info : spdlog::level::warn, "health: {}",
            v1::HealthResponse::State_Name(health.state()));
      }
    }
    health_timer_ = streams_->After(options_.health_interval, [this] {
      health_->Post([this] { WatchHealth(); });
    });
  }

  // Takes over certificates and callers that have changed, now and every
  // limits::kFileInterval.
  void WatchFiles() {
    ReloadFiles();
    absl::MutexLock lock(&mutex_);
    if (shut_down_) return;
    files_timer_ = streams_->After(limits::kFileInterval, [this] {
      requests_->Post([this] { WatchFiles(); });
    });
  }

  void ReloadFiles() {
    absl::MutexLock lock(&files_mutex_);
    Tell(authenticator_->Reload(), "the callers", callers_error_);
    if (certificates_ != nullptr) {
      Tell(certificates_->Reload(absl::Now()), "the certificates",
           certificates_error_);
    }
  }

  // Logs how a file was read again, an error that goes on only once.
  void Tell(const absl::StatusOr<bool>& reloaded, absl::string_view what,
            std::string& last_error) {
    const std::string error(reloaded.status().message());
    if (options_.logger != nullptr) {
      if (!error.empty() && error != last_error) {
        options_.logger->error("{} stay as they were: {}", std::string(what),
                               error);
      } else if (reloaded.ok() && *reloaded) {
        options_.logger->info("{} were read again", std::string(what));
      }
    }
    last_error = error;
  }

  const ServerOptions options_;
  std::vector<std::string> addresses_;

  absl::Mutex mutex_;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<bool> serving_ ABSL_GUARDED_BY(mutex_);  // last told
  Executor::Timer health_timer_ ABSL_GUARDED_BY(mutex_);
  Executor::Timer files_timer_ ABSL_GUARDED_BY(mutex_);

  absl::Mutex files_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  std::string callers_error_ ABSL_GUARDED_BY(files_mutex_);  // last told
  std::string certificates_error_ ABSL_GUARDED_BY(files_mutex_);

  // In the order of dependence: each uses those above it until it is gone. The
  // service is above what does its work, which a call may leave behind.
  RateLimiter rate_limiter_;
  std::unique_ptr<Authenticator> authenticator_;
  std::shared_ptr<TlsCertificates> certificates_;  // null without TLS
  std::shared_ptr<grpc::ServerCredentials> tls_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ContainerBuilderService> service_;
  std::unique_ptr<ReflectionService> reflection_;
  std::unique_ptr<Executor> streams_;
  std::unique_ptr<Executor> requests_;
  std::unique_ptr<Executor> lists_;
  std::unique_ptr<Executor> cancels_;
  std::unique_ptr<Executor> health_;
  std::unique_ptr<Executor> nerdctl_;
  std::unique_ptr<Executor> admissions_;
  std::unique_ptr<Executor> transfers_;
  std::unique_ptr<Executor> parsing_;
  std::unique_ptr<Executor> large_parsing_;
  std::vector<BoundAddress> bound_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor>
      plain_connections_, tls_connections_;
  std::unique_ptr<grpc::Server> server_;
  absl::Mutex acceptor_mutex_;
  std::unique_ptr<Acceptor> acceptor_ ABSL_GUARDED_BY(acceptor_mutex_);
};

absl::StatusOr<std::unique_ptr<Server>> Server::Create(ServerOptions options) {
  auto state = std::make_unique<State>(std::move(options));
  CONTAINERBUILDER_RETURN_IF_ERROR(state->Start());
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() = default;

const std::vector<std::string>& Server::addresses() const {
  return state_->addresses();
}

absl::Status Server::Reload(const ServerOptions& options) {
  return state_->Reload(options);
}

void Server::Shutdown() { state_->Shutdown(); }

void Server::HastenShutdown() { state_->HastenShutdown(); }

}  // namespace containerbuilder::service
