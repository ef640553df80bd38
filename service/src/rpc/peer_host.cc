#include "rpc/peer_host.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace containerbuilder::service {

std::string PeerHost(const std::string& peer) {
  std::string host = peer.substr(0, peer.rfind(':'));
  absl::string_view address = host;
  // In brackets, which gRPC escapes, and with a `%` before a zone.
  if (!absl::ConsumePrefix(&address, "ipv6:%5B")) return host;
  const std::string text(address.substr(0, address.find('%')));
  in6_addr ip = {};
  if (inet_pton(AF_INET6, text.c_str(), &ip) != 1) return host;
  const absl::string_view network(reinterpret_cast<const char*>(&ip), 8);
  return absl::StrCat("ipv6:", absl::BytesToHexString(network));
}

}  // namespace containerbuilder::service
