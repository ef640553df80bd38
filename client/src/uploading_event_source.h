#ifndef CONTAINERBUILDER_CLIENT_UPLOADING_EVENT_SOURCE_H_
#define CONTAINERBUILDER_CLIENT_UPLOADING_EVENT_SOURCE_H_

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

#include "absl/status/status.h"
#include "containerbuilder/client/build_stream.h"

namespace containerbuilder::client {

// Uploads a context and then starts a build of it; both again where the service
// has dropped contents in between.
class UploadingEventSource final : public BuildEventSource {
 public:
  using Upload = std::function<absl::Status(std::stop_token stop)>;
  using Start = std::function<std::unique_ptr<BuildEventSource>()>;

  UploadingEventSource(Upload upload, Start start);

  std::optional<v1::BuildEvent> Next() override;
  absl::Status Finish() override { return end_; }
  void Cancel() override;
  bool Reached() override { return build_ == nullptr || build_->Reached(); }

 private:
  // Makes `build_`; false where the events end with `end_`.
  bool Open();

  const Upload upload_;
  const Start start_;
  std::stop_source stop_;
  bool any_event_ = false;
  int uploads_ = 0;
  absl::Status end_;
  std::mutex mutex_;  // guards the pointer: Cancel comes from other threads
  std::unique_ptr<BuildEventSource> build_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_UPLOADING_EVENT_SOURCE_H_
