#include "format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace containerbuilder::cli {
namespace {

using ::testing::HasSubstr;

TEST(FormatTest, ShortDurations) {
  EXPECT_EQ(ShortDuration(absl::Seconds(-5)), "0s");
  EXPECT_EQ(ShortDuration(absl::Milliseconds(999)), "0s");
  EXPECT_EQ(ShortDuration(absl::Seconds(59)), "59s");
  EXPECT_EQ(ShortDuration(absl::Seconds(60)), "1m0s");
  EXPECT_EQ(ShortDuration(absl::Seconds(3599)), "59m59s");
  EXPECT_EQ(ShortDuration(absl::Minutes(125)), "2h5m");
  EXPECT_EQ(ShortDuration(absl::Hours(24 * 3 + 4)), "3d4h");
}

TEST(FormatTest, AgeAndDurationOfARunningBuild) {
  v1::Build build;
  build.set_name("builds/1");
  build.set_state(v1::Build::STATE_RUNNING);
  build.mutable_create_time()->set_seconds(100);
  build.mutable_start_time()->set_seconds(160);
  EXPECT_EQ(BuildTable({&build, 1}, absl::FromUnixSeconds(200)),
            "NAME      STATE    AGE    DURATION  TAG  CONTEXT\n"
            "builds/1  RUNNING  1m40s  40s       -    .\n");
}

TEST(FormatTest, ColoursMoveNoColumn) {
  v1::Build build;
  build.set_name("builds/1");
  build.set_state(v1::Build::STATE_FAILED);
  EXPECT_EQ(BuildTable({&build, 1}, absl::UnixEpoch(), /*colors=*/true),
            "NAME      STATE   AGE  DURATION  TAG  CONTEXT\n"
            "builds/1  \x1b[31mFAILED\x1b[0m  -    -         -    .\n");
  EXPECT_THAT(BuildDetails(build, absl::UnixEpoch(), /*colors=*/true),
              HasSubstr("\nState:       \x1b[31mFAILED\x1b[0m\n"));
}

TEST(FormatTest, SeveralTags) {
  v1::Build build;
  v1::BuildOptions& options = *build.mutable_spec()->mutable_options();
  for (const char* name : {"tag", "target", "tag"}) {
    v1::Option& option = *options.add_options();
    option.set_name(name);
    option.mutable_value()->set_text(std::string("of ") + name);
  }
  options.mutable_options(2)->mutable_value()->mutable_values()->add_values(
      "v\n");
  EXPECT_THAT(BuildTable({&build, 1}, absl::UnixEpoch()),
              HasSubstr("of tag,v\\n  ."));
}

TEST(FormatTest, UnknownState) {
  v1::Build build;
  build.set_state(static_cast<v1::Build::State>(77));
  EXPECT_EQ(StateName(build), "77");
  EXPECT_EQ(JsonLine(build), "{\"state\":77}\n");
}

TEST(FormatTest, SignalInPlaceOfExitCode) {
  v1::Build build;
  build.mutable_start_time()->set_seconds(1);
  EXPECT_THAT(BuildDetails(build, absl::UnixEpoch()),
              Not(HasSubstr("Exit code")));
  build.mutable_finish_time()->set_seconds(2);
  EXPECT_THAT(BuildDetails(build, absl::UnixEpoch()),
              HasSubstr("Exit code:   0\n"));
  build.set_term_signal(9);
  EXPECT_THAT(BuildDetails(build, absl::UnixEpoch()),
              HasSubstr("Signal:      9\n"));
}

}  // namespace
}  // namespace containerbuilder::cli
