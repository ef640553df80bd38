#include "base/remove_tree.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::testing::ExitedWithCode;

class RemoveTreeTest : public testing::Test {
 protected:
  // Folders in folders, deeper than a path can say, each with a file, a link
  // and a folder that its owner may not enter; the last one as well.
  void MakeTree() const {
    const std::string name(250, 'd');
    ASSERT_EQ(mkdir(tree_.c_str(), 0755), 0);
    UniqueFd folder(open(tree_.c_str(), O_RDONLY | O_DIRECTORY));
    for (int depth = 0; depth < kDepth; ++depth) {
      ASSERT_TRUE(folder.valid());
      const UniqueFd file(
          openat(folder.get(), "removed-1", O_CREAT | O_WRONLY, 0600));
      ASSERT_TRUE(file.valid());
      ASSERT_EQ(symlinkat("/", folder.get(), "link"), 0);
      ASSERT_EQ(mkdirat(folder.get(), "closed", 0755), 0);
      ASSERT_EQ(mkdirat(folder.get(), "closed/inner", 0), 0);
      ASSERT_EQ(fchmodat(folder.get(), "closed", 0, 0), 0);
      ASSERT_EQ(mkdirat(folder.get(), name.c_str(), 0755), 0);
      const UniqueFd outer(std::move(folder));
      folder =
          UniqueFd(openat(outer.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
    }
    ASSERT_EQ(fchmod(folder.get(), 0), 0);
  }

  static constexpr int kDepth = 100;
  test_support::TempDir folder_;
  const std::string tree_ = folder_.Path("tree");
};

TEST_F(RemoveTreeTest, WhatIsNotThereIsNoError) {
  EXPECT_EQ(RemoveTree(tree_), std::error_code());
}

TEST_F(RemoveTreeTest, WhatIsNoFolderGoes) {
  folder_.WriteFile("tree", "");
  EXPECT_EQ(RemoveTree(tree_), std::error_code());
  EXPECT_FALSE(std::filesystem::exists(tree_));
}

// As builds leave them, of a service that is not root.
TEST_F(RemoveTreeTest, ClosedFoldersGoHoweverDeep) {
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(chmod(folder_.path().c_str(), 0777), 0);
  EXPECT_EXIT(
      {
        // A service of root may do all, another has not its rights.
        const bool dropped = geteuid() != 0 || setuid(kNobody) == 0;
        MakeTree();
        const std::error_code error = RemoveTree(tree_);
        if (error) fprintf(stderr, "%s\n", error.message().c_str());
        _exit(dropped && !HasFailure() && !error ? 0 : 1);
      },
      ExitedWithCode(0), "");
  EXPECT_FALSE(std::filesystem::exists(tree_));
}

TEST_F(RemoveTreeTest, FewDescriptorsAreEnough) {
  MakeTree();
  EXPECT_EXIT(
      {
        rlimit few;
        few.rlim_cur = few.rlim_max = kDepth / 2;
        const bool limited = setrlimit(RLIMIT_NOFILE, &few) == 0;
        _exit(limited && !RemoveTree(tree_) ? 0 : 1);
      },
      ExitedWithCode(0), "");
  EXPECT_FALSE(std::filesystem::exists(tree_));
}

}  // namespace
}  // namespace containerbuilder::service
