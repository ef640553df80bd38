#ifndef CONTAINERBUILDER_RPC_OPEN_STREAMS_H_
#define CONTAINERBUILDER_RPC_OPEN_STREAMS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace containerbuilder::service {

// Tells how many streams gRPC holds of a connection, by its own books
// (channelz): they alone know of a stream from its first header on, before
// there is a call, and until its memory is given back. Of all servers in this
// process.
//
// Not thread-safe.
class OpenStreams {
 public:
  // Of each peer's newest connection, by its name as in ServerContext::peer; 0
  // where gRPC has not greeted it yet, or has let it go.
  std::vector<std::int64_t> Count(absl::Span<const std::string> peers);

 private:
  std::int64_t CountOne(const std::string& peer);
  // Takes in the connections that came since.
  void FindNew();
  void FindNewOf(std::int64_t server, std::int64_t first);

  // Peer -> channelz' number of the connection's socket. Numbers only grow.
  absl::flat_hash_map<std::string, std::int64_t> sockets_;
  std::int64_t newest_ = 0;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_OPEN_STREAMS_H_
