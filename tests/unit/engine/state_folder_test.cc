#include "build/state_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using test_support::IsOk;
using test_support::StatusIs;
using test_support::TempDir;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

mode_t ModeOf(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

TEST(BuildNameTest, NamesAndIdsAreEachOthers) {
  EXPECT_EQ(BuildName("01aryz6s41"), "builds/01aryz6s41");
  EXPECT_EQ(BuildId("builds/01aryz6s41"), "01aryz6s41");
  EXPECT_EQ(BuildId("builds/" + std::string(64, 'a')), std::string(64, 'a'));
}

TEST(BuildNameTest, WhatCouldNameAnotherFolderIsNoId) {
  for (const std::string& name : {
           std::string(),
           std::string("builds/"),
           std::string("builds"),
           std::string("01aryz6s41"),
           std::string("/builds/a"),
           std::string("Builds/a"),
           std::string("builds/."),
           std::string("builds/.."),
           std::string("builds/../a"),
           std::string("builds/a/b"),
           std::string("builds/a/"),
           std::string("builds//a"),
           std::string("builds/a b"),
           std::string("builds/%00"),
           std::string("builds/a\0", 9),
           std::string("builds/\0a", 9),
           std::string("builds/\xc3\xa9"),
           std::string("builds/a\n"),
           "builds/" + std::string(65, 'a'),
           "builds/" + std::string(1 << 20, 'a'),
       }) {
    EXPECT_EQ(BuildId(name), "") << name.substr(0, 100);
  }
}

class StateFolderTest : public testing::Test {
 protected:
  absl::StatusOr<StateFolder> Take() { return StateFolder::Take(path_); }

  static void Make(const StateFolder& state, const std::string& id) {
    ASSERT_THAT(state.MakeBuild(id), IsOk());
    ASSERT_THAT(state.PublishBuild(id), IsOk());
  }

  const TempDir folder_;
  const std::string path_ = folder_.Path("deep/state");
};

TEST_F(StateFolderTest, IsMadeForItsOwnerAlone) {
  const absl::StatusOr<StateFolder> state = Take();
  ASSERT_THAT(state, IsOk());
  EXPECT_EQ(state->path(), path_);
  EXPECT_EQ(ModeOf(path_), 0700U);
  EXPECT_EQ(ModeOf(path_ + "/builds"), 0700U);
}

TEST_F(StateFolderTest, ClosesAFolderThatOthersMightRead) {
  folder_.MakeDir("deep/state");
  ASSERT_EQ(chmod(path_.c_str(), 0755), 0);
  ASSERT_THAT(Take(), IsOk());
  EXPECT_EQ(ModeOf(path_), 0700U);
}

TEST_F(StateFolderTest, RefusesAFolderThatOthersMightWriteTo) {
  folder_.MakeDir("deep/state");
  for (const mode_t mode : {0777, 0770, 01777, 0702}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    EXPECT_THAT(Take(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                 AllOf(HasSubstr("--state_dir"),
                                       HasSubstr("chmod it to 0700"))));
    EXPECT_EQ(ModeOf(path_), mode);
    EXPECT_TRUE(std::filesystem::is_empty(path_));
  }
}

TEST_F(StateFolderTest, RefusesALink) {
  const std::string target = folder_.MakeDir("target");
  folder_.MakeDir("deep");
  std::filesystem::create_directory_symlink(target, path_);
  for (const std::string& path : {path_, path_ + "/", path_ + "//"}) {
    EXPECT_THAT(StateFolder::Take(path),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         HasSubstr("is a link")));
  }
  EXPECT_TRUE(std::filesystem::is_empty(target));
}

TEST_F(StateFolderTest, RefusesAnotherUsersFolder) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  folder_.MakeDir("deep/state");
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(chown(path_.c_str(), kNobody, kNobody), 0);
  EXPECT_THAT(Take(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("belongs to user 65534")));
}

TEST_F(StateFolderTest, NoticesThatItIsGoneOrReplaced) {
  const absl::StatusOr<StateFolder> state = Take();
  ASSERT_THAT(state, IsOk());
  EXPECT_THAT(state->Check(), IsOk());
  std::filesystem::rename(path_, path_ + ".old");
  EXPECT_THAT(state->Check(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                       HasSubstr("has been removed")));
  folder_.WriteFile("deep/state/lock", "");
  EXPECT_THAT(state->Check(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                       HasSubstr("another folder")));
  std::filesystem::remove_all(path_);
  std::filesystem::rename(path_ + ".old", path_);
  EXPECT_THAT(state->Check(), IsOk());
}

TEST_F(StateFolderTest, OneAtATimeHasIt) {
  {
    const absl::StatusOr<StateFolder> first = Take();
    ASSERT_THAT(first, IsOk());
    EXPECT_THAT(Take(), StatusIs(absl::StatusCode::kAlreadyExists,
                                 HasSubstr("in use by another process")));
  }
  EXPECT_THAT(Take(), IsOk());
}

