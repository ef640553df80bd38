// What a connection may send beside its calls. The rest of the acceptor is
// shown by the tests of the transport.

#include "rpc/acceptor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/limits.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "support/processes.h"
#include "support/status_matchers.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::Eventually;
using ::containerbuilder::test_support::IsOk;

constexpr std::size_t kPart = 1024 * 1024;
constexpr int kMaxStreams = 100;

// A connection to an Acceptor whose other side reads all that comes, and for as
// long keeps the thread that handed the connection on, as gRPC may.
class AcceptorTest : public testing::Test {
 protected:
  void SetUp() override {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    listener_ = UniqueFd(
        socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(listener_.get(), name, size), 0);
    ASSERT_EQ(listen(listener_.get(), 1), 0);
    ASSERT_EQ(getsockname(listener_.get(), name, &size), 0);
    absl::StatusOr<std::unique_ptr<Acceptor>> acceptor = Acceptor::Start(
        {{listener_.get(), /*is_unix=*/false,
          [this](UniqueFd connection) {
            const bool is_first = !connected_.HasBeenNotified();
            if (is_first) {
              accepted_ = connection.get();
              connected_.Notify();
            }
            ReadAll(connection);
            if (is_first) ended_.Notify();
          }}},
        limits_,
        [this](absl::Span<const std::string> peers) {
          std::vector<std::int64_t> streams(
              peers.size(), is_probed_.exchange(false) ? 1 : streams_.load());
          ++counted_;
          return streams;
        },
        nullptr);
    ASSERT_THAT(acceptor, IsOk());
    acceptor_ = *std::move(acceptor);
    client_ = Connect();
    peer_ = PeerOf(client_);
    ASSERT_TRUE(connected_.WaitForNotificationWithTimeout(absl::Minutes(1)));
  }
  void TearDown() override {
    shutdown(client_.get(), SHUT_RDWR);
    acceptor_.reset();
  }

  UniqueFd Connect() {
    sockaddr_in address = {};
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    EXPECT_EQ(getsockname(listener_.get(), name, &size), 0);
    UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(client.get(), name, size), 0);
    return client;
  }
  // Of those that a flood is told by; false where the connection has ended.
  bool SendPart() { return Send(kPart); }
  bool Send(std::size_t size) { return SendOn(client_, size); }
  static bool SendOn(const UniqueFd& client, std::size_t size) {
    const std::string part(size, 'x');
    for (std::size_t sent = 0; sent < part.size();) {
      const ssize_t put = send(client.get(), part.data() + sent,
                               part.size() - sent, MSG_NOSIGNAL);
      if (put <= 0) return false;
      sent += static_cast<std::size_t>(put);
    }
    return true;
  }
  // As gRPC names it.
  static std::string PeerOf(const UniqueFd& client) {
    sockaddr_in address = {};
    socklen_t size = sizeof(address);
    EXPECT_EQ(
        getsockname(client.get(), reinterpret_cast<sockaddr*>(&address), &size),
        0);
    return absl::StrCat("ipv4:127.0.0.1:", ntohs(address.sin_port));
  }
  // Closed at once; of one that is not, nothing is heard here.
  static bool IsRefused(const UniqueFd& client) {
    pollfd readable = {client.get(), POLLIN, 0};
    return poll(&readable, 1, /*timeout=*/2000) == 1;
  }
  bool HasEnded() { return ended_.HasBeenNotified(); }
  // Sends a little, and whether there is a look that ends after that and does
  // not end it: of one that is ended, no streams are counted.
  bool GoesOn() { return GoesOn(client_); }
  bool GoesOn(const UniqueFd& client) {
    const int before = counted_.load();
    return SendOn(client, kMaxStreams * limits::kLeastBytesPerStream) &&
           Eventually([&] { return counted_.load() > before; });
  }
  void Answer() { EXPECT_EQ(send(accepted_, "x", 1, MSG_NOSIGNAL), 1); }
  // Of this process.
  static void Work(absl::Duration time) {
    const std::clock_t end =
        std::clock() +
        static_cast<std::clock_t>(absl::ToDoubleSeconds(time) * CLOCKS_PER_SEC);
    while (std::clock() < end) {
    }
  }

  // As it begins; a test changes them and sets them again.
  Acceptor::Limits limits_ = {.max_connections = 10,
                              .max_connections_per_peer = 10,
                              .max_streams = kMaxStreams,
                              .max_hand_over = absl::InfiniteDuration()};
  std::unique_ptr<Acceptor> acceptor_;
  std::string peer_;
  std::atomic<std::int64_t> streams_ = 0;
  std::atomic<bool> is_probed_ = false;  // one stream, at the next count alone
  std::atomic<int> counted_ = 0;

 private:
  static void ReadAll(const UniqueFd& connection) {
    std::string buffer(1 << 20, '\0');
    while (true) {
      pollfd readable = {connection.get(), POLLIN, 0};
      poll(&readable, 1, -1);
      const ssize_t got =
          recv(connection.get(), buffer.data(), buffer.size(), 0);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return;
    }
  }

  UniqueFd listener_;
  UniqueFd client_;
  int accepted_ = -1;
  absl::Notification connected_;
  absl::Notification ended_;
};

