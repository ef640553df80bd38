#include "secrets/redactor.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "support/naive_redaction.h"

namespace containerbuilder::service {
namespace {

using Patterns = std::vector<std::string>;

std::string Redact(const Patterns& patterns,
                   const std::vector<std::string>& chunks) {
  Redactor redactor(std::make_shared<PatternSet>(patterns));
  std::string shown;
  for (const std::string& chunk : chunks) {
    absl::StrAppend(&shown, redactor.Feed(chunk));
  }
  absl::StrAppend(&shown, redactor.Finish());
  return shown;
}

TEST(RedactorTest, HidesWhatIsASecret) {
  EXPECT_EQ(Redact({"hunter2"}, {"the password is hunter2.\n"}),
            "the password is ***.\n");
  EXPECT_EQ(Redact({"hunter2"}, {"hunter2"}), "***");
  EXPECT_EQ(Redact({"hunter2"}, {"hunter hunter1"}), "hunter hunter1");
  EXPECT_EQ(Redact({}, {"hunter2"}), "hunter2");
  EXPECT_EQ(Redact({""}, {"hunter2"}), "hunter2");
}

TEST(RedactorTest, HidesItInPieces) {
  EXPECT_EQ(Redact({"hunter2"}, {"a h", "unt", "er", "2", " b"}), "a *** b");
}

TEST(RedactorTest, OneMaskForWhatOverlapsOrTouches) {
  EXPECT_EQ(Redact({"abcab"}, {"abcabcab"}), "***");
  EXPECT_EQ(Redact({"secret"}, {"secretsecret"}), "***");
  EXPECT_EQ(Redact({"secret"}, {"secret", "secret"}), "***");
  EXPECT_EQ(Redact({"secret"}, {"secret secret"}), "*** ***");
  EXPECT_EQ(Redact({"line one\nline two", "line one"}, {"line one\nline 2"}),
            "***\nline 2");
  EXPECT_EQ(Redact({"line one\nline two", "line one"}, {"line one\nline two"}),
            "***");
}

TEST(RedactorTest, HoldsBackOnlyWhatMayBecomeASecret) {
  Redactor redactor(std::make_shared<PatternSet>(Patterns{"hunter2", "terse"}));
  EXPECT_EQ(redactor.Feed("a hunt"), "a ");
  EXPECT_EQ(redactor.Feed("er"), "");
  // "ter" may become "terse".
  EXPECT_EQ(redactor.Feed("x"), "hunterx");
  EXPECT_EQ(redactor.Feed("hunter"), "");
  EXPECT_EQ(redactor.Feed("s"), "hun");
  EXPECT_EQ(redactor.Feed("e!"), "***!");
  EXPECT_EQ(redactor.Feed("hunter2"), "***");
  EXPECT_EQ(redactor.Feed("hunter"), "");
  EXPECT_EQ(redactor.Finish(), "hunter");
}

TEST(RedactorTest, BytesOfAnyKind) {
  const std::string secret("\0\xff\n\0\x80", 5);
  EXPECT_EQ(Redact({secret}, {absl::StrCat("a", secret, "b")}), "a***b");
}

// Few letters and short patterns, so that everything overlaps with everything.
TEST(RedactorTest, AgreesWithTryingEachPlaceHoweverItIsCut) {
  std::mt19937 random(20261124);
  const auto below = [&random](std::size_t bound) {
    return static_cast<std::size_t>(random()) % bound;
  };
  const auto text = [&](std::size_t most) {
    std::string letters;
    for (std::size_t size = below(most + 1); size > 0; --size) {
      letters += static_cast<char>('a' + below(3));
    }
    return letters;
  };
  std::size_t hidden = 0;
  for (int round = 0; round < 20'000; ++round) {
    Patterns patterns;
    for (std::size_t count = 1 + below(5); count > 0; --count) {
      patterns.push_back(text(7));
    }
    const std::string all = text(40);
    std::vector<std::string> chunks;
    for (std::size_t at = 0; at < all.size();) {
      chunks.push_back(all.substr(at, 1 + below(6)));
      at += chunks.back().size();
    }
    const std::string expected = test_support::Masked(
        all, test_support::Hidden(patterns, all), all.size());
    ASSERT_EQ(Redact(patterns, chunks), expected)
        << testing::PrintToString(patterns) << " in " << all;
    if (expected != all) ++hidden;
  }
  EXPECT_GT(hidden, 1000U);
}

// The most that a build may have, and the worst for one who compares again and
// again: must take no noticeable time.
TEST(RedactorTest, LongSecretsOfOneLetter) {
  const std::string secret(500 * 1024, 'a');
  const auto patterns = std::make_shared<PatternSet>(Patterns{secret});
  Redactor redactor(patterns);
  std::string shown;
  for (int i = 0; i < 100; ++i) {
    absl::StrAppend(&shown, redactor.Feed(std::string(10'000, 'a')), "|");
    absl::StrAppend(&shown, redactor.Feed("b"));
  }
  absl::StrAppend(&shown, redactor.Feed(secret), redactor.Finish());
  EXPECT_EQ(std::count(shown.begin(), shown.end(), 'a'), 1'000'000);
  EXPECT_EQ(shown.substr(shown.size() - 4), "b***");
}

}  // namespace
}  // namespace containerbuilder::service
