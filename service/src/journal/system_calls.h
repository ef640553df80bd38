#ifndef CONTAINERBUILDER_JOURNAL_SYSTEM_CALLS_H_
#define CONTAINERBUILDER_JOURNAL_SYSTEM_CALLS_H_

#include <sys/types.h>

#include <cstddef>

namespace containerbuilder::service {

// The system calls that a journal makes, with their answers and errno. Tests
// override them to make each fail. Thread-safe.
class SystemCalls {
 public:
  SystemCalls() = default;
  SystemCalls(const SystemCalls&) = delete;
  SystemCalls& operator=(const SystemCalls&) = delete;
  virtual ~SystemCalls() = default;

  virtual int Open(const char* path, int flags, mode_t mode);
  virtual int Close(int fd);
  virtual ssize_t Pread(int fd, char* data, std::size_t bytes, off_t offset);
  virtual ssize_t Pwrite(int fd, const char* data, std::size_t bytes,
                         off_t offset);
  virtual int Fdatasync(int fd);
  virtual int Fsync(int fd);
  virtual int Ftruncate(int fd, off_t size);
  // The size of the file, or -1.
  virtual off_t Size(int fd);
  virtual int Unlink(const char* path);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_JOURNAL_SYSTEM_CALLS_H_
