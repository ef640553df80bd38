#include "build/nerdctl_args.h"

#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::BuildOptions Options(const std::string& text) {
  v1::BuildOptions options;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &options));
  return options;
}

// Nothing exists.
std::vector<std::string> ArgsOf(const std::string& text) {
  const PathRules rules = {"/w", [](const std::string&) { return false; }};
  const auto args = ConstructArgs(Options(text), rules, "options");
  EXPECT_THAT(args, IsOk());
  return args.value_or(std::vector<std::string>());
}

struct AbsolutePathCase {
  std::string path;
  std::string in_folder;  // os.path.abspath where /w/d is the working folder
  std::string in_root;    // and where / is
};

// As CPython 3.11 answers.
TEST(AbsolutePathTest, AnswersAsPython) {
  const AbsolutePathCase cases[] = {
      {"//a", "//a", "//a"},
      {"///a", "/a", "/a"},
      {"////a", "/a", "/a"},
      {"//", "//", "//"},
      {"///", "/", "/"},
      {"/", "/", "/"},
      {"//a/../..", "//", "//"},
      {"//..", "//", "//"},
      {"/..", "/", "/"},
      {"/../a", "/a", "/a"},
      {"a", "/w/d/a", "/a"},
      {"a/", "/w/d/a", "/a"},
      {"a//b/", "/w/d/a/b", "/a/b"},
      {"a/./b", "/w/d/a/b", "/a/b"},
      {"./a", "/w/d/a", "/a"},
      {"a/../b", "/w/d/b", "/b"},
      {"a/../../b", "/w/b", "/b"},
      {"a/../../../../b", "/b", "/b"},
      {".", "/w/d", "/"},
      {"./", "/w/d", "/"},
      {"..", "/w", "/"},
      {"../", "/w", "/"},
      {"../..", "/", "/"},
      {"../../..", "/", "/"},
      {"../../../x", "/x", "/x"},
      {"~", "/w/d/~", "/~"},
      {"~/x", "/w/d/~/x", "/~/x"},
      {"...", "/w/d/...", "/..."},
      {".a", "/w/d/.a", "/.a"},
      {"a..", "/w/d/a..", "/a.."},
      {"..a", "/w/d/..a", "/..a"},
      {"a/..b/c", "/w/d/a/..b/c", "/a/..b/c"},
      {"é/ü/..", "/w/d/é", "/é"},
      {"日本/語", "/w/d/日本/語", "/日本/語"},
      {" ", "/w/d/ ", "/ "},
      {"a\nb", "/w/d/a\nb", "/a\nb"},
      {"/a/b/../../..//c/", "/c", "/c"},
      {"//a//b", "//a/b", "//a/b"},
      {"/.//./a", "/a", "/a"},
  };
  for (const AbsolutePathCase& test : cases) {
    SCOPED_TRACE(test.path);
    EXPECT_EQ(AbsolutePath(test.path, "/w/d"), test.in_folder);
    EXPECT_EQ(AbsolutePath(test.path, "/"), test.in_root);
  }
}

class PathExistsTest : public testing::Test {
 protected:
  PathExistsTest() {
    folder_.WriteFile("file", "");
    folder_.WriteFile("é", "");
    folder_.WriteFile("~", "");
    folder_.WriteFile(" ", "");
    folder_.WriteFile("-x", "");
    folder_.MakeDir("sub");
    Link("file", "link");
    Link("nowhere", "dangling");
    Link("loop1", "loop2");
    Link("loop2", "loop1");
    Link("sub", "sublink");
  }

  void Link(const std::string& target, const std::string& name) {
    std::filesystem::create_symlink(target, folder_.Path(name));
  }

  bool Exists(const std::string& path) const {
    return PathExists(path, folder_.path());
  }

  const TempDir folder_;
};

// As CPython 3.11's os.path.exists answers in such a folder.
TEST_F(PathExistsTest, AnswersAsPython) {
  const std::pair<std::string, bool> cases[] = {
      {"", false},
      {"file", true},
      {"file/", false},
      {"file/.", false},
      {"file/..", false},
      {"sub", true},
      {"sub/", true},
      {"sub//", true},
      {"sub/.", true},
      {"sub/..", true},
      {"./file", true},
      {"sub/../file", true},
      {"link", true},
      {"link/", false},
      {"dangling", false},
      {"loop1", false},
      {"loop1/x", false},
      {"sublink", true},
      {"sublink/", true},
      {"sub/nowhere/..", false},
      {"nowhere/../file", false},
      {"é", true},
      {"e\u0301", false},
      {"~", true},
      {"~/", false},
      {" ", true},
      {"-x", true},
      {std::string("file\0", 5), false},
      {std::string("a\0b", 3), false},
      {std::string("\0", 1), false},
      {std::string(256, 'x'), false},
      {std::string(4096, '/') + "x", false},
      {".", true},
      {"..", true},
      {"/", true},
      {"//", true},
      {"///", true},
      {"FILE", false},
  };
  for (const auto& [path, exists] : cases) {
    SCOPED_TRACE(path.substr(0, 40));
    EXPECT_EQ(Exists(path), exists);
  }
}

TEST_F(PathExistsTest, TakesTheLongestRelativePathThatTheSystemTakes) {
  const std::string dots = [] {
    std::string text;
    for (int i = 0; i < 2045; ++i) text += "./";
    return text;
  }();
  EXPECT_TRUE(Exists(dots + "/file"));    // 4095 bytes
  EXPECT_FALSE(Exists(dots + "//file"));  // 4096
}

TEST_F(PathExistsTest, SaysNoWhereTheWorkingFolderIsGone) {
  EXPECT_FALSE(PathExists("file", folder_.Path("gone")));
  EXPECT_TRUE(PathExists(folder_.Path("file"), folder_.Path("gone")));
}

