#ifndef CONTAINERBUILDER_CLIENT_RANGE_ITERATOR_H_
#define CONTAINERBUILDER_CLIENT_RANGE_ITERATOR_H_

#include <cstddef>
#include <iterator>

#include "absl/status/statusor.h"

namespace containerbuilder::client {

// Goes through a Range once. The Range befriends this; its Current() answers
// the element, null at the end, and Advance() goes to the next one.
template <typename Range, typename Value>
class RangeIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = absl::StatusOr<Value>;
  using difference_type = std::ptrdiff_t;
  using pointer = const value_type*;
  using reference = const value_type&;

  RangeIterator() = default;
  reference operator*() const { return *range_->Current(); }
  pointer operator->() const { return range_->Current(); }
  RangeIterator& operator++() {
    range_->Advance();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const RangeIterator& a, const RangeIterator& b) {
    return a.AtEnd() == b.AtEnd();
  }
  friend bool operator!=(const RangeIterator& a, const RangeIterator& b) {
    return !(a == b);
  }

 private:
  friend Range;
  explicit RangeIterator(Range* range) : range_(range) {}
  bool AtEnd() const {
    return range_ == nullptr || range_->Current() == nullptr;
  }
  Range* range_ = nullptr;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_RANGE_ITERATOR_H_
