#include "base/disk_reserve.h"

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <limits>

#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::TempDir;

constexpr std::int64_t kBytes = 1024 * 1024;
constexpr std::int64_t kBytesOfABlock = 512;  // as stat counts

TEST(DiskReserveTest, HoldsBlocksUntilTheyAreNeeded) {
  const TempDir folder;
  DiskReserve reserve(folder.Path("reserve"), kBytes);
  EXPECT_FALSE(reserve.held());
  reserve.Release();
  for (int i = 0; i < 2; ++i) {
    ASSERT_THAT(reserve.Refill(), IsOk());
    EXPECT_TRUE(reserve.held());
    EXPECT_THAT(reserve.Refill(), IsOk());
    struct stat found = {};
    ASSERT_EQ(stat(folder.Path("reserve").c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600U);
    EXPECT_GE(found.st_blocks * kBytesOfABlock, kBytes);
    reserve.Release();
    EXPECT_FALSE(reserve.held());
    EXPECT_FALSE(std::filesystem::exists(folder.Path("reserve")));
  }
}

TEST(DiskReserveTest, TakesOverWhatIsThere) {
  const TempDir folder;
  {
    DiskReserve before(folder.Path("reserve"), kBytes);
    ASSERT_THAT(before.Refill(), IsOk());
  }
  DiskReserve reserve(folder.Path("reserve"), kBytes);
  EXPECT_THAT(reserve.Refill(), IsOk());
  reserve.Release();
  EXPECT_FALSE(std::filesystem::exists(folder.Path("reserve")));
}

TEST(DiskReserveTest, TakesAllOrNothing) {
  const TempDir folder;
  DiskReserve reserve(folder.Path("reserve"),
                      std::numeric_limits<std::int64_t>::max() / 2);
  EXPECT_FALSE(reserve.Refill().ok());
  EXPECT_FALSE(reserve.held());
  EXPECT_FALSE(std::filesystem::exists(folder.Path("reserve")));
}

TEST(DiskReserveTest, DoesNotFollowALink) {
  const TempDir folder;
  std::filesystem::create_symlink(folder.WriteFile("other", "kept"),
                                  folder.Path("reserve"));
  DiskReserve reserve(folder.Path("reserve"), kBytes);
  EXPECT_FALSE(reserve.Refill().ok());
  EXPECT_EQ(std::filesystem::file_size(folder.Path("other")), 4U);
}

}  // namespace
}  // namespace containerbuilder::service
