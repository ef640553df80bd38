#include "base/build_id.h"

#include <set>
#include <string>

#include "absl/time/time.h"
#include "gmock/gmock.h"

namespace containerbuilder::service {
namespace {

TEST(BuildIdTest, HasTheFormOfAUlid) {
  EXPECT_THAT(NewBuildId(absl::FromUnixMillis(1)),
              testing::MatchesRegex("0000000001[0-9a-hjkmnp-tv-z]{16}"));
}

TEST(BuildIdTest, SortsByCreation) {
  std::string last;
  for (std::int64_t ms : {0LL, 1LL, 31LL, 32LL, 1'700'000'000'000LL,
                          1'700'000'000'001LL, (1LL << 48) - 1}) {
    const std::string id = NewBuildId(absl::FromUnixMillis(ms));
    EXPECT_LT(last, id) << ms;
    last = id;
  }
}

TEST(BuildIdTest, DiffersWithinAMillisecond) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    ids.insert(NewBuildId(absl::FromUnixMillis(5)));
  }
  EXPECT_EQ(ids.size(), 1000U);
}

}  // namespace
}  // namespace containerbuilder::service
