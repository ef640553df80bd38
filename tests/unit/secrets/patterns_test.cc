#include "secrets/patterns.h"

#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <utility>

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

std::string Redact(std::shared_ptr<const PatternSet> patterns,
                   absl::string_view output) {
  Redactor redactor(std::move(patterns));
  std::string shown = redactor.Feed(output);
  return shown + redactor.Finish();
}

std::string Redact(absl::string_view secret, absl::string_view output) {
  return Redact(std::make_shared<PatternSet>(RevealingTexts({secret})), output);
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

// As `base64` and openssl print it, behind what BuildKit puts before each line.
TEST(PatternsTest, ItsBase64InLines) {
  std::mt19937 random(20261129);
  std::string secret;
  // A cut of each kind, and each distance of the end from it.
  while (secret.size() < 1000) {
    secret += static_cast<char>(' ' + random() % 95);
    const auto patterns =
        std::make_shared<PatternSet>(RevealingTexts({secret}));
    for (const absl::string_view after : {"", "\n"}) {
      const std::string encoded =
          absl::Base64Escape(absl::StrCat(secret, after));
      if (encoded.size() < 6) continue;
      EXPECT_EQ(Redact(patterns, encoded), "***") << secret;
      for (const std::size_t width : {64, 76}) {
        std::string printed;
        std::string expected;
        for (std::size_t at = 0; at < encoded.size(); at += width) {
          const std::string line = encoded.substr(at, width);
          absl::StrAppend(&printed, "#5 0.123 ", line, "\n");
          absl::StrAppend(&expected, "#5 0.123 ",
                          line.size() < 6 ? line : "***", "\n");
        }
        EXPECT_EQ(Redact(patterns, printed), expected) << secret;
      }
    }
  }
}

// A log in base64, as some programs write it.
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

// Whatever else the build has.
TEST(PatternsTest, OfTheShortestTheBase64WithinATextToo) {
  const std::string token = "correct horse battery staple";
  const std::string bundle(200 * 1024, 'x');
  const auto patterns =
      std::make_shared<PatternSet>(RevealingTexts({bundle, token, bundle}));
  const auto shown = [&patterns](const std::string& output) {
    return Redact(patterns, output);
  };
  EXPECT_THAT(shown(absl::Base64Escape(absl::StrCat("a ", token, "."))),
              testing::MatchesRegex("[^*]{1,4}\\*\\*\\*[^*]{1,8}"));
  EXPECT_EQ(shown(absl::WebSafeBase64Escape(token)), "***");
  EXPECT_EQ(shown(absl::Base64Escape(bundle)), "***");
}

TEST(PatternsTest, NothingShort) {
  EXPECT_THAT(RevealingTexts({""}), IsEmpty());
  EXPECT_THAT(RevealingTexts({"\n"}), IsEmpty());
  EXPECT_TRUE(IsTooShortToRedact("12345\n"));
  EXPECT_FALSE(IsTooShortToRedact("123456"));
  EXPECT_THAT(RevealingTexts({"12345\n1234567"}), Not(Contains("12345")));
  EXPECT_THAT(RevealingTexts({"12345"}), Each(SizeIs(testing::Ge(6))));
}

}  // namespace
}  // namespace containerbuilder::service
