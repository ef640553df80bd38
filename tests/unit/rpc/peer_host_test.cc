#include "rpc/peer_host.h"

#include "gtest/gtest.h"

namespace containerbuilder::service {
namespace {

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
  EXPECT_EQ(PeerHost("ipv6:%5Bfe80::1%25eth0%5D:1"),
            PeerHost("ipv6:%5Bfe80::2%25eth0%5D:2"));
}

TEST(PeerHostTest, WhatIsNoAddressStays) {
  EXPECT_EQ(PeerHost("ipv6:%5Bnone%5D:1"), "ipv6:%5Bnone%5D");
  EXPECT_EQ(PeerHost("unix:"), "unix");
}

}  // namespace
}  // namespace containerbuilder::service
