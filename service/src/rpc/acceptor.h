#ifndef CONTAINERBUILDER_RPC_ACCEPTOR_H_
#define CONTAINERBUILDER_RPC_ACCEPTOR_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/executor.h"
#include "base/limits.h"
#include "base/unique_fd.h"
#include "rpc/caller_turns.h"
#include "rpc/log_throttle.h"

namespace spdlog {
class logger;
}  // namespace spdlog

namespace containerbuilder::service {

// Accepts connections, on a thread of its own, and hands them on. gRPC 1.51's
// own listeners never accept again after the process ran out of descriptors
// once, take any number of connections from anybody, and cannot tell who is
// behind a unix socket.
//
// Of each connection that was handed on it keeps a second descriptor, by which
// it learns of its end. Connections over a limit are closed at once, and so are
// those that would take the last descriptors: builds need some.
//
// Thread-safe.
class Acceptor {
 public:
  struct Limits {
    // Of TCP; unix sockets are this user's own.
    int max_connections = 0;
    // Of those, from one address; of IPv6, one network of 64 bits.
    int max_connections_per_peer = 0;
    // Of one connection of TCP, before its peer knows of a limit, and until
    // their memory is given back; 0: any number.
    int max_streams = 0;
    // Of all TCP connections, the bytes that they have sent beside calls, which
    // gRPC may keep; 0: any number.
    std::int64_t max_owed_bytes = 0;
    // For how long a connection that has never called may owe some.
    absl::Duration idle_timeout = absl::InfiniteDuration();
    // A TCP connection that takes longer to hand over is ended.
    absl::Duration max_hand_over = limits::kMaxHandOverTime;
  };
  // How many streams the connections of these peers (as gRPC names them) have.
  // On the acceptor's thread.
  using CountStreams = std::function<std::vector<std::int64_t>(
      absl::Span<const std::string> peers)>;
  // Takes the connection's descriptor over; on a thread of the acceptor's that
  // does nothing else.
  using HandOver = std::function<void(UniqueFd connection)>;
  struct Listener {
    int socket = -1;  // non-blocking; the caller's
    bool is_unix = false;
    HandOver hand_over;
  };

  static absl::StatusOr<std::unique_ptr<Acceptor>> Start(
      std::vector<Listener> listeners, Limits limits,
      CountStreams count_streams, std::shared_ptr<spdlog::logger> logger);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  // Stops; connections that were handed on go on.
  ~Acceptor();

  // What is refused, for connections to come; what they may do, for all.
  void SetLimits(Limits limits);

  // A call came from there (as gRPC names it: `ipv4:127.0.0.1:5000`), of so
  // many bytes: what a connection sends beside calls is a flood, and ends it.
  void CountCall(const std::string& peer, std::int64_t bytes);
  // An upload from there begins: gRPC takes some of it before it is counted.
  // A piece of it came, of so many bytes. It has ended.
  void BeginUpload(const std::string& peer);
  void CountPiece(const std::string& peer, std::int64_t bytes);
  void EndUpload(const std::string& peer);

 private:
  struct Connection {
    UniqueFd watched;
    // Empty for unix.
    std::string host;  // what it is counted by
    std::string peer;  // as gRPC names it
    // What was seen of it last.
    absl::Time at;
    std::int64_t received = 0;
    std::int64_t sent = 0;
    std::uint32_t segments_sent = 0;  // it wraps
    bool has_called = false;
    bool ended = false;  // by us
    // What it sent beside its calls, less what time forgives. How much of that
    // is more than its uploads explain, and since when that is more than noise.
    std::int64_t owed = 0;
    std::int64_t unexplained = 0;
    std::optional<std::chrono::steady_clock::time_point> owes_since = {};
    // Of a stranger's that stands: since when a call of his was seen to go on.
    std::optional<std::chrono::steady_clock::time_point> unfinished_since = {};
    // When it was forgiven last what came of refused uploads.
    std::optional<std::chrono::steady_clock::time_point> forgiven = {};
    // Of what was received, how much gRPC has read, and had read when anything
    // was sent to it or called by it last; and the process' work until then.
    std::int64_t read = 0;
    std::int64_t quiet_from = 0;
    std::chrono::nanoseconds quiet_since_work = {};
    // What it had sent when its streams were counted last.
    std::int64_t received_when_counted = 0;
  };

  // Where TCP connections come from.
  struct Host {
    int connections = 0;
    // What its connections may send beside their calls, as of then. Below 0 it
    // has flooded, and no more than that: it is refused for ten minutes at
    // most.
    absl::Time at;
    std::int64_t allowance = 0;

    void Add(std::int64_t bytes) {
      allowance = std::clamp(allowance + bytes, -limits::kMaxUncalledHostBytes,
                             limits::kMaxUncalledHostBytes);
    }
  };

