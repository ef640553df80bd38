// What a connection may send beside its calls. The rest of the acceptor is
// shown by the tests of the transport.

#include "rpc/acceptor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "support/processes.h"
#include "support/status_matchers.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::Eventually;
using ::containerbuilder::test_support::IsOk;

constexpr std::size_t kPart = 1024 * 1024;

// A connection to an Acceptor whose other side reads all that comes.
class AcceptorTest : public testing::Test {
 protected:
  void SetUp() override {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    listener_ = FileDescriptor(
        socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(listener_.get(), name, size), 0);
    ASSERT_EQ(listen(listener_.get(), 1), 0);
    ASSERT_EQ(getsockname(listener_.get(), name, &size), 0);
    absl::StatusOr<std::unique_ptr<Acceptor>> acceptor = Acceptor::Start(
        {{listener_.get(), /*is_unix=*/false,
          [this](FileDescriptor connection) {
            accepted_ = std::move(connection);
            reader_ = std::thread([this] { ReadAll(); });
            connected_.Notify();
          }}},
        {.max_connections = 10, .max_connections_per_peer = 10}, nullptr);
    ASSERT_THAT(acceptor, IsOk());
    acceptor_ = *std::move(acceptor);
    client_ = FileDescriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(client_.get(), name, size), 0);
    ASSERT_EQ(getsockname(client_.get(), name, &size), 0);
    peer_ = absl::StrCat("ipv4:127.0.0.1:", ntohs(address.sin_port));
    ASSERT_TRUE(connected_.WaitForNotificationWithTimeout(absl::Minutes(1)));
  }
  void TearDown() override {
    acceptor_.reset();
    shutdown(client_.get(), SHUT_RDWR);
    if (reader_.joinable()) reader_.join();
  }

  // Of those that a flood is told by; false where the connection has ended.
  bool SendPart() {
    const std::string part(kPart, 'x');
    for (std::size_t sent = 0; sent < part.size();) {
      const ssize_t put = send(client_.get(), part.data() + sent,
                               part.size() - sent, MSG_NOSIGNAL);
      if (put <= 0) return false;
      sent += static_cast<std::size_t>(put);
    }
    return true;
  }
  bool HasEnded() { return ended_.HasBeenNotified(); }

  std::unique_ptr<Acceptor> acceptor_;
  std::string peer_;

 private:
  void ReadAll() {
    std::string buffer(1 << 20, '\0');
    while (true) {
      pollfd readable = {accepted_.get(), POLLIN, 0};
      poll(&readable, 1, -1);
      const ssize_t got =
          recv(accepted_.get(), buffer.data(), buffer.size(), 0);
      if (got == 0 || (got < 0 && errno != EAGAIN)) break;
    }
    ended_.Notify();
  }

  FileDescriptor listener_;
  FileDescriptor accepted_;
  FileDescriptor client_;
  absl::Notification connected_;
  absl::Notification ended_;
  std::thread reader_;
};

constexpr int kPartsOfAFlood =
    static_cast<int>(limits::kMaxUncalledBytes / kPart) + 2;

TEST_F(AcceptorTest, UploadsThatBringNothingPayForNoFlood) {
  for (int i = 0; i < kPartsOfAFlood && SendPart(); ++i) {
    acceptor_->BeginUpload(peer_);
    acceptor_->EndUpload(peer_);
  }
  EXPECT_TRUE(Eventually([this] { return HasEnded(); }));
}

// As one that is refused while more of it is on its way.
TEST_F(AcceptorTest, UploadsThatAreBrokenOffAreNoFlood) {
  for (int i = 0; i < 3 * kPartsOfAFlood; ++i) {
    acceptor_->BeginUpload(peer_);
    ASSERT_TRUE(SendPart());
    acceptor_->CountPiece(peer_, kPart);
    ASSERT_TRUE(SendPart());
    acceptor_->EndUpload(peer_);
  }
  EXPECT_FALSE(HasEnded());
}

TEST_F(AcceptorTest, WhatCameOfUploadsIsNoFlood) {
  acceptor_->BeginUpload(peer_);
  for (int i = 0; i < 3 * kPartsOfAFlood; ++i) {
    ASSERT_TRUE(SendPart());
    acceptor_->CountPiece(peer_, kPart);
  }
  acceptor_->EndUpload(peer_);
  EXPECT_FALSE(HasEnded());
  // And so much of it may be on its way.
  acceptor_->BeginUpload(peer_);
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (SendPart()) ASSERT_LT(absl::Now(), deadline);
  EXPECT_TRUE(Eventually([this] { return HasEnded(); }));
}

}  // namespace
}  // namespace containerbuilder::service