constexpr int kPartsOfAFlood =
    static_cast<int>(limits::kMaxUncalledBytes / kPart) + 2;

// Large requests may be on their way at the same time.
TEST_F(AcceptorTest, WhoHasCalledMaySendMoreAheadOfCalls) {
  acceptor_->CountCall(peer_, 0);
  for (int i = 0; i < 3 * kPartsOfAFlood; ++i) ASSERT_TRUE(SendPart());
  EXPECT_FALSE(HasEnded());
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (SendPart()) ASSERT_LT(absl::Now(), deadline);
  EXPECT_TRUE(Eventually([this] { return HasEnded(); }));
}

TEST_F(AcceptorTest, UploadsThatBringNothingPayForNoFlood) {
  for (int i = 0; i < 2 * kPartsOfAFlood && SendPart(); ++i) {
    acceptor_->BeginUpload(peer_);
    acceptor_->EndUpload(peer_);
  }
  EXPECT_TRUE(Eventually([this] { return HasEnded(); }));
}

// Of one that is refused at once, nothing is read but what gRPC takes ahead.
TEST_F(AcceptorTest, WhatRefusedUploadsSentIsForgiven) {
  limits_.max_owed_bytes = 1;  // but for noise
  acceptor_->SetLimits(limits_);
  acceptor_->CountCall(peer_, 0);
  acceptor_->BeginUpload(peer_);
  ASSERT_TRUE(Send(limits::kStreamAheadBytes));
  ASSERT_TRUE(GoesOn());
  acceptor_->EndUpload(peer_);
  EXPECT_TRUE(GoesOn());
  // But not as often as one likes.
  for (int i = 0; i < 4 * kPartsOfAFlood && SendPart(); ++i) {
    acceptor_->BeginUpload(peer_);
    acceptor_->EndUpload(peer_);
  }
  EXPECT_TRUE(Eventually([this] { return HasEnded(); }));
}

// As a client does to each small event, with a ping and a window's update.
TEST_F(AcceptorTest, AnswersToWhatIsSentAreNoFlood) {
  limits_.max_owed_bytes = 1;
  acceptor_->SetLimits(limits_);
  acceptor_->CountCall(peer_, 0);
  for (int i = 0; i < 10'000; ++i) {
    Answer();
    ASSERT_TRUE(Send(limits::kAnswerBytesPerSegment));
  }
  EXPECT_TRUE(GoesOn());
}

TEST_F(AcceptorTest, OthersFromWhereAFloodCameGoOn) {
  const UniqueFd other = Connect();
  ASSERT_TRUE(GoesOn(other));
  streams_ = 10 * kMaxStreams;
  ASSERT_TRUE(Send(kMaxStreams * limits::kLeastBytesPerStream));
  ASSERT_TRUE(Eventually([this] { return HasEnded(); }));
  streams_ = 0;
  EXPECT_TRUE(GoesOn(other));
  // New ones from there are not taken.
  const UniqueFd late = Connect();
  EXPECT_TRUE(IsRefused(late));
  EXPECT_TRUE(GoesOn(other));
  // A caller's requests go on, too; what strangers begin does not.
  acceptor_->CountCall(PeerOf(other), 0);
  ASSERT_TRUE(SendOn(other, 2 * limits::kMaxNoiseBytes));
  EXPECT_TRUE(GoesOn(other));
  acceptor_->CountCall(PeerOf(other), 2 * limits::kMaxNoiseBytes);
  EXPECT_TRUE(GoesOn(other));
}

// As many streams as come between two looks are no reason.
TEST_F(AcceptorTest, AFloodIsNotRefusedForHours) {
  const UniqueFd other = Connect();
  ASSERT_TRUE(GoesOn(other));
  acceptor_->CountCall(PeerOf(other), 0);
  streams_ = 1000 * kMaxStreams;
  ASSERT_TRUE(Send(kMaxStreams * limits::kLeastBytesPerStream));
  ASSERT_TRUE(Eventually([this] { return HasEnded(); }));
  streams_ = 0;
  ASSERT_TRUE(IsRefused(Connect()));
  // What it lost is its own again, and no more than that is missing.
  acceptor_->CountCall(PeerOf(other), limits::kMaxUncalledHostBytes);
  ASSERT_TRUE(GoesOn(other));
  ASSERT_TRUE(GoesOn(other));
  EXPECT_FALSE(IsRefused(Connect()));
}

// A request that does not end, or a stream of which gRPC keeps the request.
TEST_F(AcceptorTest, WhatAStrangerBeganDoesNotStandForLong) {
  limits_.idle_timeout = absl::Milliseconds(1);
  acceptor_->SetLimits(limits_);
  streams_ = 1;
  ASSERT_TRUE(Send(limits::kMaxNoiseBytes / 2));
  EXPECT_TRUE(GoesOn());
  ASSERT_TRUE(Send(limits::kMaxNoiseBytes));
  EXPECT_TRUE(Eventually([this] { return HasEnded(); }));
}

