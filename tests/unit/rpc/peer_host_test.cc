#include "rpc/peer_host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "gtest/gtest.h"

namespace containerbuilder::service {
namespace {

// Of a peer with port 5000.
std::string NameOf(const char* ip, std::uint32_t scope = 0) {
  sockaddr_storage address = {};
  sockaddr_in v4 = {};
  sockaddr_in6 v6 = {};
  if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(5000);
    std::memcpy(&address, &v4, sizeof(v4));
  } else {
    EXPECT_EQ(inet_pton(AF_INET6, ip, &v6.sin6_addr), 1);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(5000);
    v6.sin6_scope_id = scope;
    std::memcpy(&address, &v6, sizeof(v6));
  }
  return PeerName(address);
}

TEST(PeerNameTest, IsAsGrpcHasIt) {
  EXPECT_EQ(NameOf("127.0.0.1"), "ipv4:127.0.0.1:5000");
  EXPECT_EQ(NameOf("2001:db8::1"), "ipv6:%5B2001:db8::1%5D:5000");
  EXPECT_EQ(NameOf("::ffff:10.0.0.1"), "ipv4:10.0.0.1:5000");
  EXPECT_EQ(NameOf("fe80::1", 2), "ipv6:%5Bfe80::1%252%5D:5000");
  sockaddr_storage local = {};
  local.ss_family = AF_UNIX;
  EXPECT_EQ(PeerName(local), "");
}

TEST(PeerHostTest, LeavesThePortOut) {
  EXPECT_EQ(PeerHost("ipv4:127.0.0.1:5000"), "ipv4:127.0.0.1");
  EXPECT_EQ(PeerHost("ipv4:127.0.0.1:5000"), PeerHost("ipv4:127.0.0.1:6000"));
  EXPECT_NE(PeerHost("ipv4:127.0.0.1:5000"), PeerHost("ipv4:127.0.0.2:5000"));
}

TEST(PeerHostTest, OfIpv6ItIsTheNetwork) {
  const std::string host = PeerHost("ipv6:%5B2001:db8:1:2:3::4%5D:5000");
  EXPECT_EQ(host, "ipv6:20010db800010002");
  EXPECT_EQ(PeerHost("ipv6:%5B2001:db8:1:2::1%5D:6000"), host);
  EXPECT_NE(PeerHost("ipv6:%5B2001:db8:1:3::1%5D:6000"), host);
  EXPECT_EQ(PeerHost("ipv6:%5Bfe80::1%252%5D:1"),
            PeerHost("ipv6:%5Bfe80::2%252%5D:2"));
}

TEST(PeerHostTest, WhatIsNoAddressStays) {
  EXPECT_EQ(PeerHost("ipv6:%5Bnone%5D:1"), "ipv6:%5Bnone%5D");
  EXPECT_EQ(PeerHost("unix:"), "unix");
}

}  // namespace
}  // namespace containerbuilder::service
