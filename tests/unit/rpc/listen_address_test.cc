#include "rpc/listen_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;

TEST(ListenAddressTest, ReadsSockets) {
  for (const char* text : {"unix:///run/a.sock", "unix:/run/a.sock"}) {
    absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
    ASSERT_THAT(address, IsOk());
    EXPECT_EQ(address->socket_path, "/run/a.sock");
    EXPECT_TRUE(address->is_unix());
  }
}

TEST(ListenAddressTest, KnowsLoopback) {
  for (const char* text :
       {"127.0.0.1:1", "127.9.9.9:0", "localhost:65535", "[::1]:80"}) {
    absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
    ASSERT_THAT(address, IsOk()) << text;
    EXPECT_TRUE(address->loopback) << text;
    EXPECT_FALSE(address->is_unix());
  }
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "host:1",
                           "localhost.example:1", "127.example:1"}) {
    absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
    ASSERT_THAT(address, IsOk()) << text;
    EXPECT_FALSE(address->loopback) << text;
  }
}

TEST(ListenAddressTest, RefusesWhatIsNone) {
  for (const std::string& text :
       {std::string(), std::string("host"), std::string(":1"),
        std::string("host:"), std::string("host:x"), std::string("host:65536"),
        std::string("host:-1"), std::string("unix:relative.sock"),
        std::string("unix://"), "unix:///" + std::string(200, 'x')}) {
    EXPECT_THAT(ParseListenAddress(text),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

class BindTest : public testing::Test {
 protected:
  absl::StatusOr<BoundAddress> Bind() const {
    return BindTo("unix://" + path_);
  }
  static absl::StatusOr<BoundAddress> BindTo(const std::string& text) {
    return BoundAddress::Bind(*ParseListenAddress(text));
  }
  // A socket whose server is dead.
  void LeaveSocket() const {
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    ASSERT_EQ(
        bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)),
        0);
  }

  const TempDir folder_;
  const std::string path_ = folder_.Path("s/a.sock");
};

TEST_F(BindTest, MakesAPrivateSocketInAPrivateFolder) {
  const mode_t before = umask(0);
  const absl::StatusOr<BoundAddress> bound = Bind();
  umask(before);
  ASSERT_THAT(bound, IsOk());
  EXPECT_EQ(bound->address(), "unix://" + path_);
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(folder_.Path("s")).permissions(),
            perms::owner_all);
  EXPECT_EQ(std::filesystem::status(path_).permissions(),
            perms::owner_read | perms::owner_write);
}

TEST_F(BindTest, TakesTheSocketOfADeadServer) {
  std::filesystem::create_directory(folder_.Path("s"));
  LeaveSocket();
  EXPECT_THAT(Bind(), IsOk());
}

TEST_F(BindTest, LeavesTheSocketOfALiveOne) {
  const absl::StatusOr<BoundAddress> bound = Bind();
  ASSERT_THAT(bound, IsOk());
  EXPECT_THAT(Bind(), StatusIs(absl::StatusCode::kAlreadyExists,
                               testing::HasSubstr("in use")));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(BindTest, TakesItsOwnSocketAwayAndNoOther) {
  {
    const absl::StatusOr<BoundAddress> bound = Bind();
    ASSERT_THAT(bound, IsOk());
    std::filesystem::rename(path_, folder_.Path("kept"));
    LeaveSocket();
  }
  EXPECT_TRUE(std::filesystem::exists(path_));
  std::filesystem::remove(path_);
  {
    const absl::StatusOr<BoundAddress> bound = Bind();
    ASSERT_THAT(bound, IsOk());
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(BindTest, LeavesWhatIsNoSocket) {
  folder_.WriteFile("s/a.sock", "mine");
  EXPECT_THAT(Bind(), StatusIs(absl::StatusCode::kAlreadyExists));
  std::filesystem::remove(path_);
  folder_.WriteFile("s/other", "mine");
  std::filesystem::create_symlink(folder_.Path("s/other"), path_);
  EXPECT_THAT(Bind(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
}

TEST_F(BindTest, SharesNoPort) {
  const absl::StatusOr<BoundAddress> bound = BindTo("127.0.0.1:0");
  ASSERT_THAT(bound, IsOk());
  EXPECT_NE(ParseListenAddress(bound->address())->port, 0);
  EXPECT_THAT(
      BindTo(bound->address()),
      StatusIs(absl::StatusCode::kAlreadyExists, testing::HasSubstr("in use")));
}

TEST_F(BindTest, TakesEachAddressOfAName) {
  addrinfo* found = nullptr;
  if (getaddrinfo("localhost", nullptr, nullptr, &found) != 0) {
    GTEST_SKIP() << "this machine has no /etc/hosts that knows localhost";
  }
  freeaddrinfo(found);
  const absl::StatusOr<BoundAddress> bound = BindTo("localhost:0");
  ASSERT_THAT(bound, IsOk());
  EXPECT_GE(bound->sockets().size(), 1);
}

TEST_F(BindTest, SaysThatANameIsUnknown) {
  EXPECT_THAT(BindTo("no.such.host.invalid:0"),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace containerbuilder::service
