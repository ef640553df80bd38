#include "build/staging.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

namespace fs = std::filesystem;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

class StagingTest : public testing::Test {
 protected:
  StagingTest() { folder_.MakeDir("root"); }

  TreeCopier::Limits Limits() const {
    TreeCopier::Limits limits;
    limits.max_bytes = 1 << 20;
    limits.max_files = 1000;
    struct stat info;
    if (stat(folder_.Path("closed").c_str(), &info) == 0) {
      limits.closed = {{0, 0}, {info.st_dev, info.st_ino}};
    }
    return limits;
  }

  StagedInput Input(StagedInput::Kind kind, const std::string& path) const {
    StagedInput input;
    input.kind = kind;
    input.field = "spec.options.context_path";
    input.place = {folder_.Path("root"), path};
    input.name = "in/copy";
    return input;
  }

  absl::Status Stage(const StagedInput& input) const {
    return StageInputs({{input}, {}}, folder_.Path("staging"), *blobs_,
                       Limits());
  }
  absl::Status StageContext(const std::string& path = "ctx") const {
    return Stage(Input(StagedInput::Kind::kFolder, path));
  }
  std::string Copy(const std::string& name) const {
    return folder_.Path("staging/in/copy" + name);
  }

  absl::Status Deliver(StagedOutput::Kind kind, const std::string& path) const {
    StagedOutput output;
    output.kind = kind;
    output.field = "spec.options.output";
    output.place = {folder_.Path("root"), path};
    output.name = "out/0/output";
    return DeliverOutputs({{}, {output}}, folder_.Path("staging"), Limits());
  }

  const TempDir folder_;
  // Nothing is in it.
  const std::unique_ptr<BlobStore> blobs_ =
      *BlobStore::Open({.folder = folder_.MakeDir("blobs"),
                        .limits = {},
                        .now = absl::Now,
                        .lacking_bytes = [] { return 0; }});
};

TEST_F(StagingTest, CopiesWhatIsThere) {
  folder_.WriteFile("root/ctx/a/b/file", "text", 0640);
  folder_.WriteFile("root/ctx/empty", "");
  folder_.WriteFile("root/ctx/program", "x", 06755);
  folder_.MakeDir("root/ctx/none");
  fs::create_symlink("../../../outside", folder_.Path("root/ctx/link"));
  fs::create_symlink("/etc", folder_.Path("root/ctx/etc"));
  const timespec old[] = {{1, 0}, {1000, 500}};
  utimensat(AT_FDCWD, folder_.Path("root/ctx/empty").c_str(), old, 0);
  ASSERT_THAT(StageContext(), IsOk());
  EXPECT_EQ(ReadFile(Copy("/a/b/file")), "text");
  EXPECT_EQ(ModeOf(Copy("/a/b/file")), 0640U);
  // No setuid.
  EXPECT_EQ(ModeOf(Copy("/program")), 0755U);
  EXPECT_TRUE(fs::is_directory(Copy("/none")));
  EXPECT_EQ(fs::read_symlink(Copy("/link")), "../../../outside");
  EXPECT_EQ(fs::read_symlink(Copy("/etc")), "/etc");
  struct stat info;
  ASSERT_EQ(stat(Copy("/empty").c_str(), &info), 0);
  EXPECT_EQ(info.st_mtim.tv_sec, 1000);
  EXPECT_EQ(info.st_mtim.tv_nsec, 500);
}

TEST_F(StagingTest, FollowsNoLinkOutOfTheRoot) {
  folder_.WriteFile("outside/secret", "secret");
  fs::create_symlink("../outside", folder_.Path("root/ctx"));
  EXPECT_THAT(StageContext(), HasReason("PATH_NOT_ALLOWED"));
  fs::remove(folder_.Path("root/ctx"));
  fs::create_symlink(folder_.Path("outside"), folder_.Path("root/ctx"));
  EXPECT_THAT(StageContext(), HasReason("PATH_NOT_ALLOWED"));
  EXPECT_THAT(StageContext("../outside"), HasReason("PATH_NOT_ALLOWED"));
  EXPECT_THAT(Stage(Input(StagedInput::Kind::kFile, "ctx/secret")),
              HasReason("PATH_NOT_ALLOWED"));
  EXPECT_FALSE(fs::exists(Copy("/secret")));
}