  // Of one connection.
  struct Uploads {
    int open = 0;
    // What came of their pieces, and may be given back at their ends: at most
    // limits::kUploadAheadBytes for each.
    std::int64_t counted = 0;
  };

  Acceptor(std::vector<Listener> listeners, Limits limits,
           CountStreams count_streams, std::shared_ptr<spdlog::logger> logger);

  absl::Status Watch(int fd, std::uint32_t events, std::uint64_t id);
  void Run();
  void AcceptAll(const Listener& listener);
  // Whether there may be more to accept.
  bool AcceptOne(const Listener& listener);
  // Why the connection is not taken; empty if it is.
  absl::string_view Refusal(const Listener& listener,
                            const UniqueFd& connection,
                            const std::string& host);
  void HandOn(const Listener& listener, UniqueFd descriptor,
              Connection connection);
  // The same, where there is no descriptor for it.
  bool ShedOne(const Listener& listener);
  void LogRefusal(absl::string_view reason);
  // Ends connections that flood.
  void CheckFloods(absl::Time now);
  // Whether gRPC works on what it sends, and makes nothing of it.
  bool IsQuiet(const Connection& connection, std::chrono::nanoseconds work);
  // Ends connections that owe the longest, until all owe no more than may be.
  void CheckOwed(std::int64_t most, absl::Time now);
  // Takes in what a connection has sent and called; `work` is what this process
  // has done.
  void Account(Connection& connection, absl::Time now,
               std::chrono::nanoseconds work);
  // The same of its uploads.
  void Forgive(Connection& connection, Host& host);
  // Whether it floods, by itself or as one of its host's, whose uploads are
  // ahead by so much.
  bool Floods(const Connection& connection, std::int64_t host_ahead,
              absl::Time now);
  // Ends connections of strangers on which something stands unfinished for too
  // long.
  void CheckStanding(absl::Duration idle_timeout, absl::Time now);
  std::int64_t TakeCalled(const std::string& peer);
  // What the uploads of a connection may be ahead of their count.
  std::int64_t AheadOf(const Connection& connection);
  // Ends connections that have begun more streams than they may.
  void CheckStreams(std::int64_t most, absl::Time now);
  // Ends a connection that keeps the thread that hands them over.
  void CheckHandOver(absl::Time now);
  // Its descriptor; none where the peer has gone.
  UniqueFd BeginHandOver(std::uint64_t id);
  void EndHandOver();
  void End(Connection& connection, absl::Time now, absl::string_view reason);
  Host& HostOf(const std::string& name, absl::Time now);
  // Hosts with no connections that have not flooded lately.
  void ForgetRestedHosts(absl::Time now);
  void Forget(std::uint64_t id);

  const std::vector<Listener> listeners_;
  const CountStreams count_streams_;
  const std::shared_ptr<spdlog::logger> logger_;
  UniqueFd epoll_;
  UniqueFd stop_;
  // Given up for a moment when there is no other to accept with.
  UniqueFd spare_;

  absl::Mutex mutex_;
  Limits limits_ ABSL_GUARDED_BY(mutex_);
  // Peer -> bytes that its calls since the last look give it.
  absl::flat_hash_map<std::string, std::int64_t> called_
      ABSL_GUARDED_BY(mutex_);

  // Null at the end, when connections are no longer handed on.
  std::unique_ptr<Executor> hand_overs_ ABSL_GUARDED_BY(mutex_);
  // On hand_overs_, by host.
  CallerTurns hand_over_turns_ ABSL_GUARDED_BY(mutex_);
  // The descriptors of those that wait for it.
  absl::flat_hash_map<std::uint64_t, UniqueFd> awaiting_
      ABSL_GUARDED_BY(mutex_);
  // The connection that is just handed over, and since when.
  std::optional<std::uint64_t> handed_over_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point handed_over_since_
      ABSL_GUARDED_BY(mutex_);

  // Peer -> uploads that are under way.
  absl::flat_hash_map<std::string, Uploads> uploads_ ABSL_GUARDED_BY(mutex_);
  // Peer -> uploads that have ended and were not forgiven, of the last ones.
  absl::flat_hash_map<std::string, int> ended_uploads_ ABSL_GUARDED_BY(mutex_);

  // The thread's own.
  std::uint64_t next_id_;
  absl::flat_hash_map<std::uint64_t, Connection> connections_;
  absl::flat_hash_map<std::string, Host> hosts_;
  int tcp_connections_ = 0;
  absl::Time floods_checked_ = absl::InfinitePast();
  // When streams are to be counted again.
  std::chrono::steady_clock::time_point streams_due_;
  LogThrottle refusals_;
  LogThrottle floods_;

  std::thread thread_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_ACCEPTOR_H_
