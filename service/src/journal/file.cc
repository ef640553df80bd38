#include "journal/file.h"

#include <fcntl.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace containerbuilder::service {
namespace {

absl::Status Error(int error, absl::string_view verb, absl::string_view name) {
  const std::string message = absl::StrCat(
      verb, " ", name, ": ", std::generic_category().message(error));
  return error == ENOSPC || error == EDQUOT
             ? absl::ResourceExhaustedError(message)
             : absl::InternalError(message);
}

template <typename Call>
auto RetryOnSignal(Call call) {
  auto answer = call();
  while (answer < 0 && errno == EINTR) answer = call();
  return answer;
}

}  // namespace

absl::StatusOr<File> File::Open(std::shared_ptr<SystemCalls> system,
                                const std::string& path, std::string name,
                                int flags) {
  const int fd = RetryOnSignal([&] {
    return system->Open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600);
  });
  if (fd >= 0) return File(std::move(system), std::move(name), fd);
  const int error = errno;
  return error == ENOSPC || error == EDQUOT
             ? Error(error, "opening", name)
             : absl::ErrnoToStatus(error, absl::StrCat("opening ", name));
}

File::File(std::shared_ptr<SystemCalls> system, std::string name, int fd)
    : system_(std::move(system)), name_(std::move(name)), fd_(fd) {}

File::File(File&& other) noexcept
    : system_(std::move(other.system_)),
      name_(std::move(other.name_)),
      fd_(std::exchange(other.fd_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(system_, other.system_);
  std::swap(name_, other.name_);
  std::swap(fd_, other.fd_);
  return *this;
}

File::~File() {
  if (fd_ >= 0) system_->Close(fd_);
}

absl::StatusOr<std::size_t> File::ReadAt(std::int64_t offset, char* data,
                                         std::size_t bytes) const {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t got = RetryOnSignal([&] {
      return system_->Pread(fd_, data + done, bytes - done,
                            offset + static_cast<std::int64_t>(done));
    });
    if (got < 0) return Error(errno, "reading", name_);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

absl::Status File::WriteAt(std::int64_t offset, absl::string_view data) const {
  while (!data.empty()) {
    const ssize_t put = RetryOnSignal(
        [&] { return system_->Pwrite(fd_, data.data(), data.size(), offset); });
    if (put <= 0) return Error(put < 0 ? errno : EIO, "writing", name_);
    data.remove_prefix(static_cast<std::size_t>(put));
    offset += put;
  }
  return absl::OkStatus();
}

absl::Status File::SyncData() const {
  if (RetryOnSignal([&] { return system_->Fdatasync(fd_); }) != 0) {
    return Error(errno, "syncing", name_);
  }
  return absl::OkStatus();
}

absl::Status File::SyncAll() const {
  if (RetryOnSignal([&] { return system_->Fsync(fd_); }) != 0) {
    return Error(errno, "syncing", name_);
  }
  return absl::OkStatus();
}

absl::Status File::Truncate(std::int64_t size) const {
  if (RetryOnSignal([&] { return system_->Ftruncate(fd_, size); }) != 0) {
    return Error(errno, "cutting", name_);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::int64_t> File::Size() const {
  const off_t size = RetryOnSignal([&] { return system_->Size(fd_); });
  if (size < 0) return Error(errno, "looking at", name_);
  return size;
}

absl::Status SyncFolder(std::shared_ptr<SystemCalls> system,
                        const std::string& path, const std::string& name) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const File folder,
      File::Open(std::move(system), path, name, O_RDONLY | O_DIRECTORY));
  return folder.SyncAll();
}

}  // namespace containerbuilder::service
