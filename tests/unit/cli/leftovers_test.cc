#include "leftovers.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "support/temp_dir.h"

namespace containerbuilder::cli {
namespace {

namespace fs = std::filesystem;
using test_support::TempDir;

class LeftoversTest : public testing::Test {
 protected:
  // A folder that may not be written to, with another such one in it.
  Leftover MakeTree(Leftovers& leftovers) const {
    return Leftover(leftovers, [this] {
      fs::create_directories(path_ + "/a/b");
      std::ofstream(path_ + "/a/b/file") << "x";
      ::chmod((path_ + "/a/b").c_str(), 0500);
      ::chmod(path_.c_str(), 0);
      return path_;
    });
  }

  const TempDir folder_;
  const std::string path_ = folder_.Path("tree");
};

TEST_F(LeftoversTest, GoWithTheirScope) {
  Leftovers leftovers;
  {
    Leftover moved;
    {
      Leftover tree = MakeTree(leftovers);
      EXPECT_EQ(tree.path(), path_);
      moved = std::move(tree);
    }
    EXPECT_TRUE(fs::exists(path_));
  }
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(LeftoversTest, WhatCouldNotBeMadeIsNone) {
  Leftovers leftovers;
  const Leftover none(leftovers, [] { return ""; });
  EXPECT_EQ(none.path(), "");
}

TEST_F(LeftoversTest, AreRemovedWhenTheProcessLeaves) {
  // Neither ends: whoever owns what was removed waits for the process's end.
  // Static, so that it is no leak.
  static auto* const leftovers = new Leftovers;
  static auto* const tree = new Leftover(MakeTree(*leftovers));
  leftovers->RemoveForGood();
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_EQ(tree->path(), path_);
}

TEST_F(LeftoversTest, LeavingWaitsForWhoFillsAFolder) {
  static auto* const leftovers = new Leftovers;
  static auto* const tree = new Leftover(MakeTree(*leftovers));
  std::optional held(tree->Hold());
  std::jthread leaving([] { leftovers->RemoveForGood(); });
  ::chmod(path_.c_str(), 0700);
  std::ofstream(path_ + "/a/more") << "x";
  EXPECT_TRUE(fs::exists(path_ + "/a/more"));
  held.reset();
  leaving.join();
  EXPECT_FALSE(fs::exists(path_));
}

}  // namespace
}  // namespace containerbuilder::cli
