#include "rpc/listen_address.h"

#include <sys/socket.h>
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
    EXPECT_EQ(address->Target(), "unix:/run/a.sock");
  }
}

TEST(ListenAddressTest, KnowsLoopback) {
  for (const char* text :
       {"127.0.0.1:1", "127.9.9.9:0", "localhost:65535", "[::1]:80"}) {
    absl::StatusOr<ListenAddress> address = ParseListenAddress(text);
    ASSERT_THAT(address, IsOk()) << text;
    EXPECT_TRUE(address->loopback) << text;
    EXPECT_EQ(address->Target(), text);
  }
  for (const char* text :
       {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "host:1", "localhost.example:1"}) {
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

class PrepareSocketTest : public testing::Test {
 protected:
  // A bound socket; listening if asked for. Closed by the caller.
  int Bind(bool listening) const {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
              0);
    EXPECT_EQ(listening ? listen(fd, 1) : 0, 0);
    return fd;
  }

  const TempDir folder_;
  const std::string path_ = folder_.Path("s/a.sock");
};

TEST_F(PrepareSocketTest, MakesThePrivateFolder) {
  ASSERT_THAT(PrepareSocket(path_), IsOk());
  EXPECT_EQ(std::filesystem::status(folder_.Path("s")).permissions(),
            std::filesystem::perms::owner_all);
}

TEST_F(PrepareSocketTest, TakesTheSocketOfADeadServer) {
  ASSERT_THAT(PrepareSocket(path_), IsOk());
  close(Bind(true));
  ASSERT_THAT(PrepareSocket(path_), IsOk());
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(PrepareSocketTest, LeavesTheSocketOfALiveOne) {
  ASSERT_THAT(PrepareSocket(path_), IsOk());
  const int fd = Bind(true);
  EXPECT_THAT(PrepareSocket(path_), StatusIs(absl::StatusCode::kAlreadyExists,
                                             testing::HasSubstr("in use")));
  EXPECT_TRUE(std::filesystem::exists(path_));
  close(fd);
}

TEST_F(PrepareSocketTest, LeavesWhatIsNoSocket) {
  folder_.WriteFile("s/a.sock", "mine");
  EXPECT_THAT(PrepareSocket(path_), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_TRUE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace containerbuilder::service
