#ifndef CONTAINERBUILDER_TESTS_UNIT_JOURNAL_MEMORY_DISK_H_
#define CONTAINERBUILDER_TESTS_UNIT_JOURNAL_MEMORY_DISK_H_

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "journal/system_calls.h"

namespace containerbuilder::service {

// Files in memory: quick, and with a memory of what would survive the loss of
// power. Folders need not be made. Thread-safe.
class MemoryDisk : public SystemCalls {
 public:
  bool Exists(const std::string& path) {
    const std::lock_guard lock(mutex_);
    return files_.count(path) != 0;
  }
  std::string Contents(const std::string& path) {
    const std::lock_guard lock(mutex_);
    const auto file = files_.find(path);
    return file == files_.end() ? "" : file->second->data;
  }
  void Put(const std::string& path, const std::string& data) {
    const std::lock_guard lock(mutex_);
    auto file = std::make_shared<Contained>();
    file->data = data;
    file->durable = data;
    file->named = true;
    files_[path] = std::move(file);
  }
  void Remove(const std::string& path) { Unlink(path.c_str()); }
  void Clear() {
    const std::lock_guard lock(mutex_);
    files_.clear();
  }
  std::size_t open_files() {
    const std::lock_guard lock(mutex_);
    return open_.size();
  }

  // What may be left of all this when the power fails now: what was synced,
  // and of what was done since then any part, in any order.
  std::map<std::string, std::string> AfterPowerLoss(std::mt19937& random) {
    const std::lock_guard lock(mutex_);
    const auto one_of = [&random](std::size_t count) {
      return std::uniform_int_distribution<std::size_t>(0, count - 1)(random);
    };
    std::map<std::string, std::string> left;
    for (const auto& [path, file] : files_) {
      if (!file->named && one_of(2) == 0) continue;
      std::string data = file->durable;
      for (const Change& change : file->changes) {
        if (one_of(3) == 0) continue;
        if (change.data.empty()) {
          data.resize(change.offset);
          continue;
        }
        const std::size_t bytes = one_of(3) == 0
                                      ? one_of(change.data.size() + 1)
                                      : change.data.size();
        if (data.size() < change.offset + bytes) {
          data.resize(change.offset + bytes);
        }
        data.replace(change.offset, bytes, change.data, 0, bytes);
      }
      left[path] = std::move(data);
    }
    return left;
  }

  int Open(const char* path, int flags, mode_t /*mode*/) override {
    const std::lock_guard lock(mutex_);
    if ((flags & O_DIRECTORY) != 0) {
      open_[next_fd_] = nullptr;
      return next_fd_++;
    }
    const auto found = files_.find(path);
    std::shared_ptr<Contained> file;
    if (found == files_.end()) {
      if ((flags & O_CREAT) == 0) return Fail(ENOENT);
      file = files_[path] = std::make_shared<Contained>();
    } else {
      if ((flags & O_EXCL) != 0) return Fail(EEXIST);
      file = found->second;
      if ((flags & O_TRUNC) != 0) Resize(*file, 0);
    }
    open_[next_fd_] = std::move(file);
    return next_fd_++;
  }

  int Close(int fd) override {
    const std::lock_guard lock(mutex_);
    return open_.erase(fd) == 1 ? 0 : Fail(EBADF);
  }

  ssize_t Pread(int fd, char* data, std::size_t bytes, off_t offset) override {
    const std::lock_guard lock(mutex_);
    const Contained& file = *open_.at(fd);
    const auto begin = static_cast<std::size_t>(offset);
    if (begin >= file.data.size()) return 0;
    bytes = std::min(bytes, file.data.size() - begin);
    std::memcpy(data, file.data.data() + begin, bytes);
    return static_cast<ssize_t>(bytes);
  }

  ssize_t Pwrite(int fd, const char* data, std::size_t bytes,
                 off_t offset) override {
    const std::lock_guard lock(mutex_);
    Contained& file = *open_.at(fd);
    const auto begin = static_cast<std::size_t>(offset);
    if (file.data.size() < begin + bytes) file.data.resize(begin + bytes);
    file.data.replace(begin, bytes, data, bytes);
    file.changes.push_back({begin, std::string(data, bytes)});
    return static_cast<ssize_t>(bytes);
  }

  int Fdatasync(int fd) override { return Fsync(fd); }

  int Fsync(int fd) override {
    const std::lock_guard lock(mutex_);
    const std::shared_ptr<Contained>& file = open_.at(fd);
    if (file == nullptr) {  // a folder
      for (const auto& entry : files_) entry.second->named = true;
    } else {
      file->durable = file->data;
      file->changes.clear();
    }
    return 0;
  }

  int Ftruncate(int fd, off_t size) override {
    const std::lock_guard lock(mutex_);
    Resize(*open_.at(fd), static_cast<std::size_t>(size));
    return 0;
  }

  off_t Size(int fd) override {
    const std::lock_guard lock(mutex_);
    return static_cast<off_t>(open_.at(fd)->data.size());
  }

  int Unlink(const char* path) override {
    const std::lock_guard lock(mutex_);
    return files_.erase(path) == 1 ? 0 : Fail(ENOENT);
  }

 private:
  // A write, or where there is no data a change of size.
  struct Change {
    std::size_t offset = 0;
    std::string data;
  };
  struct Contained {
    std::string data;
    std::string durable;  // as of the last sync
    std::vector<Change> changes;
    bool named = false;  // its name is on disk
  };

  static int Fail(int error) {
    errno = error;
    return -1;
  }
  static void Resize(Contained& file, std::size_t size) {
    file.data.resize(size);
    file.changes.push_back({size, ""});
  }

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Contained>> files_;
  std::map<int, std::shared_ptr<Contained>> open_;
  int next_fd_ = 1000000;  // nobody else's
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_TESTS_UNIT_JOURNAL_MEMORY_DISK_H_
