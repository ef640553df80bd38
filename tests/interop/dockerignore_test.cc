// Which files of a context the client library leaves out, beside those that
// BuildKit does, as dockerignore_oracle tells (tests/tools).

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "ignore_matcher.h"
#include "support/temp_dir.h"

namespace containerbuilder::client {
namespace {

using ::containerbuilder::test_support::TempDir;

constexpr int kCases = 100'000;

// A path that ends with `/` is a folder; each comes before what is in it.
using Paths = std::vector<std::string>;

struct Case {
  std::string dockerignore;
  Paths paths;
};

std::string QuotedList(const Paths& texts) {
  return absl::StrCat("[",
                      absl::StrJoin(texts, ",",
                                    [](std::string* out, const auto& text) {
                                      absl::StrAppend(out, "\"",
                                                      absl::Base64Escape(text),
                                                      "\"");
                                    }),
                      "]");
}

// What is sent, by the steps of LocalContext; nothing where it is an error.
class Filter {
 public:
  Filter(IgnoreMatcher& matcher, const Paths& paths)
      : matcher_(matcher), paths_(paths) {}

  std::optional<Paths> Run() {
    return Walk("", {}) ? std::make_optional(sent_) : std::nullopt;
  }

 private:
  // From `next_`, what is in that folder.
  bool Walk(const std::string& folder,
            const IgnoreMatcher::FolderMatches& parent) {
    while (next_ < paths_.size() && paths_[next_].starts_with(folder)) {
      const std::string& path = paths_[next_++];
      const bool is_folder = path.ends_with('/');
      const auto match = matcher_.Matches(
          is_folder ? path.substr(0, path.size() - 1) : path, parent);
      if (!match.ok()) return false;
      if (!is_folder) {
        if (!match->is_ignored) sent_.push_back(path);
        continue;
      }
      if (match->is_ignored &&
          !matcher_.MayTakeBackBelow(path.substr(0, path.size() - 1))) {
        while (next_ < paths_.size() && paths_[next_].starts_with(path)) {
          ++next_;
        }
        continue;
      }
      const std::size_t place = sent_.size();
      sent_.push_back(path);
      if (!Walk(path, match->of_folder)) return false;
      if (match->is_ignored && sent_.size() == place + 1) sent_.pop_back();
    }
    return true;
  }

  IgnoreMatcher& matcher_;
  const Paths& paths_;
  std::size_t next_ = 0;
  Paths sent_;
};

std::string AnswerTo(const Case& item) {
  auto matcher = IgnoreMatcher::Parse(item.dockerignore);
  const auto sent =
      matcher.ok() ? Filter(*matcher, item.paths).Run() : std::nullopt;
  if (!sent) return R"({"error":true,"paths":null})";
  return absl::StrCat(R"({"error":false,"paths":)",
                      sent->empty() ? "null" : QuotedList(*sent), "}");
}

class DockerignoreTest : public testing::Test {
 protected:
  std::size_t Pick(std::size_t count) { return random_() % count; }
  std::string OneOf(const std::vector<std::string>& from) {
    return from[Pick(from.size())];
  }

  // Names that patterns of AnyPattern meet often.
  std::string AnyName() {
    static const std::vector<std::string> names = {
        "a",        "b",    "ab",       "abc",          "a.go", "b.go", ".git",
        "a b",      "[a]",  "a*",       "!a",           "#a",   "\\a",  "a\nb",
        "\xc3\xa4", "\xc3", "\xff\xfe", "\xef\xbf\xbd", "a$",   "a+",   "(a)",
        "a{2}",     "^a",   "a-c",      "..a",          "1"};
    static const std::vector<std::string> common = {"a", "b", "ab", "a.go"};
    return OneOf(Pick(4) == 0 ? names : common);
  }

