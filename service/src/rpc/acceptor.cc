#include "rpc/acceptor.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "rpc/peer_host.h"
#include "spdlog/logger.h"

namespace containerbuilder::service {
namespace {

// How long to wait where not even the spare descriptor can be had back.
constexpr int kNoDescriptorWaitMs = 100;

// Of the time, one such part at most is for counting streams.
constexpr int kStreamCountShare = 10;

// What this thread, or this process, has worked: on a busy machine it is less
// than the time.
std::chrono::nanoseconds WorkOf(clockid_t clock) {
  timespec time = {};
  clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) +
         std::chrono::nanoseconds(time.tv_nsec);
}

UniqueFd OpenSpare() {
  return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

// Descriptors that connections leave to builds, which need a handful each.
int ReservedDescriptors(int limit) {
  return std::min(limits::kReservedDescriptors, limit / 4);
}

int DescriptorLimit() {
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 1024;
  return static_cast<int>(
      std::min<rlim_t>(files.rlim_cur, std::numeric_limits<int>::max()));
}

// An allowance after it has grown for a while.
std::int64_t Refilled(std::int64_t allowance, absl::Duration time,
                      std::int64_t per_second, std::int64_t most) {
  // A clock that is set back takes nothing away.
  const double seconds = std::max(0.0, absl::ToDoubleSeconds(time));
  const double grown = static_cast<double>(allowance) +
                       seconds * static_cast<double>(per_second);
  return static_cast<std::int64_t>(std::min(grown, static_cast<double>(most)));
}

// The process behind a unix socket runs as this user or as root. The socket's
// mode says the same; it may have been changed.
bool IsOwnUser(const UniqueFd& connection) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) ==
             0 &&
         (peer.uid == 0 || peer.uid == geteuid());
}

void SetOption(const UniqueFd& socket, int level, int name, int value) {
  // Without it the connection works, too.
  setsockopt(socket.get(), level, name, &value, sizeof(value));
}