TEST(ConstructArgsTest, ContextIsADotWhereItIsEmpty) {
  EXPECT_THAT(ArgsOf(""), ElementsAre("."));
  EXPECT_THAT(ArgsOf("context_path: './/a/'"), ElementsAre(".//a/"));
}

TEST(ConstructArgsTest, ValueOfNoKindIsAbsent) {
  EXPECT_THAT(ArgsOf("build_arg {} output { flag: false } secret { values {} }"
                     "options { name: 'a' } options { name: 'b' value {} }"),
              ElementsAre("."));
}

TEST(ConstructArgsTest, EveryUnderscoreBecomesAHyphen) {
  EXPECT_THAT(ArgsOf("options { name: '_a__B_' value { flag: true } }"),
              ElementsAre("---a--B-", "."));
}

TEST(ConstructArgsTest, EmptyTextsAreWritten) {
  EXPECT_THAT(ArgsOf("label { text: '' } options { name: '' value { values {"
                     " values: '' } } }"),
              ElementsAre("--label", "", "--", "", "."));
}

TEST(ConstructArgsTest, NoPairs) {
  EXPECT_THAT(ArgsOf("build_arg { pairs {} } cache_from { pairs {} } cache_to {"
                     " pairs {} } label { pairs {} } output { pairs {} }"
                     "secret { pairs {} }"),
              ElementsAre("--cache-from", "", "--cache-to", "", "--output", "",
                          "--secret", "", "."));
}

TEST(ConstructArgsTest, PairsAreNotQuoted) {
  EXPECT_THAT(
      ArgsOf("cache_to { pairs { pairs { key: 'a,b' value: '\"=' }"
             "pairs {} } }"
             "label { pairs { pairs { key: 'a=b' value: 'c,d' } } }"),
      ElementsAre("--cache-to", "a,b=\"=,=", "--label", "a=b=c,d", "."));
}

TEST(ConstructArgsTest, RefusesPairsOutsideTheSix) {
  const PathRules rules = {"/w", [](const std::string&) { return false; }};
  for (const std::string pairs : {"{ pairs { key: 'a' } }", "{}"}) {
    const auto args = ConstructArgs(
        Options(absl::StrCat("options { name: 'a' } options { name: 'b' }"
                             "options { name: 'tag' value { pairs ",
                             pairs, " } }")),
        rules, "spec.options");
    EXPECT_THAT(args, HasReason("OPTION_INVALID"));
    EXPECT_THAT(args,
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("spec.options.options[2].value"),
                               HasSubstr("\"tag\""), HasSubstr("values"))));
  }
}

TEST(ConstructArgsTest, ResolvesTextsAndJoinedPairsAlone) {
  const PathRules rules = {"/w", [](const std::string&) { return true; }};
  const auto args = ConstructArgs(
      Options("context_path: 'c'"
              "build_arg { pairs { pairs { key: 'a' value: 'b' } } }"
              "cache_from { pairs { pairs { key: 'a' value: 'b' }"
              "                     pairs { key: '/../c' } } }"
              "label { text: 'x=y' }"
              "secret { values { values: 'v' } }"
              "options { name: 'file' value { text: '../a//b/' } }"
              "options { name: 'tag' value { values { values: 't' } } }"),
      rules, "options");
  ASSERT_THAT(args, IsOk());
  EXPECT_THAT(*args, ElementsAre("--build-arg", "a=b", "--cache-from",
                                 "/w/c=", "--label", "/w/x=y", "--secret", "v",
                                 "--file", "/a/b", "--tag", "t", "c"));
}

// What exists is asked of the file system, what is written is not.
TEST(ConstructArgsTest, DoesNotFollowLinksInWhatItWrites) {
  const TempDir folder;
  folder.MakeDir("w");
  folder.MakeDir("elsewhere/deep");
  folder.WriteFile("elsewhere/file", "");
  std::filesystem::create_symlink("../elsewhere/deep", folder.Path("w/link"));
  const std::string working_folder = folder.Path("w");
  const PathRules rules = {working_folder, [&](const std::string& path) {
                             return PathExists(path, working_folder);
                           }};
  const auto args = ConstructArgs(
      Options("options { name: 'a' value { text: 'link/../file' } }"
              "options { name: 'b' value { text: 'link' } }"),
      rules, "options");
  ASSERT_THAT(args, IsOk());
  EXPECT_THAT(*args, ElementsAre("--a", working_folder + "/file", "--b",
                                 working_folder + "/link", "."));
}

TEST(WriteFlagsTest, NamesFieldsAndLeavesOutWhatWritesNothing) {
  const PathRules rules = {"/w", [](const std::string&) { return false; }};
  const auto flags =
      WriteFlags(Options("cache_to { text: 'x' } output { flag: false }"
                         "options { name: 'a' value { flag: false } }"
                         "options { name: 'no_cache' value { flag: true } }"),
                 rules, "spec.options");
  ASSERT_THAT(flags, IsOk());
  ASSERT_EQ(flags->size(), 2u);
  EXPECT_EQ((*flags)[0].name, "cache-to");
  EXPECT_EQ((*flags)[0].field, "spec.options.cache_to");
  EXPECT_FALSE((*flags)[0].bare);
  EXPECT_THAT((*flags)[0].values, ElementsAre("x"));
  EXPECT_EQ((*flags)[1].name, "no-cache");
  EXPECT_EQ((*flags)[1].field, "spec.options.options[1].value");
  EXPECT_TRUE((*flags)[1].bare);
}

}  // namespace
}  // namespace containerbuilder::service
