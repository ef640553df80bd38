#include "uploading_event_source.h"

#include <utility>

#include "context_uploader.h"

namespace containerbuilder::client {

UploadingEventSource::UploadingEventSource(Upload upload, Start start)
    : upload_(std::move(upload)), start_(std::move(start)) {}

std::optional<v1::BuildEvent> UploadingEventSource::Next() {
  if (!end_.ok()) return std::nullopt;
  while (true) {
    if (build_ == nullptr && !Open()) return std::nullopt;
    auto event = build_->Next();
    if (event.has_value()) {
      any_event_ = true;
      return event;
    }
    end_ = build_->Finish();
    if (any_event_ || !IsBlobsMissing(end_) || uploads_ == kMaxUploads) {
      return std::nullopt;
    }
    end_ = absl::OkStatus();
    const std::lock_guard lock(mutex_);
    build_.reset();
  }
}

void UploadingEventSource::Cancel() {
  stop_.request_stop();
  const std::lock_guard lock(mutex_);
  if (build_ != nullptr) build_->Cancel();
}

bool UploadingEventSource::Open() {
  ++uploads_;
  end_ = upload_(stop_.get_token());
  if (!end_.ok()) return false;
  const std::lock_guard lock(mutex_);
  if (stop_.stop_requested()) {
    end_ = absl::CancelledError("cancelled by the caller");
    return false;
  }
  build_ = start_();
  return true;
}

}  // namespace containerbuilder::client
