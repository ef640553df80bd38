#include "secrets/secret_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

namespace fs = std::filesystem;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::testing::HasSubstr;

constexpr char kMemory[] = "/dev/shm";

std::string Read(const std::string& path) {
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

class SecretFolderTest : public testing::Test {
 protected:
  ~SecretFolderTest() override {
    const auto folder = Take();
    if (folder.ok())
      fs::remove(fs::path(folder->build_path("x")).parent_path());
  }

  absl::StatusOr<SecretFolder> Take() {
    return SecretFolder::Take({kMemory}, state_.path());
  }

  const test_support::TempDir state_;
};

TEST_F(SecretFolderTest, FilesForTheirOwnerAlone) {
  const auto folder = Take();
  ASSERT_THAT(folder, IsOk());
  ASSERT_THAT(folder->Write("b1", {{"secret-0", "hunter2\n"},
                                   {"docker/config.json", "{}"}}),
              IsOk());
  const std::string path = folder->build_path("b1");
  EXPECT_EQ(Read(path + "/secret-0"), "hunter2\n");
  EXPECT_EQ(Read(path + "/docker/config.json"), "{}");
  EXPECT_EQ(ModeOf(path), 0700U);
  EXPECT_EQ(ModeOf(path + "/secret-0"), 0600U);
  EXPECT_EQ(ModeOf(path + "/docker"), 0700U);
  EXPECT_EQ(ModeOf(path + "/docker/config.json"), 0600U);
  folder->Remove("b1");
  EXPECT_FALSE(fs::exists(path));
  folder->Remove("b1");
}

TEST_F(SecretFolderTest, WhatACrashLeftIsGoneWhenItIsTakenAgain) {
  std::string path;
  {
    const auto folder = Take();
    ASSERT_THAT(folder, IsOk());
    ASSERT_THAT(folder->Write("b1", {{"secret-0", "x"}}), IsOk());
    path = folder->build_path("b1");
  }
  ASSERT_TRUE(fs::exists(path));
  EXPECT_THAT(Take(), IsOk());
  EXPECT_FALSE(fs::exists(path));
}

// The operator names another, or a variable of the environment is gone.
TEST_F(SecretFolderTest, WhatACrashLeftIsGoneWhenAnotherIsTaken) {
  const std::string other =
      absl::StrCat(kMemory, "/containerbuilder-secrets-", getpid());
  fs::create_directory(other);
  std::string left;
  {
    const auto folder = SecretFolder::Take({other, kMemory}, state_.path());
    ASSERT_THAT(folder, IsOk());
    ASSERT_THAT(folder->Write("b1", {{"secret-0", "x"}}), IsOk());
    left = folder->path();
    EXPECT_THAT(left, testing::StartsWith(other));
  }
  EXPECT_THAT(Take(), IsOk());
  EXPECT_FALSE(fs::exists(left));
  fs::remove_all(other);
}

// A version that did not note where it was may have left it.
TEST_F(SecretFolderTest, WhatACrashLeftIsGoneWhereverItMayHaveBeen) {
  const std::string other =
      absl::StrCat(kMemory, "/containerbuilder-secrets-", getpid());
  fs::create_directory(other);
  const auto folder = Take();
  ASSERT_THAT(folder, IsOk());
  ASSERT_THAT(folder->Write("b1", {{"secret-0", "x"}}), IsOk());
  fs::remove(state_.Path("secret_folder"));
  {
    const auto next = SecretFolder::Take({other, kMemory}, state_.path());
    ASSERT_THAT(next, IsOk());
    EXPECT_THAT(next->path(), testing::StartsWith(other));
  }
  EXPECT_FALSE(fs::exists(folder->path()));
  fs::remove_all(other);
}

// It is another service's, which runs.
TEST_F(SecretFolderTest, ANoteThatWasCopiedTakesNothingAway) {
  const auto folder = Take();
  ASSERT_THAT(folder, IsOk());
  ASSERT_THAT(folder->Write("b1", {{"secret-0", "x"}}), IsOk());
  const test_support::TempDir copied_state;
  fs::copy_file(state_.Path("secret_folder"),
                copied_state.Path("secret_folder"));
  const auto other = SecretFolder::Take({kMemory}, copied_state.path());
  ASSERT_THAT(other, IsOk());
  EXPECT_TRUE(fs::exists(folder->build_path("b1") + "/secret-0"));
  fs::remove(other->path());
}

TEST_F(SecretFolderTest, EachServiceHasItsOwn) {
  const test_support::TempDir other_state;
  const auto folder = Take();
  const auto other = SecretFolder::Take({kMemory}, other_state.path());
  ASSERT_THAT(folder, IsOk());
  ASSERT_THAT(other, IsOk());
  EXPECT_NE(folder->build_path("b1"), other->build_path("b1"));
  fs::remove(fs::path(other->build_path("x")).parent_path());
}

TEST_F(SecretFolderTest, NotOnADisk) {
  EXPECT_THAT(SecretFolder::Take({"/proc", "/nowhere"}, state_.path()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("/nowhere is no folder in memory")));
  const auto second = SecretFolder::Take({"/proc", kMemory}, state_.path());
  ASSERT_THAT(second, IsOk());
  EXPECT_THAT(second->build_path("b1"), testing::StartsWith(kMemory));
}

// Somebody else may have made it where everybody may write.
TEST_F(SecretFolderTest, NotInAFolderThatOthersPlanted) {
  const auto folder = Take();
  ASSERT_THAT(folder, IsOk());
  const std::string path =
      fs::path(folder->build_path("b1")).parent_path().string();

  ASSERT_EQ(chmod(path.c_str(), 0755), 0);
  EXPECT_THAT(Take(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("mode 0700; remove it")));
  fs::remove(path);

  const test_support::TempDir elsewhere;
  elsewhere.WriteFile("precious", "x");
  fs::create_symlink(elsewhere.path(), path);
  EXPECT_THAT(Take(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(path)));
  EXPECT_TRUE(fs::exists(elsewhere.Path("precious")));
  fs::remove(path);

  if (geteuid() == 0) {
    ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
    ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
    EXPECT_THAT(Take(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                 HasSubstr("not a folder of this user's")));
    fs::remove(path);
  }
}

TEST_F(SecretFolderTest, AllOrNone) {
  const auto folder = Take();
  ASSERT_THAT(folder, IsOk());
  EXPECT_THAT(folder->Write("b1", {{"a", "x"}, {std::string(300, 'n'), "y"}}),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_FALSE(fs::exists(folder->build_path("b1")));
}

}  // namespace
}  // namespace containerbuilder::service
