#ifndef CONTAINERBUILDER_RPC_PEER_HOST_H_
#define CONTAINERBUILDER_RPC_PEER_HOST_H_

#include <string>

namespace containerbuilder::service {

// What callers without a name are counted by: the host of a peer, as gRPC names
// it (`ipv4:127.0.0.1:5000`); of IPv6 the network, /64, whose addresses have no
// end.
std::string PeerHost(const std::string& peer);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_RPC_PEER_HOST_H_
