#include "build/page_token.h"

#include <cstdint>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/canonical_hash.h"
#include "base/errors.h"

namespace containerbuilder::service {
namespace {

// The payload: this, the arrival in decimal, `:` and 8 bytes of a hash.
constexpr absl::string_view kVersion = "1:";

}  // namespace

std::string MakePageToken(const v1::ListBuildsRequest& request,
                          absl::string_view caller,
                          std::int64_t before_arrival) {
  v1::ListBuildsRequest filters = request;
  filters.clear_page_size();
  filters.clear_page_token();
  const std::string check = Sha256(absl::StrCat(CanonicalSha256(filters),
                                                before_arrival, ":", caller))
                                .substr(0, 8);
  return absl::WebSafeBase64Escape(
      absl::StrCat(kVersion, before_arrival, ":", check));
}

absl::StatusOr<std::int64_t> ParsePageToken(
    const v1::ListBuildsRequest& request, absl::string_view caller) {
  std::string payload;
  std::int64_t arrival = 0;
  absl::string_view rest;
  // The one comparison with what would be made checks all of it.
  if (!absl::WebSafeBase64Unescape(request.page_token(), &payload) ||
      !absl::ConsumePrefix(&(rest = payload), kVersion) ||
      !absl::SimpleAtoi(rest.substr(0, rest.find(':')), &arrival) ||
      request.page_token() != MakePageToken(request, caller, arrival)) {
    return errors::OptionInvalid(
        "page_token",
        "must be next_page_token of an answer to a request with the same "
        "filters; leave it empty for the first page");
  }
  return arrival;
}

}  // namespace containerbuilder::service
