#ifndef CONTAINERBUILDER_CLIENT_READ_WAIT_H_
#define CONTAINERBUILDER_CLIENT_READ_WAIT_H_

#include <functional>
#include <memory>
#include <stop_token>

#include "absl/status/statusor.h"
#include "unique_fd.h"

namespace containerbuilder::client {

// Waits for bytes from somebody else, who may never send any.
class ReadWait {
 public:
  // `fd` must outlive it. RESOURCE_EXHAUSTED where there are no more
  // descriptors.
  static absl::StatusOr<std::unique_ptr<const ReadWait>> Create(
      int fd, const std::stop_token& stop);

  // Blocks until a read would not; false when it is to stop first.
  bool Wait() const;

 private:
  ReadWait(int fd, UniqueFd stop_fd, const std::stop_token& stop);

  const int fd_;
  const UniqueFd stop_fd_;
  const std::stop_callback<std::function<void()>> callback_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_READ_WAIT_H_
