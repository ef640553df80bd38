#include "base/copy_budget.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file_error.h"
#include "base/limits.h"
#include "base/status_macros.h"

namespace containerbuilder::service {

CopyBudget::CopyBudget(CopyLimits limits) : limits_(std::move(limits)) {}

absl::Status CopyBudget::CountFile() {
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckCancelled());
  if (++files_ <= limits_.max_files) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("more than ", limits_.max_files,
                                            " files (--max_staged_files)"));
}

absl::Status CopyBudget::CountBytes(std::int64_t bytes) {
  if (bytes > bytes_left()) {
    return absl::OutOfRangeError(absl::StrCat("more than ", limits_.max_bytes,
                                              " bytes (--max_staged_bytes)"));
  }
  bytes_ += bytes;
  unchecked_bytes_ += bytes;
  if (unchecked_bytes_ < limits::kDiskCheckBytes) return absl::OkStatus();
  unchecked_bytes_ = 0;
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckCancelled());
  if (limits_.has_room == nullptr || limits_.has_room()) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(kDiskIsFull);
}

absl::Status CopyBudget::CheckCancelled() const {
  if (limits_.cancelled == nullptr || !limits_.cancelled()) {
    return absl::OkStatus();
  }
  return absl::CancelledError("the copy was given up");
}

}  // namespace containerbuilder::service
