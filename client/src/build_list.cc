#include "containerbuilder/client/build_list.h"

#include <utility>

namespace containerbuilder::client {

BuildList::BuildList(FetchPage fetch_page, v1::ListBuildsRequest request)
    : fetch_page_(std::move(fetch_page)), request_(std::move(request)) {}

BuildList::Iterator BuildList::begin() {
  Advance();
  return Iterator(this);
}

void BuildList::Advance() {
  current_.reset();
  // A page may be empty and not be the last one.
  while (next_ == page_.builds_size()) {
    if (is_last_page_) return;
    auto page = fetch_page_(request_);
    if (!page.ok()) {
      is_last_page_ = true;
      page_.Clear();
      next_ = 0;
      current_ = page.status();
      return;
    }
    page_ = *std::move(page);
    next_ = 0;
    request_.set_page_token(page_.next_page_token());
    is_last_page_ = page_.next_page_token().empty();
  }
  current_ = std::move(*page_.mutable_builds(next_++));
}

}  // namespace containerbuilder::client
