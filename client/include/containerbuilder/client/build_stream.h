#ifndef CONTAINERBUILDER_CLIENT_BUILD_STREAM_H_
#define CONTAINERBUILDER_CLIENT_BUILD_STREAM_H_

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::client {

// Where a BuildStream's events come from: one call of Build. Implement it to
// test a program without a server.
class BuildEventSource {
 public:
  // Ends the call if it has not ended.
  virtual ~BuildEventSource() = default;
  // Blocks for the next event; nothing at the end of the call.
  virtual std::optional<v1::BuildEvent> Next() = 0;
  // How the call ended; once Next has answered nothing.
  virtual absl::Status Finish() = 0;
  // Ends the call; from any thread. Next answers nothing soon after.
  virtual void Cancel() = 0;
};

// How a build's end reads as a status: OK for SUCCEEDED, else an error with
// the build's failure as its message: CANCELLED for a cancelled build,
// DEADLINE_EXCEEDED for TIMED_OUT and EXPIRED, UNAVAILABLE for a retryable
// failure, ABORTED otherwise.
absl::Status BuildStatus(const v1::Build& build);

// The events of one build, as an input range to go through once:
//
//   for (const absl::StatusOr<v1::BuildEvent>& event : client.Build(request))
//
// Every event is passed on, `finished` too. After a `finished` that is not
// SUCCEEDED, BuildStatus is the last element; so is the call's own error,
// where the call ended without `finished`. A range that ends without an error
// therefore means SUCCEEDED.
//
// Move-only. One thread reads it; Cancel may come from any other. Destroying
// it before its end cancels the call, and so the build, unless the request's
// disconnect policy says otherwise.
class BuildStream {
 public:
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = absl::StatusOr<v1::BuildEvent>;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    Iterator() = default;
    reference operator*() const { return *stream_->current_; }
    pointer operator->() const { return &*stream_->current_; }
    Iterator& operator++() {
      stream_->Advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& a, const Iterator& b) {
      return a.AtEnd() == b.AtEnd();
    }
    friend bool operator!=(const Iterator& a, const Iterator& b) {
      return !(a == b);
    }

   private:
    friend class BuildStream;
    explicit Iterator(BuildStream* stream) : stream_(stream) {}
    bool AtEnd() const { return stream_ == nullptr || !stream_->current_; }
    BuildStream* stream_ = nullptr;
  };

  explicit BuildStream(std::unique_ptr<BuildEventSource> source);
  BuildStream(BuildStream&&) noexcept;
  BuildStream& operator=(BuildStream&&) noexcept;
  ~BuildStream();

  // Blocks for the first event. Call it once.
  Iterator begin();
  Iterator end() { return Iterator(); }

  // Ends the call; its error becomes the last element. From any thread, any
  // number of times, while the stream is not being moved.
  void Cancel();

 private:
  void Advance();

  std::unique_ptr<BuildEventSource> source_;
  std::optional<absl::StatusOr<v1::BuildEvent>> current_;
  // The last element is being shown, or was.
  bool ended_ = false;
  std::optional<absl::Status> build_status_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_BUILD_STREAM_H_
