#ifndef CONTAINERBUILDER_BASE_COPY_BUDGET_H_
#define CONTAINERBUILDER_BASE_COPY_BUDGET_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace containerbuilder::service {

// How much may be copied for one build.
struct CopyLimits {
  std::int64_t max_bytes = 0;
  std::int64_t max_files = 0;
  // Whether the disk may take more. Asked now and then; may be null.
  std::function<bool()> has_room;
  // Whether to give up. Asked at each file, and now and then; may be null.
  std::function<bool()> cancelled;
};

// Counts what is copied against its limits. Errors: OUT_OF_RANGE more than the
// limits, naming the setting; RESOURCE_EXHAUSTED a full disk; CANCELLED.
class CopyBudget {
 public:
  explicit CopyBudget(CopyLimits limits);

  // Before each file, folder or link is made.
  absl::Status CountFile();
  // Before bytes are written.
  absl::Status CountBytes(std::int64_t bytes);

  std::int64_t bytes_left() const { return limits_.max_bytes - bytes_; }
  std::int64_t files_left() const { return limits_.max_files - files_; }

 private:
  absl::Status CheckCancelled() const;

  const CopyLimits limits_;
  std::int64_t bytes_ = 0;
  std::int64_t files_ = 0;
  std::int64_t unchecked_bytes_ = 0;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_COPY_BUDGET_H_
