#include "build/page_token.h"

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/status_matchers.h"

namespace containerbuilder::service {
namespace {

using test_support::HasReason;
using test_support::IsOk;
using test_support::StatusIs;
using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

v1::ListBuildsRequest MakeRequest() {
  v1::ListBuildsRequest request;
  request.set_page_size(10);
  request.add_states(v1::Build::STATE_FAILED);
  (*request.mutable_annotations())["team"] = "a";
  (*request.mutable_annotations())["job"] = "7";
  request.mutable_create_time_from()->set_seconds(1);
  return request;
}

auto IsRefused() {
  return AllOf(
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("page_token")),
      HasReason("OPTION_INVALID"));
}

TEST(PageTokenTest, TellsTheArrivalForTheSameFilters) {
  for (const std::int64_t arrival :
       {std::int64_t{1}, std::int64_t{1'000'000},
        std::numeric_limits<std::int64_t>::max()}) {
    v1::ListBuildsRequest request = MakeRequest();
    const std::string token = MakePageToken(request, "ann", arrival);
    EXPECT_THAT(token, MatchesRegex("[A-Za-z0-9_-]+"));
    request.set_page_token(token);
    request.set_page_size(20);
    const auto parsed = ParsePageToken(request, "ann");
    ASSERT_THAT(parsed, IsOk());
    EXPECT_EQ(*parsed, arrival);
  }
}

TEST(PageTokenTest, IsForTheSameFiltersAlone) {
  const std::string token = MakePageToken(MakeRequest(), "ann", 42);
  v1::ListBuildsRequest request = MakeRequest();
  request.set_page_token(token);
  EXPECT_THAT(ParsePageToken(request, "bob"), IsRefused());
  request.add_states(v1::Build::STATE_RUNNING);
  EXPECT_THAT(ParsePageToken(request, "ann"), IsRefused());
  request = MakeRequest();
  request.set_page_token(token);
  (*request.mutable_annotations())["team"] = "b";
  EXPECT_THAT(ParsePageToken(request, "ann"), IsRefused());
  request = MakeRequest();
  request.set_page_token(token);
  request.clear_create_time_from();
  EXPECT_THAT(ParsePageToken(request, "ann"), IsRefused());
}

TEST(PageTokenTest, RefusesWhatWasNotMade) {
  v1::ListBuildsRequest request = MakeRequest();
  const std::string token = MakePageToken(request, "ann", 42);
  const auto parse = [&](const std::string& text) {
    request.set_page_token(text);
    return ParsePageToken(request, "ann");
  };
  ASSERT_THAT(parse(token), IsOk());
  for (std::size_t i = 0; i < token.size(); ++i) {
    EXPECT_THAT(parse(token.substr(0, i)), IsRefused());
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_THAT(parse(changed), IsRefused()) << i;
  }
  for (const std::string& text :
       {std::string("%%%"), token + "A", token + "=", " " + token,
        absl::WebSafeBase64Escape("1:42"), absl::WebSafeBase64Escape("1:"),
        absl::WebSafeBase64Escape("1:42:"), absl::WebSafeBase64Escape("2:42:x"),
        absl::WebSafeBase64Escape("1:99999999999999999999:x"),
        std::string(1 << 20, 'A'), std::string("\0", 1)}) {
    EXPECT_THAT(parse(text), IsRefused());
  }
}

}  // namespace
}  // namespace containerbuilder::service
