#include "retry.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "containerbuilder/client/error_info.h"

namespace containerbuilder::client {
namespace {

constexpr absl::Duration kFirstDelay = absl::Milliseconds(100);
constexpr absl::Duration kLongestDelay = absl::Seconds(5);

}  // namespace

bool IsWorthRetrying(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return false;
  const auto info = GetErrorInfo(status);
  return !info || info->reason.empty() || info->reason == "DRAINING";
}

bool IsLostCall(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  if (info.has_value() && !info->reason.empty()) return IsWorthRetrying(status);
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    default:
      return false;
  }
}

bool IsRateLimited(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info && info->reason == "RATE_LIMITED";
}

bool MayTransferGoOn(const absl::Status& status) {
  if (IsLostCall(status) || IsRateLimited(status)) return true;
  const auto info = GetErrorInfo(status);
  return info &&
         (info->reason == "UPLOAD_IN_PROGRESS" ||
          info->reason == "UPLOAD_IDLE" || info->reason == "DOWNLOAD_IDLE");
}

Retry::Retry(Platform& platform, absl::Duration limit)
    : platform_(platform),
      limit_(limit),
      start_(platform.Now()),
      longest_delay_(kFirstDelay) {}

absl::Duration Retry::Elapsed() const {
  return absl::FromChrono(platform_.Now() - start_);
}

std::optional<absl::Duration> Retry::NextDelay(const absl::Status& error) {
  absl::Duration delay = NextBackoff();
  const auto info = GetErrorInfo(error);
  if (info) delay = std::max(delay, info->retry_delay);
  if (Elapsed() + delay > limit_) return std::nullopt;
  return delay;
}

bool Retry::Wait(const absl::Status& error,
                 const absl::Notification& interrupt) {
  const std::optional<absl::Duration> delay = NextDelay(error);
  if (!delay.has_value()) return false;
  platform_.Wait(*delay, interrupt);
  return true;
}

absl::Duration Retry::NextBackoff() {
  constexpr auto kRandomRange =
      static_cast<double>(std::numeric_limits<std::uint64_t>::max());
  const double left_out =
      static_cast<double>(platform_.Random()) / kRandomRange / 2;
  const absl::Duration delay = longest_delay_ * (1 - left_out);
  longest_delay_ = std::min(longest_delay_ * 2, kLongestDelay);
  return delay;
}

}  // namespace containerbuilder::client
