#include "containerbuilder/client/build_stream.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace containerbuilder::client {
namespace {

std::string FailureMessage(const v1::Build& build) {
  if (!build.failure().message().empty()) return build.failure().message();
  return absl::StrCat("the build ended as ",
                      v1::Build::State_Name(build.state()));
}

absl::StatusCode FailureCode(const v1::Build& build) {
  switch (build.state()) {
    case v1::Build::STATE_CANCELLED:
      return absl::StatusCode::kCancelled;
    case v1::Build::STATE_TIMED_OUT:
    case v1::Build::STATE_EXPIRED:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return build.failure().retryable() ? absl::StatusCode::kUnavailable
                                         : absl::StatusCode::kAborted;
  }
}

}  // namespace

absl::Status BuildStatus(const v1::Build& build) {
  if (build.state() == v1::Build::STATE_SUCCEEDED) return absl::OkStatus();
  return absl::Status(FailureCode(build), FailureMessage(build));
}

BuildStream::BuildStream(std::unique_ptr<BuildEventSource> source,
                         bool must_finish)
    : source_(std::move(source)), must_finish_(must_finish) {}
BuildStream::BuildStream(BuildStream&&) noexcept = default;
BuildStream& BuildStream::operator=(BuildStream&&) noexcept = default;
BuildStream::~BuildStream() = default;

BuildStream::Iterator BuildStream::begin() {
  Advance();
  return Iterator(this);
}

void BuildStream::Cancel() {
  if (source_ != nullptr) source_->Cancel();
}

void BuildStream::Advance() {
  current_.reset();
  if (ended_) return;

  std::optional<v1::BuildEvent> event = source_->Next();
  if (event.has_value() && !build_status_.has_value()) {
    if (event->has_finished()) {
      build_status_ = BuildStatus(event->finished().build());
    }
    current_ = *std::move(event);
    return;
  }

  // How the call ended says nothing any more once `finished` was there.
  ended_ = true;
  absl::Status status =
      event.has_value() ? absl::OkStatus() : source_->Finish();
  if (build_status_.has_value()) {
    status = *build_status_;
  } else if (status.ok() && must_finish_) {
    status = absl::UnknownError("the call ended without `finished`");
  }
  if (!status.ok()) current_ = std::move(status);
}

}  // namespace containerbuilder::client
