#include "base/folder_lock.h"

#include <memory>
#include <utility>

#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;

TEST(FolderLockTest, IsHeldByOneUntilItIsDropped) {
  const TempDir folder;
  {
    absl::StatusOr<FolderLock> first = FolderLock::Take(folder.path());
    ASSERT_THAT(first, IsOk());
    const FolderLock moved = *std::move(first);
    EXPECT_THAT(FolderLock::Take(folder.path()),
                StatusIs(absl::StatusCode::kAlreadyExists,
                         testing::HasSubstr("in use")));
  }
  EXPECT_THAT(FolderLock::Take(folder.path()), IsOk());
}

TEST(FolderLockTest, DoesNotFollowALink) {
  const TempDir folder;
  std::filesystem::create_symlink(folder.WriteFile("other", "kept"),
                                  folder.Path("lock"));
  EXPECT_FALSE(FolderLock::Take(folder.path()).ok());
}

}  // namespace
}  // namespace containerbuilder::service