// Places have none in them when they are looked at; one that came since may
// lead to what is closed beneath the root.
TEST_F(StagingTest, FollowsNoLinkInsideTheRoot) {
  folder_.WriteFile("root/real/file", "text");
  fs::create_symlink("real", folder_.Path("root/inside"));
  fs::create_symlink("real/file", folder_.Path("root/link"));
  EXPECT_THAT(StageContext("inside"), HasReason("PATH_NOT_ALLOWED"));
  for (const char* path : {"inside/file", "link"}) {
    EXPECT_THAT(Stage(Input(StagedInput::Kind::kFile, path)),
                HasReason("PATH_NOT_ALLOWED"));
    EXPECT_FALSE(fs::exists(Copy("")));
  }
  folder_.WriteFile("root/Dockerfile", "FROM a");
  fs::create_symlink("real/file", folder_.Path("root/Dockerfile.dockerignore"));
  EXPECT_THAT(Stage(Input(StagedInput::Kind::kDockerfile, "Dockerfile")),
              HasReason("PATH_NOT_ALLOWED"));
}

TEST_F(StagingTest, CopiesADockerfileWithItsIgnoreFile) {
  folder_.WriteFile("root/ctx/Dockerfile", "FROM a");
  folder_.WriteFile("root/ctx/other", "");
  ASSERT_THAT(Stage(Input(StagedInput::Kind::kDockerfile, "ctx/Dockerfile")),
              IsOk());
  EXPECT_EQ(ReadFile(Copy("")), "FROM a");
  fs::remove_all(folder_.Path("staging"));
  folder_.WriteFile("root/ctx/Dockerfile.dockerignore", "x");
  ASSERT_THAT(Stage(Input(StagedInput::Kind::kDockerfile, "ctx/Dockerfile")),
              IsOk());
  EXPECT_EQ(ReadFile(Copy(".dockerignore")), "x");
  // Nothing else of its folder.
  EXPECT_FALSE(fs::exists(folder_.Path("staging/in/other")));
}

