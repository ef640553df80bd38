#ifndef CONTAINERBUILDER_RPC_PEER_HOST_H_
#define CONTAINERBUILDER_RPC_PEER_HOST_H_

#include <sys/socket.h>

#include <string>

namespace containerbuilder::service {

// A peer as gRPC names it in ServerContext::peer: `ipv4:127.0.0.1:5000`,
// `ipv6:%5B::1%5D:5000`. Empty where the address is of no such kind.
std::string PeerName(const sockaddr_storage& address);

// What callers without a name are counted by: the host of a peer; of IPv6 the
// network, /64, whose addresses have no end.
std::string PeerHost(const std::string& peer);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_PEER_HOST_H_
