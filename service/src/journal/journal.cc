#include "journal/journal.h"

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace containerbuilder::service {
namespace {

constexpr std::size_t kLengthBytes = 4;

std::string Frame(const v1::BuildEvent& event) {
  const std::size_t bytes = event.ByteSizeLong();
  std::string frame(kLengthBytes + bytes, '\0');
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    frame[i] = static_cast<char>(bytes >> (8 * i));
  }
  event.SerializeToArray(frame.data() + kLengthBytes, static_cast<int>(bytes));
  return frame;
}

absl::Status WriteError(int error) {
  const std::string message =
      absl::StrCat("writing the build's log: ", std::strerror(error));
  return error == ENOSPC || error == EDQUOT
             ? absl::ResourceExhaustedError(message)
             : absl::InternalError(message);
}

// Reads exactly `bytes`: readers only look at what is wholly written.
absl::Status ReadExactly(int fd, char* data, std::size_t bytes,
                         std::int64_t offset) {
  while (bytes > 0) {
    const ssize_t got = pread(fd, data, bytes, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return absl::DataLossError(absl::StrCat(
          "reading the build's log at byte ", offset, ": ",
          got == 0 ? "it is shorter than it was" : std::strerror(errno)));
    }
    data += got;
    offset += got;
    bytes -= got;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<Journal>> Journal::Create(
    const std::string& path) {
  const int fd = open(path.c_str(),
                      O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return errno == ENOSPC || errno == EDQUOT
               ? WriteError(errno)
               : absl::ErrnoToStatus(errno, absl::StrCat("creating ", path));
  }
  return std::shared_ptr<Journal>(new Journal(fd));
}

Journal::~Journal() { close(fd_); }

absl::Status Journal::Append(v1::BuildEvent& event) {
  absl::MutexLock lock(&writer_);
  if (!failed_.ok()) return failed_;
  event.set_sequence(last_sequence() + 1);
  const std::string frame = Frame(event);
  failed_ = Write(frame);
  if (!failed_.ok()) return failed_;
  Publish(static_cast<std::int64_t>(frame.size()), std::nullopt);
  return absl::OkStatus();
}

void Journal::Finish(v1::BuildEvent& event) {
  absl::MutexLock lock(&writer_);
  event.set_sequence(last_sequence() + 1);
  const std::string frame = Frame(event);
  if (failed_.ok()) failed_ = Write(frame);
  // Readers get it from memory either way, so the file's size stays behind it.
  Publish(0, event);
}

absl::Status Journal::Write(const std::string& frame) {
  std::int64_t begin = 0;
  {
    absl::MutexLock lock(&mutex_);
    begin = size_;
  }
  std::size_t done = 0;
  while (done < frame.size()) {
    const ssize_t put = pwrite(fd_, frame.data() + done, frame.size() - done,
                               begin + static_cast<std::int64_t>(done));
    if (put < 0 && errno == EINTR) continue;
    // A part of a frame that stays behind is out of every reader's sight.
    if (put < 0) return WriteError(errno);
    done += static_cast<std::size_t>(put);
  }
  return absl::OkStatus();
}

void Journal::Publish(std::int64_t bytes, std::optional<v1::BuildEvent> last) {
  std::vector<std::function<void()>> wakes;
  {
    absl::MutexLock lock(&mutex_);
    size_ += bytes;
    ++last_sequence_;
    if (last) last_ = std::move(last);
    wakes.swap(wakes_);
  }
  for (const std::function<void()>& wake : wakes) wake();
}

std::int64_t Journal::last_sequence() const {
  absl::MutexLock lock(&mutex_);
  return last_sequence_;
}

absl::StatusOr<std::optional<v1::BuildEvent>> Journal::Read(
    Cursor& cursor) const {
  if (cursor.at_end_) return std::nullopt;
  {
    absl::MutexLock lock(&mutex_);
    if (cursor.offset_ == size_) {
      cursor.at_end_ = last_.has_value();
      return last_;
    }
  }
  char length[kLengthBytes];
  if (absl::Status read =
          ReadExactly(fd_, length, kLengthBytes, cursor.offset_);
      !read.ok()) {
    return read;
  }
  std::uint32_t bytes = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    bytes |= static_cast<std::uint32_t>(static_cast<unsigned char>(length[i]))
             << (8 * i);
  }
  std::string data(bytes, '\0');
  if (absl::Status read =
          ReadExactly(fd_, data.data(), data.size(),
                      cursor.offset_ + std::int64_t{kLengthBytes});
      !read.ok()) {
    return read;
  }
  v1::BuildEvent event;
  if (!event.ParseFromString(data)) {
    return absl::DataLossError(absl::StrCat("reading the build's log at byte ",
                                            cursor.offset_, ": no event"));
  }
  cursor.offset_ += std::int64_t{kLengthBytes} + bytes;
  return event;
}

bool Journal::WakeOnce(const Cursor& cursor, std::function<void()> wake) {
  absl::MutexLock lock(&mutex_);
  if (cursor.at_end_ || cursor.offset_ != size_ || last_.has_value()) {
    return false;
  }
  wakes_.push_back(std::move(wake));
  return true;
}

}  // namespace containerbuilder::service
