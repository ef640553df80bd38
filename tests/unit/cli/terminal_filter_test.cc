#include "terminal_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace containerbuilder::cli {
namespace {

using namespace std::string_view_literals;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Passed(std::string_view bytes) {
  return TerminalFilter().Pass(bytes);
}

std::string PassedByteByByte(std::string_view bytes) {
  TerminalFilter filter;
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    text += filter.Pass(bytes.substr(i, 1));
  }
  return text;
}

// What a terminal takes for orders, in full.
const std::vector<std::string_view>& Orders() {
  static const std::vector<std::string_view> orders = {
      "\x1b]52;c;cm0gLXJmIH4=\x07",    // to the clipboard
      "\x1b]52;c;cm0gLXJmIH4=\x1b\\",  // the same, ended by ST
      "\x1b]0;title\x07",              // names the window
      "\x1b]8;;http://evil\x1b\\",     // begins a link
      "\x1b]0;\xc3\x9cxyz\x07",        // has the byte of ST in a letter
      "\x1bP+q544e\x1b\\",             // DCS
      "\x1b_Gf=24;AAAA\x1b\\",         // APC
      "\x1b^private\x1b\\",            // PM
      "\x1bXstart\x1b\\",              // SOS
      "\x1b]0;left\x18",               // ended by CAN
      "\x1b]0;left\x1a",               // by SUB
      "\x1b[2J",                       // clears
      "\x1b[1;1H",                     // goes to the corner
      "\x1b[6n",                       // has the terminal type an answer
      "\x1b[?1049h",                   // another screen
      "\x1b[>4;2m",                    // how keys are sent: no SGR
      "\x1b[?4m",                      // no SGR either
      "\x1b[1 m",                      // nor that
      "\x1b[1\"q",                     // what may be erased
      "\033c",                         // resets
      "\x1b(0",                        // other letters
      "\x1b#8",                        // fills the screen
      "\x1b ~",                        // nothing that is known
      "\2332J",                        // CSI in 8 bits
      "\23331m",                       // SGR as well
      "\302\2332J",                    // CSI as UTF-8 has it
      "\2350;title\234",               // OSC
      "\302\2350;title\302\234",       // OSC as UTF-8 has it
      "\220q\234",                     // DCS
      "\230q\234",                     // SOS
      "\236q\234",                     // PM
      "\237q\234",                     // APC
      "\x84",                          // other C1
      "\xc2\x85",                      // as UTF-8 has it
      "\0"sv,
      "\x05",
      "\x07",
      "\x0b",
      "\x0c",
      "\x0e",
      "\x0f",
      "\x7f",
      "\xe2\x80\xae",  // U+202E
      "\xe2\x80\xaa",  // U+202A
      "\xe2\x81\xa6",  // U+2066
      "\xe2\x81\xa9",  // U+2069
  };
  return orders;
}

TEST(TerminalFilterTest, LetsTextAndColoursThrough) {
  for (const std::string_view text :
       {"#5 [1/2] RUN make\n"sv, "10%\r20%\b\b\tdone\r\n"sv,
        "gr\xc3\xbc\xc3\x9f \xe2\x9c\x93 \xf0\x9f\x90\xb3 \xe2\x80\x8f"sv,
        "\x1b[m\x1b[0m\x1b[1;31mred\x1b[38;2;1;2;3m\x1b[4:3mx\x1b[0m"sv}) {
    EXPECT_EQ(Passed(text), text);
    EXPECT_EQ(PassedByteByByte(text), text);
  }
}

TEST(TerminalFilterTest, LeavesOutWhatIsNeither) {
  for (const std::string_view order : Orders()) {
    SCOPED_TRACE(testing::PrintToString(order));
    const std::string text = "a" + std::string(order) + "z\xc3\xbc";
    EXPECT_EQ(Passed(text), "az\xc3\xbc");
    EXPECT_EQ(PassedByteByByte(text), "az\xc3\xbc");
    // One that is cut off and never goes on is left out as well.
    for (std::size_t size = 0; size < order.size(); ++size) {
      TerminalFilter filter;
      EXPECT_EQ(filter.Pass(order.substr(0, size)), "") << size;
      EXPECT_EQ(filter.Pass(order.substr(size)), "") << size;
    }
  }
}

