#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "build/toolchain.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using test_support::TempDir;

// The working folder is the test's own meanwhile.
class FindProgramTest : public testing::Test {
 protected:
  FindProgramTest() : former_(std::filesystem::current_path()) {
    std::filesystem::current_path(folder_.path());
    for (const char* tool :
         {"tool", "a/tool", "b/tool", "sp ace/tool", "only/other"}) {
      folder_.WriteFile(tool, "#!/bin/sh\n", 0755);
    }
    folder_.WriteFile("noexec/tool", "#!/bin/sh\n", 0644);
    folder_.WriteFile("a/plain", "#!/bin/sh\n", 0644);
    folder_.WriteFile("unreadable/tool", "#!/bin/sh\n", 0111);
    folder_.WriteFile("others/tool", "#!/bin/sh\n", 0001);
    folder_.MakeDir("folder/tool");
    folder_.MakeDir("a/sub");
    std::filesystem::create_symlink("../a/tool",
                                    folder_.MakeDir("link") + "/tool");
    std::filesystem::create_symlink("nowhere",
                                    folder_.MakeDir("dead") + "/tool");
  }
  ~FindProgramTest() override { std::filesystem::current_path(former_); }

  TempDir folder_;

 private:
  const std::filesystem::path former_;
};

// What shutil.which of CPython 3.11.7 answers in this folder, as root and as
// nobody alike; D is the folder.
TEST_F(FindProgramTest, FindsWhatShutilWhichFinds) {
  struct Case {
    std::string name;
    std::string path;
    std::optional<std::string> expected;
  };
  const std::vector<Case> cases = {
      {"tool", "a:b", "a/tool"},
      {"tool", "b:a", "b/tool"},
      {"tool", "a:a:b", "a/tool"},
      {"tool", "missing:b", "b/tool"},
      {"tool", "noexec:b", "b/tool"},
      {"tool", "noexec", std::nullopt},
      {"tool", "folder:b", "b/tool"},
      {"tool", "link", "link/tool"},
      {"tool", "dead:b", "b/tool"},
      {"tool", "tool:b", "b/tool"},
      {"tool", "", std::nullopt},
      {"tool", ":", "tool"},
      {"tool", ":a", "tool"},
      {"tool", "a:", "a/tool"},
      {"tool", "noexec::b", "tool"},
      {"tool", "D/a", "D/a/tool"},
      {"tool", "a/", "a/tool"},
      {"tool", "a//", "a//tool"},
      {"tool", "./a", "./a/tool"},
      {"tool", "a/../b", "a/../b/tool"},
      {"tool", "sp ace", "sp ace/tool"},
      {"tool", "unreadable", "unreadable/tool"},
      {"tool", "/", std::nullopt},
      {"other", "a:only", "only/other"},
      {"nope", "a:b", std::nullopt},
      {"", "a:b", std::nullopt},
      {".", "a", std::nullopt},
      {"..", "a", std::nullopt},
      {"a/tool", "b", "a/tool"},
      {"./tool", "b", "./tool"},
      {"./a/tool", "", "./a/tool"},
      {"D/a/tool", "", "D/a/tool"},
      {"a/plain", "b", std::nullopt},
      {"a/sub", "b", std::nullopt},
      {"a/nope", "a", std::nullopt},
  };
  const auto in_folder = [&](const std::string& path) {
    return absl::StrReplaceAll(path, {{"D", folder_.path()}});
  };
  for (const Case& test : cases) {
    const std::optional<std::string> expected =
        test.expected ? std::optional(in_folder(*test.expected)) : std::nullopt;
    EXPECT_EQ(FindProgram(in_folder(test.name), in_folder(test.path)), expected)
        << test.name << " on " << test.path;
  }
}

// access() lets root execute what anybody may; shutil.which differs alike.
TEST_F(FindProgramTest, AsksForTheRightsOfTheUser) {
  EXPECT_EQ(FindProgram("tool", "others:b"),
            getuid() == 0 ? "others/tool" : "b/tool");
}

TEST_F(FindProgramTest, TakesNothingButRegularFiles) {
  EXPECT_EQ(FindProgram("null", "/dev"), std::nullopt);
  EXPECT_EQ(FindProgram(std::string(5000, 'x'), "a"), std::nullopt);
}

}  // namespace
}  // namespace containerbuilder::service
