#include "daemon/field.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace containerbuilder::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(FieldTest, Bool) {
  bool value = false;
  EXPECT_TRUE(ParseText("true", &value).ok());
  EXPECT_TRUE(value);
  EXPECT_TRUE(ParseText("0", &value).ok());
  EXPECT_FALSE(value);
  EXPECT_THAT(ParseText("maybe", &value).message(),
              HasSubstr("must be true or false"));
}

TEST(FieldTest, NumbersAreWithinTheirTypes) {
  int small = 5;
  EXPECT_TRUE(ParseText("0", &small).ok());
  EXPECT_EQ(small, 0);
  EXPECT_TRUE(ParseText("2147483647", &small).ok());
  for (const char* text : {"", "-1", "2147483648", "1.5", "0x10", "1 2"}) {
    EXPECT_THAT(ParseText(text, &small).message(),
                HasSubstr("from 0 to 2147483647"))
        << text;
  }
  EXPECT_EQ(small, std::numeric_limits<int>::max());
  std::int64_t large = 0;
  EXPECT_TRUE(ParseText("2147483648", &large).ok());
  EXPECT_EQ(large, 2147483648);
}

TEST(FieldTest, Bytes) {
  std::int64_t count = 0;
  EXPECT_TRUE(ParseText("4096", Bytes{&count}).ok());
  EXPECT_EQ(count, 4096);
  EXPECT_EQ(ToText(Bytes{&count}), "4KiB");
  EXPECT_TRUE(ParseText("512MiB", Bytes{&count}).ok());
  EXPECT_EQ(count, 512 << 20);
  EXPECT_EQ(ToToml(Bytes{&count}), "\"512MiB\"");
  EXPECT_TRUE(ParseText("8388607TiB", Bytes{&count}).ok());
  for (const char* text :
       {"8388608TiB", "9223372036854775808", "-1", "MiB", "1MB", "1.5GiB"}) {
    EXPECT_THAT(ParseText(text, Bytes{&count}).message(),
                HasSubstr("such as 512MiB"))
        << text;
  }
  EXPECT_EQ(count, std::int64_t{8388607} << 40);
  count = 0;
  EXPECT_EQ(ToText(Bytes{&count}), "0");
}

TEST(FieldTest, DurationsAreFinite) {
  absl::Duration value;
  EXPECT_TRUE(ParseText("1h30m", &value).ok());
  EXPECT_EQ(value, absl::Minutes(90));
  EXPECT_EQ(ToToml(&value), "\"1h30m\"");
  EXPECT_TRUE(ParseText("0", &value).ok());
  for (const char* text : {"", "30", "-1s", "inf", "1 minute"}) {
    EXPECT_THAT(ParseText(text, &value).message(), HasSubstr("such as 500ms"))
        << text;
  }
}

TEST(FieldTest, Lists) {
  std::vector<std::string> value = {"old"};
  EXPECT_TRUE(ParseText("a, b c,,d", &value).ok());
  EXPECT_THAT(value, ElementsAre("a", "b c", "d"));
  EXPECT_EQ(ToText(&value), "a,b c,d");
  EXPECT_EQ(ToToml(&value), R"(["a", "b c", "d"])");
  EXPECT_TRUE(ParseText("", &value).ok());
  EXPECT_THAT(value, IsEmpty());
  EXPECT_EQ(ToToml(&value), "[]");
}

TEST(FieldTest, TextIsQuotedForToml) {
  std::string value = "a\"b\\c\nd\x7f";
  EXPECT_EQ(ToToml(&value), R"("a\"b\\c\u000ad\u007f")");
}

}  // namespace
}  // namespace containerbuilder::daemon
