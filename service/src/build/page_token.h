#ifndef CONTAINERBUILDER_BUILD_PAGE_TOKEN_H_
#define CONTAINERBUILDER_BUILD_PAGE_TOKEN_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// The token of the page after the one that ended with `before_arrival`, for
// requests with the filters of `request` (all but its page_size and page_token)
// by this caller. Opaque to callers; guards against mistakes, not against
// forgery, for it gives no right to anything.
std::string MakePageToken(const v1::ListBuildsRequest& request,
                          absl::string_view caller,
                          std::int64_t before_arrival);

// The `before_arrival` in `request.page_token`. INVALID_ARGUMENT where that is
// no token that MakePageToken made for these filters and this caller.
absl::StatusOr<std::int64_t> ParsePageToken(
    const v1::ListBuildsRequest& request, absl::string_view caller);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_PAGE_TOKEN_H_
