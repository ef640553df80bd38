// Makes one system call of a program fail, to be preloaded into it:
//
//   LD_PRELOAD=libfail_calls.so FAIL_CALLS=CALL:ERROR:N:PATH
//   FAIL_CALLS_LOG=FILE PROGRAM
//
// The N-th CALL of the whole process that has to do with a path beginning with
// PATH fails with ERROR, a number; `N+`: that and all that come after. Calls
// that have no path take part whatever PATH is. A negative ERROR is no error:
// -1 makes write and pwrite take half of what they are given, -2 one byte.
// Each call that was made to fail is a line in FILE: the call and the path. The
// variables are taken out of the environment, so that children know nothing.
//
// CALL is one of open (and openat), write (and pwrite), fsync (and fdatasync),
// syncfs, ftruncate, rename, mkdir, pipe2, posix_spawn.

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

class Plan {
 public:
  Plan() {
    const char* text = std::getenv("FAIL_CALLS");
    const char* log = std::getenv("FAIL_CALLS_LOG");
    if (text == nullptr || log == nullptr) return;
    const std::string plan = text;
    const std::size_t error = plan.find(':') + 1;
    const std::size_t count = plan.find(':', error) + 1;
    const std::size_t path = plan.find(':', count) + 1;
    call_ = plan.substr(0, error - 1);
    error_ = std::atoi(plan.c_str() + error);
    left_ = std::atol(plan.c_str() + count);
    goes_on_ = plan[path - 2] == '+';
    path_ = plan.substr(path);
    log_ = log;
    unsetenv("FAIL_CALLS");
    unsetenv("FAIL_CALLS_LOG");
    unsetenv("LD_PRELOAD");
  }

  // The error of this call; 0 where it is to be left alone.
  int Error(const char* call, const char* path) {
    if (call_ != call) return 0;
    if (path != nullptr && std::strncmp(path, path_.c_str(), path_.size()) != 0)
      return 0;
    const long left = left_--;
    if (left > 1 || (left < 1 && !goes_on_)) return 0;
    const int fd = static_cast<int>(Next<int(const char*, int, ...)>("open")(
        log_.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
    dprintf(fd, "%s %s\n", call, path == nullptr ? "" : path);
    close(fd);
    return error_;
  }

  int ErrorOfFile(const char* call, int fd) {
    if (call_ != call) return 0;
    char path[4096];
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t size = readlink(link.c_str(), path, sizeof(path) - 1);
    if (size <= 0 || path[0] != '/') return 0;
    path[size] = '\0';
    return Error(call, path);
  }

 private:
  std::string call_;
  std::string path_;
  std::string log_;
  int error_ = 0;
  bool goes_on_ = false;
  std::atomic<long> left_ = 0;
};

Plan& ThePlan() {
  static Plan plan;
  return plan;
}

// Before main, so that no child sees the variables.
const bool kRead = (ThePlan(), true);

int Fail(int error) {
  errno = error;
  return -1;
}

std::size_t Part(int error, std::size_t bytes) {
  if (error == -1) return bytes / 2 + bytes % 2;
  return error == -2 && bytes > 0 ? 1 : bytes;
}

}  // namespace

#define REAL(name) Next<decltype(name)>(#name)

extern "C" {

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if (const int error = ThePlan().Error("open", path)) return Fail(error);
  return REAL(open)(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  if (const int error = ThePlan().Error("open", path)) return Fail(error);
  return REAL(open64)(path, flags, mode);
}

int openat(int folder, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  const int error = path[0] == '/' ? ThePlan().Error("open", path)
                                   : ThePlan().ErrorOfFile("open", folder);
  if (error != 0) return Fail(error);
  return REAL(openat)(folder, path, flags, mode);
}

ssize_t write(int fd, const void* data, size_t bytes) {
  const int error = ThePlan().ErrorOfFile("write", fd);
  if (error > 0) return Fail(error);
  return REAL(write)(fd, data, Part(error, bytes));
}

ssize_t pwrite(int fd, const void* data, size_t bytes, off_t offset) {
  const int error = ThePlan().ErrorOfFile("write", fd);
  if (error > 0) return Fail(error);
  return REAL(pwrite)(fd, data, Part(error, bytes), offset);
}

ssize_t pwrite64(int fd, const void* data, size_t bytes, off64_t offset) {
  const int error = ThePlan().ErrorOfFile("write", fd);
  if (error > 0) return Fail(error);
  return REAL(pwrite64)(fd, data, Part(error, bytes), offset);
}

int fsync(int fd) {
  if (const int error = ThePlan().ErrorOfFile("fsync", fd)) return Fail(error);
  return REAL(fsync)(fd);
}

int fdatasync(int fd) {
  if (const int error = ThePlan().ErrorOfFile("fsync", fd)) return Fail(error);
  return REAL(fdatasync)(fd);
}

int syncfs(int fd) noexcept {
  if (const int error = ThePlan().ErrorOfFile("syncfs", fd)) return Fail(error);
  return REAL(syncfs)(fd);
}

int ftruncate(int fd, off_t size) noexcept {
  if (const int error = ThePlan().ErrorOfFile("ftruncate", fd)) {
    return Fail(error);
  }
  return REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size) noexcept {
  if (const int error = ThePlan().ErrorOfFile("ftruncate", fd)) {
    return Fail(error);
  }
  return REAL(ftruncate64)(fd, size);
}

int rename(const char* from, const char* to) noexcept {
  if (const int error = ThePlan().Error("rename", from)) return Fail(error);
  return REAL(rename)(from, to);
}

int mkdir(const char* path, mode_t mode) noexcept {
  if (const int error = ThePlan().Error("mkdir", path)) return Fail(error);
  return REAL(mkdir)(path, mode);
}

int pipe2(int* ends, int flags) noexcept {
  if (const int error = ThePlan().Error("pipe2", nullptr)) return Fail(error);
  return REAL(pipe2)(ends, flags);
}

int posix_spawn(pid_t* pid, const char* path,
                const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const* arguments,
                char* const* environment) {
  if (const int error = ThePlan().Error("posix_spawn", nullptr)) return error;
  return REAL(posix_spawn)(pid, path, actions, attributes, arguments,
                           environment);
}

}  // extern "C"