TEST_F(StagingTest, RefusesWhatIsNoFile) {
  folder_.MakeDir("root/ctx");
  ASSERT_EQ(mkfifo(folder_.Path("root/ctx/fifo").c_str(), 0600), 0);
  const absl::Status refused = StageContext();
  EXPECT_THAT(refused, HasReason("PATH_NOT_ALLOWED"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("fifo"));
  fs::remove_all(folder_.Path("staging"));
  // Does not wait for a writer.
  EXPECT_THAT(Stage(Input(StagedInput::Kind::kFile, "ctx/fifo")),
              HasReason("PATH_NOT_ALLOWED"));
  EXPECT_THAT(Stage(Input(StagedInput::Kind::kFile, "ctx")),
              HasReason("PATH_NOT_ALLOWED"));
}

TEST_F(StagingTest, RefusesTheServicesOwnFolder) {
  folder_.MakeDir("root/ctx/a");
  fs::create_directory_symlink("root/ctx/a", folder_.Path("closed"));
  const absl::Status refused = StageContext();
  EXPECT_THAT(refused, HasReason("PATH_NOT_ALLOWED"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("own folder"));
}

TEST_F(StagingTest, IsBounded) {
  folder_.WriteFile("root/ctx/a", std::string(1 << 19, 'a'));
  folder_.WriteFile("root/ctx/b", std::string(1 << 19, 'b'));
  EXPECT_THAT(StageContext(), IsOk());
  fs::remove_all(folder_.Path("staging"));
  folder_.WriteFile("root/ctx/c", "c");
  EXPECT_THAT(StageContext(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(StageContext(), HasReason("INTERNAL"));  // it is there

  // A hole is as large as it says.
  fs::remove_all(folder_.Path("staging"));
  fs::remove_all(folder_.Path("root/ctx"));
  folder_.WriteFile("root/ctx/hole", "");
  fs::resize_file(folder_.Path("root/ctx/hole"), std::uintmax_t{1} << 40);
  EXPECT_THAT(StageContext(), HasReason("TOO_LARGE"));

  fs::remove_all(folder_.Path("staging"));
  fs::remove_all(folder_.Path("root/ctx"));
  for (int i = 0; i < 1001; ++i) {
    folder_.WriteFile(absl::StrCat("root/ctx/", i), "");
  }
  EXPECT_THAT(StageContext(), HasReason("TOO_LARGE"));

  fs::remove_all(folder_.Path("staging"));
  fs::remove_all(folder_.Path("root/ctx"));
  std::string deep = "root/ctx";
  for (int i = 0; i < 130; ++i) deep += "/d";
  folder_.MakeDir(deep);
  EXPECT_THAT(StageContext(), HasReason("TOO_LARGE"));

  StagedInput secret = Input(StagedInput::Kind::kFile, "secret");
  secret.max_bytes = 10;
  folder_.WriteFile("root/secret", "0123456789a");
  fs::remove_all(folder_.Path("staging"));
  EXPECT_THAT(Stage(secret), HasReason("TOO_LARGE"));
}

TEST_F(StagingTest, StopsWhereTheDiskHasNoRoom) {
  folder_.WriteFile("root/ctx/a", std::string(3 << 20, 'a'));
  TreeCopier::Limits limits = Limits();
  limits.max_bytes = 1 << 30;
  limits.has_room = [] { return false; };
  EXPECT_THAT(StageInputs({{Input(StagedInput::Kind::kFolder, "ctx")}, {}},
                          folder_.Path("staging"), *blobs_, limits),
              HasReason("NO_SPACE"));
}

TEST_F(StagingTest, GivesUpWhereItIsTold) {
  folder_.WriteFile("root/ctx/a", "");
  TreeCopier::Limits limits = Limits();
  limits.cancelled = [] { return true; };
  EXPECT_THAT(StageInputs({{Input(StagedInput::Kind::kFolder, "ctx")}, {}},
                          folder_.Path("staging"), *blobs_, limits),
              HasReason("DRAINING"));
}

// S23. What is copied is looked at all the time while somebody exchanges it
// for a link to what is outside.
TEST_F(StagingTest, NeverLeavesTheRootWhileNamesAreExchanged) {
  folder_.WriteFile("outside/file", "secret");
  folder_.WriteFile("outside/sub/file", "secret");
  folder_.WriteFile("root/ctx/file", "public");
  folder_.WriteFile("root/ctx/sub/file", "public");
  fs::create_symlink(folder_.Path("outside"), folder_.Path("root/evil"));
  fs::create_symlink(folder_.Path("outside/sub"),
                     folder_.Path("root/ctx/evil"));
  std::atomic<bool> done = false;
  std::atomic<long> exchanges = 0;
  const auto exchange = [&](int folder, const char* a, const char* b) {
    while (!done) {
      if (syscall(SYS_renameat2, folder, a, folder, b, RENAME_EXCHANGE) == 0) {
        ++exchanges;
      }
    }
  };
  // By descriptor: a path through `ctx` would move what is outside in.
  const UniqueFd root(
      open(folder_.Path("root").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd context(
      openat(root.get(), "ctx", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::thread outer(exchange, root.get(), "ctx", "evil");
  std::thread inner(exchange, context.get(), "sub", "evil");
  int copied = 0;
  int refused = 0;
  const absl::Time end = absl::Now() + absl::Seconds(60);
  while ((exchanges < 100'000 || copied == 0 || refused == 0) &&
         absl::Now() < end) {
    const bool is_ok = StageContext().ok();
    ++(is_ok ? copied : refused);
    std::error_code error;
    fs::recursive_directory_iterator entry(folder_.Path("staging"), error);
    for (; !error && entry != fs::recursive_directory_iterator();
         entry.increment(error)) {
      if (entry->symlink_status().type() == fs::file_type::regular) {
        EXPECT_EQ(ReadFile(entry->path()), "public");
      }
    }
    fs::remove_all(folder_.Path("staging"));
  }
  done = true;
  outer.join();
  inner.join();
  EXPECT_GE(exchanges, 100'000);
  EXPECT_GT(copied, 0);
  EXPECT_GT(refused, 0);
}

TEST_F(StagingTest, DeliversFiles) {
  folder_.WriteFile("staging/out/0/output", "new", 0644);
  folder_.WriteFile("root/there", "old");
  EXPECT_THAT(Deliver(StagedOutput::Kind::kFile, "made/on/the/way"), IsOk());
  EXPECT_EQ(ReadFile(folder_.Path("root/made/on/the/way")), "new");
  EXPECT_THAT(Deliver(StagedOutput::Kind::kFile, "there"), IsOk());
  EXPECT_EQ(ReadFile(folder_.Path("root/there")), "new");
  folder_.MakeDir("root/folder/x");
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFile, "folder").ok());
  // Nothing unfinished stays.
  for (const auto& entry :
       fs::recursive_directory_iterator(folder_.Path("root"))) {
    EXPECT_NE(entry.path().filename().string()[0], '.') << entry.path();
  }
}

TEST_F(StagingTest, DeliversFolders) {
  folder_.WriteFile("staging/out/0/output/a/b", "new");
  fs::create_symlink("/etc/passwd", folder_.Path("staging/out/0/output/link"));
  folder_.WriteFile("root/dest/a/b", "old");
  folder_.WriteFile("root/dest/a/kept", "old");
  fs::permissions(folder_.Path("root/dest"), fs::perms(0750));
  ASSERT_THAT(Deliver(StagedOutput::Kind::kFolder, "dest"), IsOk());
  EXPECT_EQ(ReadFile(folder_.Path("root/dest/a/b")), "new");
  EXPECT_EQ(ReadFile(folder_.Path("root/dest/a/kept")), "old");
  EXPECT_EQ(fs::read_symlink(folder_.Path("root/dest/link")), "/etc/passwd");
  EXPECT_EQ(ModeOf(folder_.Path("root/dest")), 0750U);
  EXPECT_THAT(Deliver(StagedOutput::Kind::kFolder, "."), IsOk());
  EXPECT_EQ(ReadFile(folder_.Path("root/a/b")), "new");
}

TEST_F(StagingTest, DeliversThroughNoLink) {
  folder_.WriteFile("outside/victim", "old");
  folder_.WriteFile("staging/out/0/output", "new");
  // A link where the file is to be is replaced.
  fs::create_symlink(folder_.Path("outside/victim"), folder_.Path("root/file"));
  EXPECT_THAT(Deliver(StagedOutput::Kind::kFile, "file"), IsOk());
  EXPECT_EQ(ReadFile(folder_.Path("outside/victim")), "old");
  EXPECT_EQ(ReadFile(folder_.Path("root/file")), "new");
  // One on the way, or in place of a folder, leads nowhere.
  fs::create_symlink(folder_.Path("outside"), folder_.Path("root/way"));
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFile, "way/victim").ok());
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFile, "../outside/victim").ok());
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFile, "way/made/new").ok());
  fs::remove_all(folder_.Path("staging"));
  folder_.WriteFile("staging/out/0/output/way/victim", "new");
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFolder, ".").ok());
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFolder, "way").ok());
  EXPECT_EQ(ReadFile(folder_.Path("outside/victim")), "old");
  EXPECT_FALSE(fs::exists(folder_.Path("outside/made")));
}

