#include "secrets/patterns.h"

#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "secrets/redactor.h"

namespace containerbuilder::service {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string Redact(absl::string_view secret, absl::string_view output) {
  Redactor redactor(std::make_shared<PatternSet>(RevealingTexts(secret)));
  std::string shown = redactor.Feed(output);
  return shown + redactor.Finish();
}

TEST(PatternsTest, TheValueWithoutItsFinalNewline) {
  EXPECT_EQ(Redact("hunter2", "hunter2\n"), "***\n");
  EXPECT_EQ(Redact("hunter2\n", "hunter2 "), "*** ");
  EXPECT_EQ(Redact("hunter2\r\n", "hunter2 "), "*** ");
}

TEST(PatternsTest, EachOfItsLines) {
  const std::string key = "-----BEGIN KEY-----\r\nMIIEvQIBADAN\r\nshort\r\n";
  EXPECT_EQ(Redact(key, "MIIEvQIBADAN and short"), "*** and short");
  EXPECT_EQ(Redact(key, key), "***\r\n");
}

TEST(PatternsTest, ItsBase64) {
  EXPECT_EQ(Redact("hunter2", "aHVudGVyMg== x"), "*** x");
  EXPECT_EQ(Redact("hunter2\n", "aHVudGVyMgo= x"), "*** x");
  EXPECT_EQ(Redact("hunter2>>~~~~", "aHVudGVyMj4-fn5-fg x"), "*** x");
}

// A log in base64, as BuildKit's rawjson progress has it.
TEST(PatternsTest, ItsBase64WithinAText) {
  const std::string secret = "correct horse battery staple";
  for (const absl::string_view before : {"", "x", "xy", "xyz"}) {
    for (const absl::string_view after : {"", "1", "12", "123"}) {
      const std::string encoded =
          absl::Base64Escape(absl::StrCat(before, secret, after));
      const std::string shown = Redact(secret, encoded);
      EXPECT_TRUE(absl::StrContains(shown, "***")) << shown;
      // What shares bits with its neighbours stays.
      EXPECT_LE(shown.size(), 3U + 8 + 8) << shown;
    }
  }
}

TEST(PatternsTest, NothingShort) {
  EXPECT_THAT(RevealingTexts(""), IsEmpty());
  EXPECT_THAT(RevealingTexts("\n"), IsEmpty());
  EXPECT_TRUE(IsTooShortToRedact("12345\n"));
  EXPECT_FALSE(IsTooShortToRedact("123456"));
  EXPECT_THAT(RevealingTexts("12345\n1234567"), Not(Contains("12345")));
  EXPECT_THAT(RevealingTexts("12345"), Each(SizeIs(testing::Ge(6))));
}

}  // namespace
}  // namespace containerbuilder::service
