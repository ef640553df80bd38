#include "containerbuilder/client/local_context.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "context_tree.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::client {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LocalContextTest : public testing::Test {
 protected:
  v1::Directory Folder(const LocalContext& context, const std::string& digest) {
    v1::Directory folder;
    EXPECT_TRUE(folder.ParseFromString(context.tree().blobs.at(digest).bytes));
    return folder;
  }

  // Every name with its kind, mode and what it is.
  void List(const LocalContext& context, const std::string& digest,
            const std::string& prefix, std::vector<std::string>& names) {
    const v1::Directory folder = Folder(context, digest);
    for (const auto& file : folder.files()) {
      names.push_back(absl::StrCat(prefix, file.name(), " ",
                                   file.blob().size_bytes(), " ",
                                   absl::Hex(file.mode())));
    }
    for (const auto& link : folder.symlinks()) {
      names.push_back(absl::StrCat(prefix, link.name(), " -> ", link.target()));
    }
    for (const auto& child : folder.directories()) {
      names.push_back(
          absl::StrCat(prefix, child.name(), "/ ", absl::Hex(child.mode())));
      List(context, child.blob().digest(),
           absl::StrCat(prefix, child.name(), "/"), names);
    }
  }

  std::vector<std::string> Names(const ContextOptions& options = {}) {
    const auto context = LocalContext::Read(folder_.path(), options);
    EXPECT_THAT(context, IsOk());
    if (!context.ok()) return {};
    std::vector<std::string> names;
    List(*context, context->digest(), "", names);
    return names;
  }

  absl::Status Error() { return LocalContext::Read(folder_.path()).status(); }

  const TempDir folder_;
};

TEST_F(LocalContextTest, HasAllThatIsThereAsItIs) {
  folder_.WriteFile("b", "12345", 0640);
  folder_.WriteFile("a/run", "", 0755);
  folder_.MakeDir("empty");
  ::chmod(folder_.Path("empty").c_str(), 0700);
  ::chmod(folder_.Path("a").c_str(), 0755);
  folder_.WriteFile("with space", "x");
  folder_.WriteFile("new\nline", "x");
  folder_.WriteFile("\xc3\xbc", "x");
  folder_.WriteFile("\xff", "x");
  std::filesystem::create_symlink("../b", folder_.Path("a/link"));
  std::filesystem::create_symlink("nowhere", folder_.Path("dangling"));
  EXPECT_THAT(
      Names(),
      ElementsAre("b 5 1a0", "new\nline 1 1a4", "with space 1 1a4",
                  "\xc3\xbc 1 1a4", "\xff 1 1a4", "dangling -> nowhere",
                  "a/ 1ed", "a/run 0 1ed", "a/link -> ../b", "empty/ 1c0"));
}

TEST_F(LocalContextTest, TheSameFolderHasTheSameDigest) {
  folder_.WriteFile("a/b", "x");
  const auto first = LocalContext::Read(folder_.path());
  const auto again = LocalContext::Read(folder_.path());
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(first->digest(), again->digest());
  EXPECT_EQ(first->files(), 1);
  EXPECT_EQ(first->bytes(), 1);
  folder_.WriteFile("a/b", "y");
  const auto changed = LocalContext::Read(folder_.path());
  ASSERT_THAT(changed, IsOk());
  EXPECT_NE(first->digest(), changed->digest());
}

TEST_F(LocalContextTest, LeavesOutWhatItsDockerignoreSays) {
  folder_.WriteFile(".dockerignore", "*\n!keep/this\n");
  folder_.WriteFile("keep/this", "x");
  folder_.WriteFile("keep/that", "x");
  folder_.WriteFile("other/file", "x");
  ::chmod(folder_.Path("keep").c_str(), 0755);
  EXPECT_THAT(Names(), ElementsAre("keep/ 1ed", "keep/this 1 1a4"));
  EXPECT_THAT(Names({.dockerignore = "keep\nother\n"}),
              ElementsAre(".dockerignore 13 1a4"));
  folder_.WriteFile(".dockerignore", "[");
  EXPECT_THAT(Error(), StatusIs(absl::StatusCode::kInvalidArgument,
                                HasSubstr("not a pattern of .dockerignore")));
}

TEST_F(LocalContextTest, RefusesWhatCannotTravelAndTellsTheWayOut) {
  const auto refused = [](const std::string& what) {
    return StatusIs(absl::StatusCode::kInvalidArgument,
                    AllOf(HasSubstr(what), HasSubstr(".dockerignore")));
  };
  for (const char* target : {"/etc/passwd", "..", "../x", "a/../../x"}) {
    std::filesystem::create_symlink(target, folder_.Path("link"));
    EXPECT_THAT(Error(), refused(absl::StrCat(
                             "\"link\" is a link out of the context, to \"",
                             target, "\"")));
    ::unlink(folder_.Path("link").c_str());
  }
  ::mkfifo(folder_.Path("pipe").c_str(), 0600);
  EXPECT_THAT(Error(), refused("\"pipe\" is a named pipe"));
  folder_.WriteFile(".dockerignore", "pipe");
  EXPECT_THAT(Error(), IsOk());
  std::string deep = "d";
  for (int i = 0; i < 130; ++i) deep += "/d";
  std::filesystem::create_directories(folder_.Path(deep));
  EXPECT_THAT(Error(), refused("is deeper than 128 folders"));
}

TEST_F(LocalContextTest, ASocketIsAnEmptyFile) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = folder_.Path("s");
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
            0);
  ::chmod(path.c_str(), 0644);
  EXPECT_THAT(Names(), ElementsAre("s 0 1a4"));
  ::close(fd);
}

TEST_F(LocalContextTest, AFolderThatIsNone) {
  EXPECT_THAT(
      LocalContext::Read(folder_.Path("nowhere")),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nowhere")));
}

}  // namespace
}  // namespace containerbuilder::client
