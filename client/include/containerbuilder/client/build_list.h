#ifndef CONTAINERBUILDER_CLIENT_BUILD_LIST_H_
#define CONTAINERBUILDER_CLIENT_BUILD_LIST_H_

#include <functional>
#include <optional>

#include "absl/status/statusor.h"
#include "containerbuilder/client/range_iterator.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::client {

// Builds, newest first, as an input range to go through once:
//
//   for (const absl::StatusOr<v1::Build>& build : client.ListBuilds(request))
//
// Pages are fetched as the range gets there, page_size builds at a time. An
// error is the last element. Move-only; for one thread.
class BuildList {
 public:
  using Iterator = RangeIterator<BuildList, v1::Build>;
  using FetchPage = std::function<absl::StatusOr<v1::ListBuildsResponse>(
      const v1::ListBuildsRequest&)>;

  BuildList(FetchPage fetch_page, v1::ListBuildsRequest request);
  BuildList(BuildList&&) = default;
  BuildList& operator=(BuildList&&) = default;

  // Blocks for the first page. Call it once.
  Iterator begin();
  Iterator end() { return Iterator(); }

 private:
  friend Iterator;
  const absl::StatusOr<v1::Build>* Current() const {
    return current_ ? &*current_ : nullptr;
  }
  void Advance();

  FetchPage fetch_page_;
  v1::ListBuildsRequest request_;  // for the next page
  v1::ListBuildsResponse page_;
  int next_ = 0;  // in page_
  bool is_last_page_ = false;
  std::optional<absl::StatusOr<v1::Build>> current_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_BUILD_LIST_H_
