#include "base/utf8.h"

#include <string>

#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

using namespace std::string_literals;  // NOLINT

TEST(Utf8Test, LeavesValidTextAlone) {
  for (const std::string& text :
       {""s, "plain"s, "\0"s, "\xC2\x80"s, "é€😀"s, "\xED\x9F\xBF"s,
        "\xEE\x80\x80"s, "\xF4\x8F\xBF\xBF"s}) {
    EXPECT_EQ(ToUtf8(text), text);
  }
}

TEST(Utf8Test, ReplacesEachByteThatIsNoPartOfIt) {
  EXPECT_EQ(ToUtf8("a\x80z"), "a?z");
  EXPECT_EQ(ToUtf8("\xFF\xFE"), "??");
  EXPECT_EQ(ToUtf8("\xC0\xAF"), "??");            // overlong
  EXPECT_EQ(ToUtf8("\xE0\x80\xAF"), "???");       // overlong
  EXPECT_EQ(ToUtf8("\xED\xA0\x80"), "???");       // surrogate
  EXPECT_EQ(ToUtf8("\xF4\x90\x80\x80"), "????");  // over U+10FFFF
  EXPECT_EQ(ToUtf8("\xE2\x82"), "??");            // cut
  EXPECT_EQ(ToUtf8("\xE2\x82x"), "??x");
  EXPECT_EQ(ToUtf8("\xE2\xE2\x82\xAC"), "?\xE2\x82\xAC");
}

}  // namespace
}  // namespace containerbuilder::service
