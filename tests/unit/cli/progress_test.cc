#include "progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "build_flags.h"

namespace containerbuilder::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The flags that nerdctl gets; the error's message where there is one.
std::vector<std::string> Settled(const std::vector<std::string>& words,
                                 const std::string& variable = "") {
  auto line = SplitCommandLine(words, kNerdctlFlags);
  const Surroundings surroundings = {
      "/", [&](const std::string& name) -> std::optional<std::string> {
        if (name != "BUILDKIT_PROGRESS") return std::nullopt;
        return variable;
      }};
  const absl::Status status = SettleProgress(surroundings, *line);
  if (!status.ok()) return {std::string(status.message())};
  std::vector<std::string> flags;
  for (const GivenFlag& given : line->flags) {
    flags.push_back(std::string(given.flag.name) + "=" + given.value);
  }
  return flags;
}

TEST(ProgressTest, WhatNerdctlKnowsStays) {
  EXPECT_THAT(Settled({}), IsEmpty());
  for (const char* mode : {"auto", "plain", "rawjson"}) {
    EXPECT_THAT(Settled({"--progress", mode, "-q"}),
                ElementsAre(std::string("progress=") + mode, "quiet=true"));
  }
}

TEST(ProgressTest, WhatItDoesNotKnowIsSaidOtherwise) {
  EXPECT_THAT(Settled({"--progress=quiet"}), ElementsAre("quiet=true"));
  EXPECT_THAT(Settled({"--progress=tty"}), ElementsAre("progress=plain"));
  EXPECT_THAT(Settled({"--progress=plain", "--progress=quiet"}),
              ElementsAre("quiet=true"));
}

TEST(ProgressTest, TheVariableSaysWhatAutoIs) {
  EXPECT_THAT(Settled({}, "rawjson"), ElementsAre("progress=rawjson"));
  EXPECT_THAT(Settled({"--progress=auto"}, "plain"),
              ElementsAre("progress=plain"));
  EXPECT_THAT(Settled({}, "quiet"), ElementsAre("quiet=true"));
  EXPECT_THAT(Settled({}, "auto"), IsEmpty());
  EXPECT_THAT(Settled({"--progress=plain"}, "rawjson"),
              ElementsAre("progress=plain"));
}

TEST(ProgressTest, AnythingElseIsAnError) {
  EXPECT_THAT(Settled({"--progress=fancy"}),
              ElementsAre(HasSubstr("--progress is one of auto, plain, quiet, "
                                    "rawjson, tty, not \"fancy\"")));
  EXPECT_THAT(Settled({}, "fancy"),
              ElementsAre(HasSubstr("BUILDKIT_PROGRESS is one of")));
}

}  // namespace
}  // namespace containerbuilder::cli
