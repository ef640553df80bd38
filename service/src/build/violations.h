#ifndef CONTAINERBUILDER_BUILD_VIOLATIONS_H_
#define CONTAINERBUILDER_BUILD_VIOLATIONS_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace containerbuilder::service {

// The rules that a request breaks, as many as are asked for: a request can
// break millions.
class Violations {
 public:
  explicit Violations(std::size_t most) : most_(most) {}

  void Add(absl::Status status) {
    if (!status.ok() && !full()) all_.push_back(std::move(status));
  }
  // Nothing more is asked for.
  bool full() const { return all_.size() == most_; }
  const std::vector<absl::Status>& all() const { return all_; }

 private:
  const std::size_t most_;
  std::vector<absl::Status> all_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_VIOLATIONS_H_
