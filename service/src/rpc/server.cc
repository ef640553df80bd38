#include "containerbuilder/service/server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/executor.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "build/engine.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "rpc/container_builder_service.h"
#include "rpc/listen_address.h"
#include "spdlog/logger.h"

namespace containerbuilder::service {
namespace {

// Requests may wait for the disk or for a probe of nerdctl; streams only read
// what was just written.
constexpr int kRequestThreads = 8;
constexpr int kStreamThreads = 4;

// Admissions of callers who are not trusted copy contexts: more at a time
// would only share a disk.
constexpr int kAdmissionThreads = 4;

// A client that vanished without a word is noticed after the sum of the two.
constexpr absl::Duration kKeepaliveTime = absl::Seconds(20);
constexpr absl::Duration kKeepaliveTimeout = absl::Seconds(20);
// Pings that clients may send; more often is abuse.
constexpr absl::Duration kMinPingInterval = absl::Seconds(10);

// What callers that do not read their last events get at shutdown.
constexpr absl::Duration kShutdownTimeout = absl::Seconds(5);

absl::StatusOr<std::vector<ListenAddress>> ParseAddresses(
    const ServerOptions& options) {
  if (options.listen.empty()) {
    return absl::InvalidArgumentError("--listen: name at least one address");
  }
  std::vector<ListenAddress> addresses;
  for (const std::string& text : options.listen) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(ListenAddress address,
                                      ParseListenAddress(text));
    if (address.socket_path.empty() && !address.loopback && !options.insecure) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--listen=", text,
          ": not a loopback address, and this version has no TLS; whoever "
          "reaches it could build here. Say --insecure if the network is "
          "trusted"));
    }
    addresses.push_back(std::move(address));
  }
  return addresses;
}

void SetMilliseconds(grpc::ServerBuilder& builder, const char* argument,
                     absl::Duration duration) {
  builder.AddChannelArgument(
      argument, static_cast<int>(absl::ToInt64Milliseconds(duration)));
}

}  // namespace

class Server::State {
 public:
  explicit State(ServerOptions options) : options_(std::move(options)) {}

  ~State() { Shutdown(); }

  absl::Status Start() {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const std::vector<ListenAddress> addresses, ParseAddresses(options_));
    requests_ = std::make_unique<Executor>(kRequestThreads);
    admissions_ = std::make_unique<Executor>(kAdmissionThreads);
    streams_ = std::make_unique<Executor>(kStreamThreads);
    CONTAINERBUILDER_ASSIGN_OR_RETURN(engine_, Engine::Create(options_));
    ContainerBuilderService::Options service_options;
    service_options.trust_local = options_.trust_local;
    service_options.heartbeat_interval = options_.heartbeat_interval;
    service_ = std::make_unique<ContainerBuilderService>(
        std::move(service_options), engine_.get(), requests_.get(),
        admissions_.get(), streams_.get());
    CONTAINERBUILDER_RETURN_IF_ERROR(Listen(addresses));
    WatchHealth();
    return absl::OkStatus();
  }

  void Shutdown() {
    {
      absl::MutexLock lock(&mutex_);
      if (shut_down_) return;
      shut_down_ = true;
      health_timer_.reset();
    }
    if (server_ != nullptr) server_->GetHealthCheckService()->Shutdown();
    if (engine_ != nullptr) engine_->Shutdown();
    if (server_ != nullptr) {
      server_->Shutdown(absl::ToChronoTime(absl::Now() + kShutdownTimeout));
      server_->Wait();
    }
    for (const std::string& path : sockets_) unlink(path.c_str());
  }

  absl::Status Reload(const ServerOptions& options) {
    // All of it is checked before any of it is changed.
    CONTAINERBUILDER_RETURN_IF_ERROR(Engine::Check(options));
    CONTAINERBUILDER_RETURN_IF_ERROR(engine_->SetPolicy(options.policy));
    engine_->SetBounds(options);
    return absl::OkStatus();
  }

  void HastenShutdown() {
    if (engine_ != nullptr) engine_->HastenShutdown();
  }

  const std::vector<std::string>& addresses() const { return addresses_; }

 private:
  absl::Status Listen(const std::vector<ListenAddress>& addresses) {
    // Both are settings of the process in gRPC 1.51, harmless to repeat.
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();

    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    builder.SetMaxReceiveMessageSize(limits::kMaxRequestBytes);
    // Without it gRPC shares a busy port with whoever has it, silently.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    SetMilliseconds(builder, GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTime);
    SetMilliseconds(builder, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeout);
    SetMilliseconds(builder,
                    GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                    kMinPingInterval);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);

    std::vector<int> ports(addresses.size(), 0);
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      if (!addresses[i].socket_path.empty()) {
        CONTAINERBUILDER_RETURN_IF_ERROR(
            PrepareSocket(addresses[i].socket_path));
      }
      builder.AddListeningPort(addresses[i].Target(),
                               grpc::InsecureServerCredentials(), &ports[i]);
    }
    server_ = builder.BuildAndStart();
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      if (server_ == nullptr || ports[i] == 0) {
        return absl::UnavailableError(
            absl::StrCat("--listen=", options_.listen[i],
                         ": cannot listen there; is the address in use?"));
      }
      CONTAINERBUILDER_RETURN_IF_ERROR(Publish(addresses[i], ports[i]));
    }
    return absl::OkStatus();
  }

  // Writes down where a bound address is.
  absl::Status Publish(const ListenAddress& address, int port) {
    if (address.socket_path.empty()) {
      addresses_.push_back(absl::StrCat(address.host, ":", port));
      return absl::OkStatus();
    }
    sockets_.push_back(address.socket_path);
    // Its folder or the program's umask keep others out until here.
    if (chmod(address.socket_path.c_str(), 0600) != 0) {
      return absl::ErrnoToStatus(errno, address.socket_path);
    }
    addresses_.push_back(absl::StrCat("unix://", address.socket_path));
    return absl::OkStatus();
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
      grpc::HealthCheckServiceInterface* service =
          server_->GetHealthCheckService();
      service->SetServingStatus("", serving);
      service->SetServingStatus(v1::ContainerBuilder::service_full_name(),
                                serving);
      if (options_.logger != nullptr) {
        options_.logger->log(
            serving ? spdlog::level::info : spdlog::level::warn, "health: {}",
            v1::HealthResponse::State_Name(health.state()));
      }
    }
    health_timer_ = streams_->After(options_.health_interval, [this] {
      requests_->Post([this] { WatchHealth(); });
    });
  }

  const ServerOptions options_;
  std::vector<std::string> addresses_;
  std::vector<std::string> sockets_;

  absl::Mutex mutex_;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<bool> serving_ ABSL_GUARDED_BY(mutex_);  // last told
  Executor::Timer health_timer_ ABSL_GUARDED_BY(mutex_);

  // In the order of dependence: each uses those above it until it is gone.
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Executor> streams_;
  std::unique_ptr<Executor> requests_;
  std::unique_ptr<Executor> admissions_;
  std::unique_ptr<ContainerBuilderService> service_;
  std::unique_ptr<grpc::Server> server_;
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
