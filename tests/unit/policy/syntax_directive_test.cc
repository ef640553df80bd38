#include "build/syntax_directive.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;

TEST(SyntaxDirectiveTest, FindsEveryForm) {
  for (const std::string& text : std::vector<std::string>{
           "# syntax=evil", "#syntax=evil", "#\t syntax \t=\tevil \t",
           "# syntax = evil", "# SYNTAX=evil", "# Syntax=evil\r\nFROM a",
           "# syntax=evil --flag value", "# escape=`\n# syntax=evil",
           "# check=skip=all\n# escape=`\n# syntax=evil", "// syntax=evil",
           "//syntax=evil", "\xef\xbb\xbf# syntax=evil",
           "#!/usr/bin/env x\n# syntax=evil",
           "#!/usr/bin/env x\n// syntax=evil",
           "\xef\xbb\xbf#!/x\n# syntax=evil", "#\xc2\xa0syntax=evil",
           "#\xe2\x80\x83syntax=evil",
           "# syntax=docker/dockerfile\n# syntax=evil",
           "# escape= \n# syntax=evil", "# escape=\t\n# syntax=evil",
           "# escape=\f\n# syntax=evil", "# escape=  \n# syntax=evil",
           "# escape = \n# syntax=evil", "# escape=\r\r\n# syntax=evil",
           "# escape=\xc2\xa0\n# syntax=evil", "# check= \r\n# syntax=evil",
           "# syntax= \n# syntax=evil", "// escape= \n// syntax=evil",
           // As releases up to 0.10 read it.
           "# unknown=1\n# syntax=evil", "# a=b\n# c= \n# syntax=evil",
           "#!" + std::string(1 << 20, 'x') + "\n# syntax=evil"}) {
    EXPECT_THAT(FindSyntaxDirectives(text).frontends, Contains("evil"))
        << text.substr(0, 100);
    EXPECT_FALSE(FindSyntaxDirectives(text).is_json);
  }
}

TEST(SyntaxDirectiveTest, FindsNoneElsewhere) {
  for (const std::string& text : std::vector<std::string>{
           "", "#", "# ", "FROM a", "\n# syntax=evil", " # syntax=evil",
           "FROM a\n# syntax=evil", "# a comment\n# syntax=evil",
           "# unknown\n# syntax=evil", "# a-b=1\n# syntax=evil",
           "# escape=\n# syntax=evil", "# escape=\r\n# syntax=evil", "# syntax",
           "# syntax=", "# 1syntax=evil", "# syn tax=evil", "## syntax=evil",
           "/ syntax=evil", "# escape=`\n\n# syntax=evil"}) {
    EXPECT_THAT(FindSyntaxDirectives(text).frontends, IsEmpty()) << text;
  }
}

TEST(SyntaxDirectiveTest, TakesTheValueUpToABlank) {
  EXPECT_THAT(FindSyntaxDirectives("# syntax=a/b:1 c=d").frontends,
              Contains("a/b:1"));
  EXPECT_THAT(FindSyntaxDirectives("# syntax==x").frontends, Contains("=x"));
}

TEST(SyntaxDirectiveTest, KnowsWhatMayBeJson) {
  for (const std::string& text : std::vector<std::string>{
           "{\"syntax\":\"evil\"}", " \t\r\n{", "\xef\xbb\xbf{",
           "#!/x\n{\"syntax\":\"evil\"}"}) {
    EXPECT_TRUE(FindSyntaxDirectives(text).is_json) << text;
  }
  EXPECT_FALSE(FindSyntaxDirectives("FROM a\n{").is_json);
}

}  // namespace
}  // namespace containerbuilder::service
