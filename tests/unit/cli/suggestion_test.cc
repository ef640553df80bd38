#include "suggestion.h"

#include <gtest/gtest.h>

#include <string_view>

namespace containerbuilder::cli {
namespace {

constexpr std::string_view kKnown[] = {"build", "args", "health"};

TEST(SuggestionTest, TheNearestWithinReach) {
  EXPECT_EQ(Suggestion("buld", kKnown), "build");
  EXPECT_EQ(Suggestion("biuld", kKnown), "build");
  EXPECT_EQ(Suggestion("builds", kKnown), "build");
  EXPECT_EQ(Suggestion("heatlh", kKnown), "health");
  EXPECT_EQ(Suggestion("arg", kKnown), "args");
  EXPECT_EQ(Suggestion("args", kKnown), "args");
}

TEST(SuggestionTest, NoneWhereNothingComesNear) {
  EXPECT_EQ(Suggestion("watch", kKnown), "");
  EXPECT_EQ(Suggestion("", kKnown), "");
  EXPECT_EQ(Suggestion("x", {}), "");
}

}  // namespace
}  // namespace containerbuilder::cli