  void AddPaths(std::string folder, int depth, Paths& paths) {
    std::vector<std::string> names;
    for (std::size_t i = Pick(4); i > 0; --i) names.push_back(AnyName());
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    for (const std::string& name : names) {
      if (depth < 3 && Pick(2) == 0) {
        paths.push_back(absl::StrCat(folder, name, "/"));
        AddPaths(paths.back(), depth + 1, paths);
      } else {
        paths.push_back(absl::StrCat(folder, name));
      }
    }
  }

  std::string AnyPattern() {
    static const std::vector<std::string> pieces = {"a",
                                                    "b",
                                                    "ab",
                                                    "c",
                                                    ".go",
                                                    "*",
                                                    "*",
                                                    "**",
                                                    "**/",
                                                    "/**",
                                                    "/",
                                                    "/",
                                                    "?",
                                                    "[ab]",
                                                    "[^a]",
                                                    "[a-c]",
                                                    "[",
                                                    "]",
                                                    "[]a]",
                                                    "[^]",
                                                    "-",
                                                    "\\",
                                                    "\\*",
                                                    "\\a",
                                                    "\\d",
                                                    "\\pL",
                                                    "\\Q",
                                                    "\\E",
                                                    "\\C",
                                                    "\\x41",
                                                    "\\b",
                                                    "^",
                                                    "$",
                                                    ".",
                                                    "+",
                                                    "(",
                                                    ")",
                                                    "|",
                                                    "{2}",
                                                    "!",
                                                    "#",
                                                    "..",
                                                    "../",
                                                    "./",
                                                    "//",
                                                    " ",
                                                    "\t",
                                                    "\xc2\xa0",
                                                    "\xe2\x80\x83",
                                                    "\xc2\x85",
                                                    "\xc3\xa4",
                                                    "\xc3",
                                                    "\xff",
                                                    "\xef\xbf\xbd",
                                                    "\xef\xbb\xbf",
                                                    "[[:alpha:]]",
                                                    "[\\w]",
                                                    "[!a]",
                                                    "[b-a]",
                                                    "\v",
                                                    "\r",
                                                    "[\xc3\xa4]",
                                                    "[\xff]",
                                                    "[*]"};
    std::string pattern = Pick(4) == 0 ? "!" : "";
    if (Pick(3) != 0) {
      pattern += AnyName();
      for (std::size_t i = Pick(3); i > 0; --i) pattern += "/" + AnyName();
      if (Pick(3) == 0) pattern += OneOf({"/*", "/**", "/", "*", "/*/**"});
      return pattern;
    }
    for (std::size_t i = 1 + Pick(5); i > 0; --i) pattern += OneOf(pieces);
    return pattern;
  }

  std::string AnyDockerignore() {
    std::string text = Pick(20) == 0 ? "\xef\xbb\xbf" : "";
    for (std::size_t i = 1 + Pick(4); i > 0; --i) {
      text += AnyPattern() + OneOf({"\n", "\n", "\n", "\r\n", "\n\n", ""});
    }
    return text;
  }

  void Compare(const std::vector<Case>& cases) {
    {
      std::ofstream questions(folder_.Path("questions"));
      for (const Case& item : cases) {
        questions << R"({"dockerignore":")"
                  << absl::Base64Escape(item.dockerignore) << R"(","paths":)"
                  << QuotedList(item.paths) << "}\n";
      }
    }
    const std::string command = absl::StrCat(
        "dockerignore_oracle <", folder_.Path("questions"), " >",
        folder_.Path("answers"), " 2>", folder_.Path("complaints"));
    ASSERT_EQ(std::system(command.c_str()), 0)
        << "dockerignore_oracle is not on PATH: service/toolchain/install "
           "--test builds it";
    std::ifstream answers(folder_.Path("answers"));
    std::string answer;
    int differ = 0;
    for (const Case& item : cases) {
      ASSERT_TRUE(std::getline(answers, answer));
      EXPECT_EQ(AnswerTo(item), answer)
          << "dockerignore: " << absl::CEscape(item.dockerignore)
          << "\npaths: " << absl::CEscape(absl::StrJoin(item.paths, " | "));
      if (HasFailure() && ++differ == 10) return;
    }
  }

