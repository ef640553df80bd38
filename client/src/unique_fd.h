#ifndef CONTAINERBUILDER_CLIENT_UNIQUE_FD_H_
#define CONTAINERBUILDER_CLIENT_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace containerbuilder::client {

// Closes a descriptor with its scope.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd() {
    if (fd_ >= 0) close(fd_);
  }

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_UNIQUE_FD_H_