TEST(TerminalFilterTest, ColoursEndWithTheText) {
  TerminalFilter filter;
  EXPECT_EQ(filter.End(), "");
  filter.Pass("plain\x1b[2J");
  EXPECT_EQ(filter.End(), "");
  filter.Pass("\x1b[31;8mhidden");
  EXPECT_EQ(filter.End(), "\x1b[0m");
  for (const std::string_view reset : {"\x1b[0m"sv, "\x1b[m"sv}) {
    filter.Pass("\x1b[8mhidden");
    filter.Pass(reset);
    EXPECT_EQ(filter.End(), "") << reset;
  }
}

TEST(TerminalFilterTest, HoldsBackNothingButWhatIsUnfinished) {
  TerminalFilter filter;
  EXPECT_EQ(filter.Pass("ab"), "ab");
  EXPECT_EQ(filter.Pass("c\xf0\x9f\x90"), "c");
  EXPECT_EQ(filter.Pass("\xb3"), "\xf0\x9f\x90\xb3");
  EXPECT_EQ(filter.Pass("d\x1b"), "d");
  EXPECT_EQ(filter.Pass("[3"), "");
  EXPECT_EQ(filter.Pass("1"), "");
  EXPECT_EQ(filter.Pass("me"), "\x1b[31me");
  EXPECT_EQ(filter.Pass("\xff"), "\xef\xbf\xbd");
}

TEST(TerminalFilterTest, ASequenceEndsWithItsLine) {
  EXPECT_EQ(Passed("a\x1b]0;never ended\nb"), "a\nb");
  EXPECT_EQ(Passed("a\x1bPnever ended\r\nb"), "a\nb");
  EXPECT_EQ(Passed("a\x1b[31\nb"), "a\nb");
  EXPECT_EQ(Passed("a\x1b\nb"), "a\nb");
  EXPECT_EQ(Passed("a\x1b(\nb"), "a\nb");
}

TEST(TerminalFilterTest, ASequenceEndsWhereAnotherBegins) {
  EXPECT_EQ(Passed("\x1b[3\x1b[31mred"), "\x1b[31mred");
  EXPECT_EQ(Passed("\x1b\x1b[31mred"), "\x1b[31mred");
  EXPECT_EQ(Passed("\x1b]0;t\x1b[31mred"), "\x1b[31mred");
  EXPECT_EQ(Passed("\x1b[31\xc3\xbcm"), "\xc3\xbcm");
}

TEST(TerminalFilterTest, WhatIsNoUtf8IsReplaced) {
  EXPECT_EQ(Passed("a\xe9z"), "a\xef\xbf\xbdz");
  EXPECT_EQ(Passed("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");
  // Nothing is made by leaving out what was between.
  EXPECT_EQ(Passed("\xc2\x1b[2J\x9bz"), "\xef\xbf\xbd");
}

TEST(TerminalFilterTest, ColoursWithoutEndAreNotKept) {
  const std::string endless = "\x1b[" + std::string(1'000'000, '1') + "m";
  EXPECT_EQ(Passed("a" + endless + "z"), "az");
}

TEST(TerminalFilterTest, WhateverComesItIsTheSameHoweverItIsCut) {
  std::minstd_rand random(1);
  std::vector<std::string_view> parts = Orders();
  for (const std::string_view part :
       {"\x1b"sv, "["sv, "]"sv, "31m"sv, "m"sv, "\xc3"sv, "\x9b"sv, "\xe2"sv,
        "\x80"sv, "\xae"sv, "\n"sv, "text"sv, "\x1b[1;32m"sv}) {
    // As often as all the others.
    parts.insert(parts.end(), 4, part);
  }
  for (int i = 0; i < 3000; ++i) {
    std::string bytes;
    for (int j = 0; j < 12; ++j) bytes += parts[random() % parts.size()];
    SCOPED_TRACE(testing::PrintToString(bytes));
    const std::string text = Passed(bytes);
    EXPECT_EQ(PassedByteByByte(bytes), text);
    const std::size_t cut = random() % bytes.size();
    TerminalFilter filter;
    std::string in_two = filter.Pass(bytes.substr(0, cut));
    in_two += filter.Pass(bytes.substr(cut));
    EXPECT_EQ(in_two, text);
    // Nothing in it is left out.
    EXPECT_EQ(Passed(text), text);
    for (std::size_t at = text.find('\x1b'); at != std::string::npos;
         at = text.find('\x1b', at + 1)) {
      const std::size_t end = text.find_first_not_of("0123456789;:", at + 2);
      ASSERT_EQ(text[at + 1], '[');
      ASSERT_NE(end, std::string::npos);
      ASSERT_EQ(text[end], 'm');
    }
    EXPECT_THAT(text, Not(HasSubstr("\x07")));
  }
}

}  // namespace
}  // namespace containerbuilder::cli