  const TempDir folder_;
  // The same cases every time.
  std::mt19937_64 random_{1};
};

TEST_F(DockerignoreTest, LeavesOutWhatBuildkitLeavesOutOfRandomContexts) {
  std::vector<Case> cases;
  int filtered = 0;
  for (int i = 0; i < kCases; ++i) {
    Case item = {AnyDockerignore(), {}};
    while (item.paths.empty()) AddPaths("", 0, item.paths);
    const std::string answer = AnswerTo(item);
    if (answer.find("true") == std::string::npos &&
        answer.find(QuotedList(item.paths)) == std::string::npos) {
      ++filtered;
    }
    cases.push_back(std::move(item));
  }
  // Most patterns are good for something.
  EXPECT_GT(filtered, kCases / 10);
  Compare(cases);
}

// Patterns that documentation has, and those that are read in odd ways.
TEST_F(DockerignoreTest, LeavesOutWhatBuildkitLeavesOutByATableOfPatterns) {
  const Paths paths = {
      ".dockerignore", ".git/",        ".git/config",    "Dockerfile",
      "README.md",     "a/",           "a/b/",           "a/b/c/",
      "a/b/c/d.go",    "a/b/keep.txt", "a/empty/",       "a/temp1",
      "docs/",         "docs/x.md",    "lib/",           "lib/a.o",
      "lib/deep/",     "lib/deep/a.o", "tempa",          "tempb/",
      "tempb/x",       "with space/",  "with space/ a ", "\xc3\xbc.txt"};
  const std::vector<std::string> texts = {"",
                                          "# nothing\n",
                                          "*",
                                          "**",
                                          "*\n!README.md",
                                          "**\n!a/b",
                                          "*/temp*",
                                          "*/*/temp*",
                                          "temp?",
                                          "*.md\n!README*.md",
                                          "*.md\nREADME.md\n!README*.md",
                                          "**/*.o",
                                          "**/*.o\n!lib/deep",
                                          "lib/**/a.o",
                                          "lib/**\n!lib/deep/a.o",
                                          "a\n!a/b/c",
                                          "a/\n!a/b/c/d.go",
                                          "a/*\n!a/b",
                                          "a/**\n!a/b/**",
                                          "/a/b",
                                          "./a/b",
                                          "a/../lib",
                                          "../a",
                                          "a//b",
                                          "a/b/",
                                          " a ",
                                          "\ta\t",
                                          "a\r\n",
                                          "!a",
                                          "!",
                                          "! a\na",
                                          "a\n! a/b",
                                          "#a",
                                          " #a",
                                          "\\#a",
                                          "\xef\xbb\xbf"
                                          "a",
                                          "[",
                                          "[]",
                                          "a[",
                                          "[a-",
                                          "[b-a]",
                                          "\\",
                                          "a\\",
                                          "**/",
                                          "/**",
                                          "/",
                                          ".",
                                          "..",
                                          "./",
                                          "**/b",
                                          "a/**/d.go",
                                          "**a",
                                          "a**",
                                          "**.go",
                                          "a/b/c/**.go",
                                          "with space",
                                          "with\\ space",
                                          "\xc3\xbc*",
                                          "\xc3?",
                                          "[\xc3\xbc].txt",
                                          "*\n!*/",
                                          "*\n!**/*.go",
                                          "*\n!lib/deep/a.o",
                                          ".*",
                                          ".git\n!.git/config",
                                          "Dockerfile\n.dockerignore",
                                          "**/c/../b",
                                          "a\\/b",
                                          "a/b/c/d\\.go",
                                          std::string(65535, 'a'),
                                          std::string(65536, 'a'),
                                          std::string("a\0b", 3)};
  std::vector<Case> cases;
  for (const std::string& text : texts) cases.push_back({text, paths});
  Compare(cases);
}

}  // namespace
}  // namespace containerbuilder::client