// What gRPC does for connections that it accepts itself, and the kernel's own
// look at whether the peer is still there.
void SetTcpOptions(const UniqueFd& connection) {
  const int user_timeout_ms = static_cast<int>(absl::ToInt64Milliseconds(
      limits::kKeepaliveTime + limits::kKeepaliveTimeout));
  SetOption(connection, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(connection, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(connection, IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout_ms);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Start(
    std::vector<Listener> listeners, Limits limits, CountStreams count_streams,
    std::shared_ptr<spdlog::logger> logger) {
  auto acceptor = absl::WrapUnique(new Acceptor(std::move(listeners), limits,
                                                std::move(count_streams),
                                                std::move(logger)));
  acceptor->epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  acceptor->stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  acceptor->spare_ = OpenSpare();
  if (!acceptor->epoll_.valid() || !acceptor->stop_.valid() ||
      !acceptor->spare_.valid()) {
    return absl::ErrnoToStatus(errno, "listening");
  }
  for (std::size_t i = 0; i < acceptor->listeners_.size(); ++i) {
    CONTAINERBUILDER_RETURN_IF_ERROR(
        acceptor->Watch(acceptor->listeners_[i].socket, EPOLLIN, i));
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(acceptor->Watch(
      acceptor->stop_.get(), EPOLLIN, acceptor->listeners_.size()));
  acceptor->thread_ = std::thread([raw = acceptor.get()] { raw->Run(); });
  return acceptor;
}

Acceptor::Acceptor(std::vector<Listener> listeners, Limits limits,
                   CountStreams count_streams,
                   std::shared_ptr<spdlog::logger> logger)
    : listeners_(std::move(listeners)),
      count_streams_(std::move(count_streams)),
      logger_(std::move(logger)),
      limits_(limits),
      hand_overs_(std::make_unique<Executor>(limits::kHandOverThreads)),
      hand_over_turns_(hand_overs_.get(), limits::kHandOversPerHost),
      next_id_(listeners_.size() + 1),
      refusals_(limits::kRefusalLogInterval),
      floods_(limits::kRefusalLogInterval) {}

Acceptor::~Acceptor() {
  std::unique_ptr<Executor> hand_overs;
  {
    absl::MutexLock lock(&mutex_);
    hand_overs = std::move(hand_overs_);
  }
  // A flood may hold it until its connection is ended.
  hand_overs.reset();
  if (!thread_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void Acceptor::SetLimits(Limits limits) {
  absl::MutexLock lock(&mutex_);
  limits_ = limits;
}

absl::Status Acceptor::Watch(int fd, std::uint32_t events, std::uint64_t id) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return absl::ErrnoToStatus(errno, "epoll_ctl");
  }
  return absl::OkStatus();
}

void Acceptor::Run() {
  std::array<epoll_event, 64> events = {};
  const int interval_ms =
      static_cast<int>(absl::ToInt64Milliseconds(limits::kFloodCheckInterval));
  for (;;) {
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(),
                                 tcp_connections_ > 0 ? interval_ms : -1);
    for (int i = 0; i < count; ++i) {
      const std::uint64_t id = events[i].data.u64;
      if (id == listeners_.size()) return;
      if (id < listeners_.size()) {
        AcceptAll(listeners_[id]);
      } else {
        Forget(id);
      }
    }
    const absl::Time now = absl::Now();
    if (now >= floods_checked_ &&
        now < floods_checked_ + limits::kFloodCheckInterval) {
      continue;
    }
    floods_checked_ = now;
    CheckFloods(now);
  }
}

void Acceptor::CountCall(const std::string& peer, std::int64_t bytes) {
  if (absl::StartsWith(peer, "unix:")) return;
  absl::MutexLock lock(&mutex_);
  called_[peer] += bytes + limits::kCallOverheadBytes;
}

void Acceptor::BeginUpload(const std::string& peer) {
  if (absl::StartsWith(peer, "unix:")) return;
  absl::MutexLock lock(&mutex_);
  ++uploads_[peer].open;
}

void Acceptor::EndUpload(const std::string& peer) {
  if (absl::StartsWith(peer, "unix:")) return;
  absl::MutexLock lock(&mutex_);
  const auto found = uploads_.find(peer);
  if (found == uploads_.end()) return;
  // For what came of it and was never read. To give back more than uploads
  // brought would pay for any flood, an empty upload at a time.
  Uploads& uploads = found->second;
  const std::int64_t given_back =
      std::min(uploads.counted, limits::kUploadAheadBytes);
  if (given_back > 0) called_[peer] += given_back;
  uploads.counted -= given_back;
  if (--uploads.open == 0) uploads_.erase(found);
  int& ended = ended_uploads_[peer];
  ended = std::min(ended + 1, limits::kMaxForgivenUploads);
}

void Acceptor::CountPiece(const std::string& peer, std::int64_t bytes) {
  if (absl::StartsWith(peer, "unix:")) return;
  absl::MutexLock lock(&mutex_);
  called_[peer] += bytes + bytes / 16 + limits::kPieceOverheadBytes;
  const auto found = uploads_.find(peer);
  if (found == uploads_.end()) return;
  Uploads& uploads = found->second;
  uploads.counted = std::min(uploads.counted + bytes,
                             uploads.open * limits::kUploadAheadBytes);
}

void Acceptor::CheckFloods(absl::Time now) {
  // Once, as it takes long where there are many threads.
  const std::chrono::nanoseconds work = WorkOf(CLOCK_PROCESS_CPUTIME_ID);
  Limits allowed;
  {
    absl::MutexLock lock(&mutex_);
    allowed = limits_;
  }
  absl::flat_hash_map<std::string, std::int64_t> ahead_of_host;
  for (const auto& [id, connection] : connections_) {
    const std::int64_t ahead = AheadOf(connection);
    if (ahead > 0) ahead_of_host[connection.host] += ahead;
  }
  for (auto& [id, connection] : connections_) {
    if (connection.peer.empty() || connection.ended) continue;
    Account(connection, now, work);
    const auto ahead = ahead_of_host.find(connection.host);
    if (IsQuiet(connection, work)) {
      HostOf(connection.host, now).Add(-limits::kMaxUncalledBytes);
      End(connection, now, "it sent what nothing can be made of");
    } else if (Floods(connection,
                      ahead == ahead_of_host.end() ? 0 : ahead->second, now)) {
      End(connection, now, "it sent much and called nothing");
    }
  }
  CheckStanding(allowed.idle_timeout, now);
  CheckOwed(allowed.max_owed_bytes, now);
  CheckStreams(allowed.max_streams, now);
  CheckHandOver(now);
  if (hosts_.size() > limits::kMaxRestingHosts + connections_.size()) {
    ForgetRestedHosts(now);
  }
  absl::MutexLock lock(&mutex_);
  if (called_.size() + ended_uploads_.size() <=
      2 * connections_.size() + limits::kMaxRestingHosts) {
    return;
  }
  // What is left of connections that have ended.
  absl::flat_hash_set<absl::string_view> peers;
  for (const auto& [id, connection] : connections_) {
    peers.insert(connection.peer);
  }
  const auto is_gone = [&peers](const auto& entry) {
    return !peers.contains(entry.first);
  };
  absl::erase_if(called_, is_gone);
  absl::erase_if(ended_uploads_, is_gone);
}

bool Acceptor::Floods(const Connection& connection, std::int64_t host_ahead,
                      absl::Time now) {
  // Others from where a flood came go on, and their requests.
  const bool is_of_host =
      connection.has_called ? connection.unexplained > limits::kMaxUncalledBytes
                            : connection.owes_since.has_value();
  return connection.unexplained > (connection.has_called
                                       ? limits::kMaxUncalledHostBytes
                                       : limits::kMaxUncalledBytes) ||
         (is_of_host &&
          HostOf(connection.host, now).allowance + host_ahead < 0);
}

void Acceptor::CheckStanding(absl::Duration idle_timeout, absl::Time now) {
  const auto steady_now = std::chrono::steady_clock::now();
  std::vector<Connection*> standing;
  std::vector<std::string> peers;
  for (auto& [id, connection] : connections_) {
    if (connection.ended || connection.has_called || !connection.owes_since) {
      continue;
    }
    const absl::Duration most =
        idle_timeout +
        absl::Seconds(connection.unexplained / limits::kLeastBytesPerSecond);
    if (absl::FromChrono(steady_now - *connection.owes_since) <= most ||
        (connection.unfinished_since &&
         absl::FromChrono(steady_now - *connection.unfinished_since) <=
             limits::kProbeTime)) {
      continue;
    }
    standing.push_back(&connection);
    peers.push_back(connection.peer);
  }
  if (peers.empty()) return;
  const std::vector<std::int64_t> streams = count_streams_(peers);
  for (std::size_t i = 0; i < standing.size(); ++i) {
    Connection& connection = *standing[i];
    if (streams[i] == 0) {
      // It was finished, as a probe's calls of gRPC's own health service are.
      connection.owed = 0;
      connection.unexplained = 0;
      connection.owes_since.reset();
      connection.unfinished_since.reset();
    } else if (connection.unfinished_since) {
      End(connection, now, "it began what it did not finish");
    } else {
      // This may be a probe's that is just under way.
      connection.unfinished_since = steady_now;
    }
  }
}

void Acceptor::CheckOwed(std::int64_t most, absl::Time now) {
  std::int64_t owed = 0;
  std::vector<Connection*> owing;
  for (auto& [id, connection] : connections_) {
    if (connection.ended || !connection.owes_since) continue;
    owed += connection.unexplained;
    owing.push_back(&connection);
  }
  if (most == 0 || owed <= most) return;
  // Strangers first; and what is about to be called was sent just now.
  std::sort(owing.begin(), owing.end(),
            [](const Connection* a, const Connection* b) {
              return std::tie(a->has_called, a->owes_since) <
                     std::tie(b->has_called, b->owes_since);
            });
  for (Connection* connection : owing) {
    if (owed <= most) return;
    owed -= connection->unexplained;
    End(*connection, now, "there is much that was begun and not finished");
  }
}

void Acceptor::CheckStreams(std::int64_t most, absl::Time now) {
  if (most == 0 || std::chrono::steady_clock::now() < streams_due_) return;
  std::vector<Connection*> counted;
  std::vector<std::string> peers;
  for (auto& [id, connection] : connections_) {
    if (connection.peer.empty() || connection.ended ||
        connection.received - connection.received_when_counted <
            most * limits::kLeastBytesPerStream) {
      continue;
    }
    connection.received_when_counted = connection.received;
    counted.push_back(&connection);
    peers.push_back(connection.peer);
  }
  if (peers.empty()) return;
  const std::chrono::nanoseconds began = WorkOf(CLOCK_THREAD_CPUTIME_ID);
  const std::vector<std::int64_t> streams = count_streams_(peers);
  // With very many connections it is not to be all that is done here.
  streams_due_ = std::chrono::steady_clock::now() +
                 kStreamCountShare * (WorkOf(CLOCK_THREAD_CPUTIME_ID) - began);
  for (std::size_t i = 0; i < counted.size(); ++i) {
    // Some have ended, and their memory is about to be given back.
    if (streams[i] <= 2 * most) continue;
    // Or it would come again at once.
    HostOf(counted[i]->host, now)
        .Add(-limits::kMaxUncalledBytes * (streams[i] / (2 * most)));
    End(*counted[i], now, "it began too many streams");
  }
}

void Acceptor::Account(Connection& connection, absl::Time now,
                       std::chrono::nanoseconds work) {
  // Before what came: a request that is seen without its call is paid by it at
  // the next look. The other way round its call would pay for nothing.
  const std::int64_t called = TakeCalled(connection.peer);
  tcp_info info = {};
  socklen_t size = sizeof(info);
  if (getsockopt(connection.watched.get(), IPPROTO_TCP, TCP_INFO, &info,
                 &size) != 0) {
    return;
  }
  if (called > 0) connection.has_called = true;
  const auto received = static_cast<std::int64_t>(info.tcpi_bytes_received);
  const auto sent = static_cast<std::int64_t>(info.tcpi_bytes_sent);
  const std::uint32_t segments_sent = info.tcpi_data_segs_out;
  const std::int64_t newly_sent = sent - connection.sent;
  std::int64_t balance = called - (received - connection.received);
  // Strangers could have gRPC's own services answer them for that.
  if (connection.has_called) {
    // Those that are full are no events.
    const std::int64_t events =
        std::int64_t{segments_sent - connection.segments_sent} -
        newly_sent / std::max<std::int64_t>(info.tcpi_snd_mss, 1);
    balance += newly_sent / 16 + limits::kAnswerBytesPerSegment *
                                     std::max<std::int64_t>(events, 0);
  }
  connection.owed =
      -Refilled(balance - connection.owed, now - connection.at,
                connection.has_called ? limits::kIdleBytesPerSecond
                                      : limits::kStrangerBytesPerSecond,
                /*most=*/0);
  Host& host = HostOf(connection.host, now);
  host.Add(balance);
  Forgive(connection, host);
  connection.unexplained =
      std::max<std::int64_t>(0, connection.owed - AheadOf(connection));
  if (connection.unexplained <= limits::kMaxNoiseBytes) {
    connection.owes_since.reset();
    connection.unfinished_since.reset();
  } else if (!connection.owes_since) {
    connection.owes_since = std::chrono::steady_clock::now();
  }
  int unread = 0;
  if (ioctl(connection.watched.get(), FIONREAD, &unread) == 0) {
    connection.read = received - unread;
  }
  if (called > 0 || newly_sent > 0) connection.quiet_from = connection.read;
  // Nor is it what the process works for while it has nothing to read of it.
  if (connection.read == connection.quiet_from) {
    connection.quiet_since_work = work;
  }
  connection.received = received;
  connection.sent = sent;
  connection.segments_sent = segments_sent;
  connection.at = now;
}

void Acceptor::Forgive(Connection& connection, Host& host) {
  const auto now = std::chrono::steady_clock::now();
  if (connection.forgiven &&
      now < *connection.forgiven +
                absl::ToChronoNanoseconds(limits::kForgivenessInterval)) {
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    const auto ended = ended_uploads_.find(connection.peer);
    if (ended == ended_uploads_.end()) return;
    if (--ended->second == 0) ended_uploads_.erase(ended);
  }
  connection.forgiven = now;
  const std::int64_t forgiven =
      std::min<std::int64_t>(connection.owed, limits::kStreamAheadBytes);
  connection.owed -= forgiven;
  host.Add(forgiven);
}

bool Acceptor::IsQuiet(const Connection& connection,
                       std::chrono::nanoseconds work) {
  return connection.read - connection.quiet_from >
             limits::kMaxQuietBytes + AheadOf(connection) &&
         work - connection.quiet_since_work >
             absl::ToChronoNanoseconds(limits::kMaxQuietWork);
}

std::int64_t Acceptor::AheadOf(const Connection& connection) {
  absl::MutexLock lock(&mutex_);
  const auto found = uploads_.find(connection.peer);
  return found == uploads_.end()
             ? 0
             : found->second.open * limits::kUploadAheadBytes;
}

std::int64_t Acceptor::TakeCalled(const std::string& peer) {
  absl::MutexLock lock(&mutex_);
  const auto found = called_.find(peer);
  if (found == called_.end()) return 0;
  const std::int64_t called = found->second;
  called_.erase(found);
  return called;
}

void Acceptor::End(Connection& connection, absl::Time now,
                   absl::string_view reason) {
  connection.ended = true;
  // gRPC finds it reset, and so do we. After a mere shutdown it would still
  // read what waits in the kernel, which may be megabytes. The kernel's count
  // of what it sent begins anew with that.
  const sockaddr nowhere = {.sa_family = AF_UNSPEC, .sa_data = {}};
  if (connect(connection.watched.get(), &nowhere, sizeof(nowhere)) != 0) {
    shutdown(connection.watched.get(), SHUT_RDWR);
  }
  const auto left_out = floods_.Admit(now);
  if (!left_out || logger_ == nullptr) return;
  logger_->warn(
      "ended the connection of {}: {} ({} more since the last such line)",
      connection.peer, std::string(reason), *left_out);
}

void Acceptor::AcceptAll(const Listener& listener) {
  // Not to the end: other listeners and the ends of connections wait, and
  // epoll tells again of what is left.
  for (int i = 0; i < 64; ++i) {
    if (!AcceptOne(listener)) return;
  }
}

bool Acceptor::AcceptOne(const Listener& listener) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  UniqueFd connection(accept4(listener.socket,
                              reinterpret_cast<sockaddr*>(&address), &size,
                              SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!connection.valid()) {
    switch (errno) {
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        return ShedOne(listener);
      case EAGAIN:
        return false;
      default:
        // Of the one connection, which is gone.
        return true;
    }
  }
  std::string peer = listener.is_unix ? "" : PeerName(address);
  std::string host = listener.is_unix ? "" : PeerHost(peer);
  const absl::string_view refusal = Refusal(listener, connection, host);
  if (!refusal.empty()) {
    LogRefusal(refusal);
    return true;
  }
  HandOn(listener, std::move(connection),
         {.watched = UniqueFd(),
          .host = std::move(host),
          .peer = std::move(peer),
          .at = absl::Now(),
          .quiet_since_work = WorkOf(CLOCK_PROCESS_CPUTIME_ID)});
  return true;
}

absl::string_view Acceptor::Refusal(const Listener& listener,
                                    const UniqueFd& connection,
                                    const std::string& host) {
  const int descriptors = DescriptorLimit();
  // The lowest free number is given, so this one tells how many are in use.
  if (connection.get() >= descriptors - ReservedDescriptors(descriptors)) {
    return "few descriptors are left, which builds need";
  }
  if (listener.is_unix) {
    return IsOwnUser(connection) ? ""
                                 : "a unix socket's caller is another user";
  }
  absl::MutexLock lock(&mutex_);
  if (tcp_connections_ >= limits_.max_connections) {
    return "there are --max_connections";
  }
  const Host& from = HostOf(host, absl::Now());
  if (from.connections >= limits_.max_connections_per_peer) {
    return "its address has --max_connections_per_peer";
  }
  if (from.allowance < 0) return "its address has flooded";
  return "";
}

void Acceptor::HandOn(const Listener& listener, UniqueFd descriptor,
                      Connection connection) {
  connection.watched =
      UniqueFd(fcntl(descriptor.get(), F_DUPFD_CLOEXEC, /*at_least=*/0));
  if (!connection.watched.valid()) return;
  const std::uint64_t id = next_id_++;
  // No events but the end of both directions: gRPC shuts a connection down
  // before it closes its own descriptor.
  if (!Watch(connection.watched.get(), EPOLLET, id).ok()) return;
  if (!listener.is_unix) {
    SetTcpOptions(descriptor);
    ++tcp_connections_;
    ++HostOf(connection.host, connection.at).connections;
  }
  const std::string host = connection.host;
  connections_.emplace(id, std::move(connection));
  absl::MutexLock lock(&mutex_);
  if (hand_overs_ == nullptr) return;
  awaiting_.emplace(id, std::move(descriptor));
  hand_over_turns_.Post(host, [this, id, &listener] {
    UniqueFd handed_over = BeginHandOver(id);
    if (handed_over.valid()) listener.hand_over(std::move(handed_over));
    EndHandOver();
  });
}

UniqueFd Acceptor::BeginHandOver(std::uint64_t id) {
  absl::MutexLock lock(&mutex_);
  handed_over_ = id;
  handed_over_since_ = std::chrono::steady_clock::now();
  auto awaiting = awaiting_.extract(id);
  return awaiting.empty() ? UniqueFd() : std::move(awaiting.mapped());
}

void Acceptor::EndHandOver() {
  absl::MutexLock lock(&mutex_);
  handed_over_.reset();
}

void Acceptor::CheckHandOver(absl::Time now) {
  std::optional<std::uint64_t> id;
  {
    absl::MutexLock lock(&mutex_);
    if (std::chrono::steady_clock::now() - handed_over_since_ >
        absl::ToChronoNanoseconds(limits_.max_hand_over)) {
      id = handed_over_;
    }
  }
  const auto found = id ? connections_.find(*id) : connections_.end();
  if (found == connections_.end() || found->second.peer.empty() ||
      found->second.ended) {
    return;
  }
  HostOf(found->second.host, now).Add(-limits::kMaxUncalledBytes);
  End(found->second, now, "it kept others from being taken over");
}

bool Acceptor::ShedOne(const Listener& listener) {
  spare_ = UniqueFd();
  UniqueFd shed(
      accept4(listener.socket, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  // The kernel asks for a descriptor before it looks for a connection, so there
  // may have been none.
  const bool any = shed.valid();
  shed = UniqueFd();
  spare_ = OpenSpare();
  if (any) LogRefusal("no descriptors or memory are left");
  if (spare_.valid()) return any;
  // Somebody else took the descriptor. What waits to be accepted would end the
  // next epoll_wait at once.
  pollfd stop = {stop_.get(), POLLIN, 0};
  poll(&stop, 1, kNoDescriptorWaitMs);
  return false;
}

void Acceptor::LogRefusal(absl::string_view reason) {
  const auto left_out = refusals_.Admit(absl::Now());
  if (!left_out || logger_ == nullptr) return;
  logger_->warn("refused a connection: {} ({} more since the last such line)",
                std::string(reason), *left_out);
}

Acceptor::Host& Acceptor::HostOf(const std::string& name, absl::Time now) {
  Host& host =
      hosts_.try_emplace(name, Host{0, now, limits::kMaxUncalledHostBytes})
          .first->second;
  host.allowance =
      Refilled(host.allowance, now - host.at, limits::kIdleHostBytesPerSecond,
               limits::kMaxUncalledHostBytes);
  host.at = now;
  return host;
}

void Acceptor::ForgetRestedHosts(absl::Time now) {
  absl::erase_if(hosts_, [now](const auto& entry) {
    const Host& host = entry.second;
    return host.connections == 0 &&
           Refilled(host.allowance, now - host.at,
                    limits::kIdleHostBytesPerSecond,
                    limits::kMaxUncalledHostBytes) >= 0;
  });
}

void Acceptor::Forget(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  // Its last calls are its host's credit; of one that was ended nothing is.
  if (!found->second.peer.empty() && !found->second.ended) {
    const absl::Time now = absl::Now();
    Account(found->second, now, std::chrono::nanoseconds(0));
    HostOf(found->second.host, now).Add(TakeCalled(found->second.peer));
  }
  const std::string& host = found->second.host;
  if (!host.empty()) {
    --tcp_connections_;
    --hosts_[host].connections;
  }
  // gRPC's own descriptor may keep it in the set otherwise.
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.watched.get(), nullptr);
  connections_.erase(found);
  // Who goes before he is handed over keeps nothing open until his turn.
  absl::MutexLock lock(&mutex_);
  awaiting_.erase(id);
}

}  // namespace containerbuilder::service
