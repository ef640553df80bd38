#ifndef CONTAINERBUILDER_CLIENT_READ_WAIT_H_
#define CONTAINERBUILDER_CLIENT_READ_WAIT_H_

#include <functional>
#include <stop_token>

#include "unique_fd.h"

namespace containerbuilder::client {

// Waits for bytes from somebody else, who may never send any.
class ReadWait {
 public:
  // `fd` must outlive it. Throws std::system_error where there are no more
  // descriptors.
  ReadWait(int fd, const std::stop_token& stop);

  // Blocks until a read would not; false when it is to stop first.
  bool Wait() const;

 private:
  const int fd_;
  const UniqueFd stop_fd_;
  const std::stop_callback<std::function<void()>> callback_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_READ_WAIT_H_