// A state folder beneath a root: neither the link that one build delivers
// leads another's output there, nor a folder of its name.
TEST_F(StagingTest, DeliversNothingIntoTheServicesOwnFolder) {
  folder_.WriteFile("root/state/records.db", "old");
  fs::create_directory_symlink("root/state", folder_.Path("closed"));
  const std::string output = folder_.Path("staging/out/0/output");
  folder_.MakeDir("staging/out/0/output");
  fs::create_symlink("state", output + "/d");
  EXPECT_THAT(Deliver(StagedOutput::Kind::kFolder, "."), IsOk());
  ASSERT_EQ(fs::read_symlink(folder_.Path("root/d")), "state");

  fs::remove(output + "/d");
  folder_.WriteFile("staging/out/0/output/records.db", "new");
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFolder, "d").ok());
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFolder, "d/builds").ok());
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFolder, "state").ok());
  folder_.WriteFile("staging/out/0/output/state/records.db", "new");
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFolder, ".").ok());
  fs::remove_all(output);
  folder_.WriteFile("staging/out/0/output", "new");
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFile, "d/records.db").ok());
  EXPECT_FALSE(Deliver(StagedOutput::Kind::kFile, "d/builds/x").ok());
  EXPECT_EQ(ReadFile(folder_.Path("root/state/records.db")), "old");
  EXPECT_FALSE(fs::exists(folder_.Path("root/state/builds")));
}

TEST_F(StagingTest, DeliversNoDevicesAndNoSetuid) {
  folder_.WriteFile("staging/out/0/output/su", "x", 04755);
  ASSERT_THAT(Deliver(StagedOutput::Kind::kFolder, "dest"), IsOk());
  EXPECT_EQ(ModeOf(folder_.Path("root/dest/su")), 0755U);
  ASSERT_EQ(mkfifo(folder_.Path("staging/out/0/output/fifo").c_str(), 0600), 0);
  EXPECT_THAT(Deliver(StagedOutput::Kind::kFolder, "dest"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("fifo")));
}

TEST_F(StagingTest, KnowsWholeArchives) {
  StagingPlan plan;
  plan.outputs.resize(1);
  plan.outputs[0].name = "out/0/output";
  const auto is_whole = [&] {
    return HasWholeArchive(plan, folder_.Path("staging"));
  };
  folder_.WriteFile("staging/out/0/output",
                    std::string(512, 'h') + std::string(1024, '\0'));
  EXPECT_FALSE(is_whole());  // it is none
  plan.outputs[0].is_archive = true;
  EXPECT_TRUE(is_whole());
  folder_.WriteFile("staging/out/0/output", std::string(1536, 'h'));
  EXPECT_FALSE(is_whole());
  folder_.WriteFile("staging/out/0/output", "");
  EXPECT_FALSE(is_whole());
  fs::remove(folder_.Path("staging/out/0/output"));
  EXPECT_FALSE(is_whole());
}

}  // namespace
}  // namespace containerbuilder::service
