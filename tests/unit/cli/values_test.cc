#include "values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "support/status_matchers.h"

namespace containerbuilder::cli {
namespace {

using test_support::IsOk;
using test_support::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

constexpr Flag kFlag = OwnFlag(Flag::Kind::kList, "x", '\0', "");

CommandLine Given(const std::vector<std::string>& values) {
  CommandLine line;
  for (const std::string& value : values) line.flags.push_back({kFlag, value});
  return line;
}

CommandLine Arguments(const std::vector<std::string>& arguments) {
  return {{}, arguments};
}

TEST(ValuesTest, Names) {
  EXPECT_THAT(NamesOf(Arguments({"1", "builds/2"})).value(),
              ElementsAre("builds/1", "builds/2"));
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {}, {""}, {"builds/"}, {"1", ""}}) {
    EXPECT_THAT(NamesOf(Arguments(arguments)), StatusIs(kInvalid));
  }
  EXPECT_EQ(NameOf(Arguments({"1"})).value(), "builds/1");
  EXPECT_THAT(NameOf(Arguments({"1", "2"})), StatusIs(kInvalid));
}

TEST(ValuesTest, Integers) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(IntegerOf(Given({}), "x", 0, 9, 5).value(), 5);
  EXPECT_EQ(IntegerOf(Given({"3", "9"}), "x", 0, 9, 5).value(), 9);
  EXPECT_EQ(IntegerOf(Given({"-3"}), "x", -3, 9, 5).value(), -3);
  EXPECT_EQ(IntegerOf(Given({"9223372036854775807"}), "x", 0, kMost, 0).value(),
            kMost);
  for (const char* value :
       {"10", "-1", "", "a", "1.0", "0x1", "9223372036854775808"}) {
    EXPECT_THAT(IntegerOf(Given({value}), "x", 0, 9, 5),
                StatusIs(kInvalid, HasSubstr("--x")));
  }
}

TEST(ValuesTest, Durations) {
  EXPECT_EQ(DurationOf(Given({}), "x").value(), std::nullopt);
  EXPECT_EQ(DurationOf(Given({"1h30m"}), "x").value(), absl::Minutes(90));
  EXPECT_EQ(DurationOf(Given({"1.5s"}), "x").value(), absl::Milliseconds(1500));
  for (const char* value : {"", "0", "0s", "-1s", "inf", "5", "1d", "soon"}) {
    EXPECT_THAT(DurationOf(Given({value}), "x"), StatusIs(kInvalid));
  }
}

TEST(ValuesTest, Times) {
  const absl::Time now = absl::FromUnixSeconds(1'000'000'000);
  const auto time_of = [&](const char* value) {
    return TimeOf(Given({value}), "x", now).value().value();
  };
  EXPECT_EQ(TimeOf(Given({}), "x", now).value(), std::nullopt);
  EXPECT_EQ(time_of("2h"), now - absl::Hours(2));
  EXPECT_EQ(time_of("2001-09-09T01:46:40Z"), now);
  EXPECT_EQ(time_of("2001-09-09T03:46:40.25+02:00"),
            now + absl::Milliseconds(250));
  const absl::TimeZone local = absl::LocalTimeZone();
  EXPECT_EQ(time_of("2026-11-24"),
            absl::FromCivil(absl::CivilDay(2026, 11, 24), local));
  EXPECT_EQ(time_of("2026-11-24T18:30:00"),
            absl::FromCivil(absl::CivilSecond(2026, 11, 24, 18, 30, 0), local));
  for (const char* value :
       {"", "now", "2026", "2026-13-01", "infinite-past", "infinite-future"}) {
    EXPECT_THAT(TimeOf(Given({value}), "x", now), StatusIs(kInvalid)) << value;
  }
}

TEST(ValuesTest, Pairs) {
  google::protobuf::Map<std::string, std::string> pairs;
  EXPECT_THAT(AddPairs(Given({"a=b", "c=d=e", "f=", "a=z"}), "x", pairs),
              IsOk());
  EXPECT_THAT(pairs, UnorderedElementsAre(Pair("a", "z"), Pair("c", "d=e"),
                                          Pair("f", "")));
  for (const char* value : {"", "a", "=", "=a"}) {
    EXPECT_THAT(AddPairs(Given({value}), "x", pairs), StatusIs(kInvalid));
  }
}

TEST(ValuesTest, States) {
  EXPECT_THAT(
      StatesOf(Given({"queued", "TIMED_OUT", "Timed-Out", "state_failed"}), "x")
          .value(),
      ElementsAre(v1::Build::STATE_QUEUED, v1::Build::STATE_TIMED_OUT,
                  v1::Build::STATE_TIMED_OUT, v1::Build::STATE_FAILED));
  EXPECT_THAT(StatesOf(Given({"canceled"}), "x"),
              StatusIs(kInvalid, HasSubstr("did you mean cancelled?")));
  EXPECT_THAT(StatesOf(Given({"unspecified"}), "x"), StatusIs(kInvalid));
}

TEST(ValuesTest, Formats) {
  const auto is_json = [](const std::string& value) {
    return IsJson(
        {{{OwnFlag(Flag::Kind::kText, "format", '\0', ""), value}}, {}},
        "table");
  };
  EXPECT_FALSE(IsJson({}, "table").value());
  EXPECT_FALSE(is_json("table").value());
  EXPECT_TRUE(is_json("json").value());
  EXPECT_THAT(is_json("raw"), StatusIs(kInvalid));
}

}  // namespace
}  // namespace containerbuilder::cli