// Such as many small calls of gRPC's own health service.
TEST_F(AcceptorTest, WhatAStrangerFinishedIsForgotten) {
  limits_.idle_timeout = absl::Milliseconds(1);
  limits_.max_streams = 0;  // for how many there are, none are counted
  acceptor_->SetLimits(limits_);
  is_probed_ = true;
  ASSERT_TRUE(Send(2 * limits::kMaxNoiseBytes));
  EXPECT_TRUE(Eventually([this] { return counted_.load() == 2; }));
  limits_.max_streams = kMaxStreams;
  limits_.max_owed_bytes = 1;
  acceptor_->SetLimits(limits_);
  EXPECT_TRUE(GoesOn());
}

TEST_F(AcceptorTest, OfAllThatOweTooMuchStrangersGoFirst) {
  limits_.max_owed_bytes = 3 * limits::kMaxNoiseBytes;
  acceptor_->SetLimits(limits_);
  const UniqueFd other = Connect();
  acceptor_->CountCall(PeerOf(other), 0);
  const int before = counted_.load();
  ASSERT_TRUE(SendOn(other, 2 * limits::kMaxNoiseBytes));
  ASSERT_TRUE(Eventually([&] { return counted_.load() > before; }));
  ASSERT_TRUE(Send(2 * limits::kMaxNoiseBytes));
  EXPECT_TRUE(Eventually([this] { return HasEnded(); }));
  EXPECT_TRUE(GoesOn(other));
}

TEST_F(AcceptorTest, OfAllThatOweTooMuchWhoOwesLongestGoesFirst) {
  limits_.max_owed_bytes = 3 * limits::kMaxNoiseBytes;
  acceptor_->SetLimits(limits_);
  const UniqueFd other = Connect();
  ASSERT_TRUE(Send(2 * limits::kMaxNoiseBytes));
  ASSERT_TRUE(GoesOn());
  ASSERT_TRUE(GoesOn());
  ASSERT_TRUE(SendOn(other, 2 * limits::kMaxNoiseBytes));
  EXPECT_TRUE(Eventually([this] { return HasEnded(); }));
  EXPECT_TRUE(GoesOn(other));
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

TEST_F(AcceptorTest, WorkWithoutAnAnswerIsAFlood) {
  ASSERT_TRUE(Send(limits::kMaxQuietBytes + 1));
  EXPECT_TRUE(Eventually([this] {
    Work(absl::Milliseconds(100));
    return HasEnded();
  }));
}

TEST_F(AcceptorTest, WhoIsAnsweredOrCallsMayTakeWork) {
  const absl::Time begin = absl::Now();
  for (absl::Duration worked; worked < 2 * limits::kMaxQuietWork;
       worked += absl::Milliseconds(200)) {
    ASSERT_TRUE(Send(limits::kMaxQuietBytes / 2));
    // In turns.
    if (absl::ToInt64Milliseconds(worked) % 400 == 0) {
      acceptor_->CountCall(peer_, 0);
    } else {
      Answer();
    }
    Work(absl::Milliseconds(200));
  }
  EXPECT_FALSE(HasEnded());
  EXPECT_GT(absl::Now() - begin, limits::kMaxQuietWork);
}

// Small as it is what begins them.
TEST_F(AcceptorTest, MoreStreamsThanMayBeAreAFlood) {
  streams_ = 2 * kMaxStreams;
  ASSERT_TRUE(Send(kMaxStreams * limits::kLeastBytesPerStream));
  ASSERT_TRUE(GoesOn());
  ASSERT_TRUE(GoesOn());
  streams_ = 2 * kMaxStreams + 1;
  ASSERT_TRUE(Send(kMaxStreams * limits::kLeastBytesPerStream));
  EXPECT_TRUE(Eventually([this] { return HasEnded(); }));
}

// Others wait for it.
TEST_F(AcceptorTest, WhoKeepsTheHandOverIsEnded) {
  limits_.max_hand_over = absl::Milliseconds(100);
  acceptor_->SetLimits(limits_);
  EXPECT_TRUE(Eventually([this] { return HasEnded(); }));
}

TEST_F(AcceptorTest, WhoGoesBeforeHisHandOverKeepsNothingOpen) {
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  const auto before = open_files();
  UniqueFd second = Connect();
  // Ours, the acceptor's and the one that is to be handed over.
  EXPECT_TRUE(Eventually([&] { return open_files() == before + 3; }));
  const linger reset = {.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(
      setsockopt(second.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)),
      0);
  second = UniqueFd();
  EXPECT_TRUE(Eventually([&] { return open_files() == before; }));
  EXPECT_FALSE(HasEnded());
}

// It may be a flood's.
TEST_F(AcceptorTest, TheEndEndsWhatKeepsTheHandOver) {
  std::thread flood([this] {
    while (SendPart()) {
    }
  });
  acceptor_.reset();
  flood.join();
  EXPECT_TRUE(HasEnded());
}

}  // namespace
}  // namespace containerbuilder::service
