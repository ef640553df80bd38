#include "man_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_replace.h"
#include "commands.h"
#include "global_flags.h"

namespace containerbuilder::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Typed(std::string_view text) {
  return absl::StrReplaceAll(std::string(text), {{"-", "\\-"}});
}

TEST(ManPageTest, HasEveryCommandAndFlag) {
  const std::string page = ManPage();
  for (const CommandGroup& group : CommandGroups()) {
    for (const Command* command : group.commands) {
      const std::string section = "\n.SS " + Typed(command->name) + "\n";
      if (group.title.empty()) {
        EXPECT_THAT(page, Not(HasSubstr(section)));
        continue;
      }
      EXPECT_THAT(page, HasSubstr(section));
      for (const Flag& flag : FlagsOf(*command)) {
        EXPECT_THAT(page,
                    HasSubstr("\\fB" + Typed("--" + std::string(flag.name))));
      }
    }
  }
  for (const Flag& flag : GlobalFlags()) {
    EXPECT_THAT(page, HasSubstr("\\fB" + Typed("--" + std::string(flag.name))));
    EXPECT_THAT(page, HasSubstr(std::string(flag.variable)));
  }
}

TEST(ManPageTest, NoTextIsARequestOfRoff) {
  const std::string page = ManPage();
  // A paragraph of `build` begins a line so.
  EXPECT_THAT(page, HasSubstr("\n\\&.dockerignore leaves out"));
  EXPECT_THAT(page, Not(HasSubstr("`")));
}

}  // namespace
}  // namespace containerbuilder::cli
