#include "rpc/peer_host.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace containerbuilder::service {

std::string PeerName(const sockaddr_storage& address) {
  std::array<char, INET6_ADDRSTRLEN> text = {};
  if (address.ss_family == AF_INET) {
    const auto& ip = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &ip.sin_addr, text.data(), text.size());
    return absl::StrCat("ipv4:", text.data(), ":", ntohs(ip.sin_port));
  }
  if (address.ss_family != AF_INET6) return "";
  const auto& ip = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&ip.sin6_addr)) {
    inet_ntop(AF_INET, &ip.sin6_addr.s6_addr[12], text.data(), text.size());
    return absl::StrCat("ipv4:", text.data(), ":", ntohs(ip.sin6_port));
  }
  inet_ntop(AF_INET6, &ip.sin6_addr, text.data(), text.size());
  // Of an address that is a link's alone, gRPC names the link by its number.
  const std::string scope =
      ip.sin6_scope_id == 0 ? "" : absl::StrCat("%25", ip.sin6_scope_id);
  return absl::StrCat("ipv6:%5B", text.data(), scope,
                      "%5D:", ntohs(ip.sin6_port));
}

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
