#include "journal/system_calls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace containerbuilder::service {

int SystemCalls::Open(const char* path, int flags, mode_t mode) {
  return open(path, flags, mode);
}

int SystemCalls::Close(int fd) { return close(fd); }

ssize_t SystemCalls::Pread(int fd, char* data, std::size_t bytes,
                           off_t offset) {
  return pread(fd, data, bytes, offset);
}

ssize_t SystemCalls::Pwrite(int fd, const char* data, std::size_t bytes,
                            off_t offset) {
  return pwrite(fd, data, bytes, offset);
}

int SystemCalls::Fdatasync(int fd) { return fdatasync(fd); }

int SystemCalls::Fsync(int fd) { return fsync(fd); }

int SystemCalls::Ftruncate(int fd, off_t size) { return ftruncate(fd, size); }

off_t SystemCalls::Size(int fd) {
  struct stat found = {};
  return fstat(fd, &found) == 0 ? found.st_size : -1;
}

int SystemCalls::Unlink(const char* path) { return unlink(path); }

}  // namespace containerbuilder::service