TEST_F(StateFolderTest, SaysWhichSettingIsWrong) {
  EXPECT_THAT(
      StateFolder::Take(""),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--state_dir")));
  const std::string file = folder_.WriteFile("file", "");
  for (const std::string& path : {file, file + "/state"}) {
    const absl::StatusOr<StateFolder> state = StateFolder::Take(path);
    ASSERT_FALSE(state.ok());
    EXPECT_THAT(std::string(state.status().message()),
                HasSubstr("--state_dir"));
    EXPECT_THAT(std::string(state.status().message()), HasSubstr(file));
  }
}

TEST_F(StateFolderTest, MakesFindsAndDiscardsBuilds) {
  const absl::StatusOr<StateFolder> state = Take();
  ASSERT_THAT(state, IsOk());
  EXPECT_THAT(*state->FindBuilds(), IsEmpty());
  for (const char* id : {"b", "a", "c"}) {
    Make(*state, id);
    EXPECT_TRUE(std::filesystem::exists(state->build_path(id) + "/tmp"));
  }
  EXPECT_THAT(*state->FindBuilds(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(state->DiscardBuild("b"), IsOk());
  EXPECT_FALSE(std::filesystem::exists(state->build_path("b")));
  EXPECT_THAT(state->DiscardBuild("b"), IsOk());  // gone already
  EXPECT_THAT(*state->FindBuilds(), ElementsAre("a", "c"));
}

TEST_F(StateFolderTest, NeitherMakesNorDiscardsWhatIsNoId) {
  const absl::StatusOr<StateFolder> state = Take();
  ASSERT_THAT(state, IsOk());
  Make(*state, "a");
  folder_.WriteFile("deep/state/builds/a/journal", "bytes");
  for (const char* id : {"", ".", "..", "../builds", "a/..", "a/tmp", "/"}) {
    EXPECT_FALSE(state->DiscardBuild(id).ok()) << id;
    EXPECT_FALSE(state->MakeBuild(id).ok()) << id;
  }
  EXPECT_TRUE(std::filesystem::exists(path_ + "/builds/a/journal"));
  EXPECT_TRUE(std::filesystem::exists(path_ + "/lock"));
}

TEST_F(StateFolderTest, PassesOverWhatIsNoBuild) {
  const absl::StatusOr<StateFolder> state = Take();
  ASSERT_THAT(state, IsOk());
  folder_.MakeDir("deep/state/builds/lost+found");
  folder_.MakeDir("deep/state/builds/.hidden");
  Make(*state, "a");
  EXPECT_THAT(*state->FindBuilds(), ElementsAre("a"));
}

// Discarding is one rename and then the removal of what was renamed.
TEST_F(StateFolderTest, FreesWhatACrashInDiscardBuildLeft) {
  const absl::StatusOr<StateFolder> state = Take();
  ASSERT_THAT(state, IsOk());
  folder_.WriteFile("deep/state/trash/a/journal", "half removed");
  folder_.WriteFile("deep/state/trash/a/tmp/file", "");
  Make(*state, "b");
  EXPECT_THAT(state->ClearLeftovers(), IsEmpty());
  EXPECT_THAT(*state->FindBuilds(), ElementsAre("b"));
  EXPECT_THAT(std::filesystem::directory_iterator(path_ + "/trash"),
              std::filesystem::directory_iterator());
  // And the same build can be discarded again.
  Make(*state, "a");
  EXPECT_THAT(state->DiscardBuild("a"), IsOk());
  EXPECT_FALSE(std::filesystem::exists(path_ + "/trash/a"));
}

TEST_F(StateFolderTest, WhatCannotBeRemovedIsTold) {
  const absl::StatusOr<StateFolder> state = Take();
  ASSERT_THAT(state, IsOk());
  std::filesystem::remove(path_ + "/trash");
  Make(*state, "b");
  EXPECT_THAT(state->ClearLeftovers(), ElementsAre(HasSubstr("/trash: ")));
  EXPECT_THAT(*state->FindBuilds(), ElementsAre("b"));
}

TEST_F(StateFolderTest, WhatIsNotPublishedIsNoBuild) {
  const absl::StatusOr<StateFolder> state = Take();
  ASSERT_THAT(state, IsOk());
  const absl::StatusOr<std::string> left = state->MakeBuild("a");
  ASSERT_THAT(left, IsOk());
  const absl::StatusOr<std::string> discarded = state->MakeBuild("b");
  ASSERT_THAT(discarded, IsOk());
  EXPECT_THAT(state->DiscardBuild("b"), IsOk());
  EXPECT_FALSE(std::filesystem::exists(*discarded));
  EXPECT_TRUE(std::filesystem::exists(*left));
  EXPECT_THAT(*state->FindBuilds(), IsEmpty());
  EXPECT_THAT(state->ClearLeftovers(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(*left));
}

TEST_F(StateFolderTest, ABuildThatCannotBeMadeLeavesNothing) {
  const absl::StatusOr<StateFolder> state = Take();
  ASSERT_THAT(state, IsOk());
  std::filesystem::remove_all(path_ + "/new");
  EXPECT_THAT(state->MakeBuild("a"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(state->PublishBuild("a"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(state->DiscardBuild("a"), IsOk());
}

}  // namespace
}  // namespace containerbuilder::service
