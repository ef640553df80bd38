#include "artifact_download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "archive_unpack.h"
#include "retry.h"
#include "sha256.h"
#include "unique_fd.h"

namespace containerbuilder::client {
namespace {

absl::Status FileError(const std::string& path, int error) {
  const std::string text = absl::StrCat(
      "cannot write \"", path, "\": ", std::generic_category().message(error));
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(text);
  }
  if (error == EACCES || error == EPERM || error == EROFS) {
    return absl::PermissionDeniedError(text);
  }
  return absl::InvalidArgumentError(text);
}

absl::Status Stopped() {
  return absl::CancelledError("the download was stopped");
}

absl::Status WriteAll(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError(path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return absl::OkStatus();
}

// A new file beside `path`, which is gone with this unless it was put into its
// place. It has no name before that, where the file system knows such files: so
// it is gone with the process, too. Elsewhere its name is gone once a stop was
// requested: who did that may end the process then.
class TemporaryFile {
 public:
  TemporaryFile(std::string path, Platform& platform,
                const std::stop_token& stop)
      : path_(std::move(path)),
        temporary_(absl::StrFormat("%s.%016x", path_, platform.Random())),
        on_stop_(stop, [this] { Stop(); }) {
    const std::lock_guard lock(mutex_);
    if (is_stopped_) {
      status_ = Stopped();
      return;
    }
    fd_ = UniqueFd(
        ::open(FolderOf(path_).c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0666));
    if (fd_.valid()) return;
    fd_ = UniqueFd(::open(temporary_.c_str(),
                          O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                          0666));
    is_named_ = fd_.valid();
    if (!fd_.valid()) status_ = FileError(path_, errno);
  }
  ~TemporaryFile() {
    const std::lock_guard lock(mutex_);
    RemoveName();
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const absl::Status& status() const { return status_; }
  int fd() const { return fd_.get(); }
  absl::Status Write(std::string_view bytes) const {
    return WriteAll(fd_.get(), path_, bytes);
  }
  absl::Status PutIntoPlace() {
    const std::lock_guard lock(mutex_);
    if (is_stopped_) return Stopped();
    if (!is_named_) {
      const std::string unnamed = absl::StrCat("/proc/self/fd/", fd_.get());
      if (::linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, temporary_.c_str(),
                   AT_SYMLINK_FOLLOW) != 0) {
        return FileError(path_, errno);
      }
      is_named_ = true;
    }
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
      return FileError(path_, errno);
    }
    is_named_ = false;
    return absl::OkStatus();
  }

 private:
  void Stop() {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
    RemoveName();
  }
  void RemoveName() {
    if (is_named_) ::unlink(temporary_.c_str());
    is_named_ = false;
  }
  static std::string FolderOf(const std::string& path) {
    const auto folder = std::filesystem::path(path).parent_path();
    return folder.empty() ? "." : folder.string();
  }

  const std::string path_;
  const std::string temporary_;
  UniqueFd fd_;
  absl::Status status_;
  std::mutex mutex_;
  bool is_named_ = false;  // `temporary_` is there
  bool is_stopped_ = false;
  // The last, so that it is over before the others go.
  const std::stop_callback<std::function<void()>> on_stop_;
};

// The file that `path` names, through links; itself where there is none.
std::string Resolved(const std::string& path) {
  std::error_code error;
  const auto resolved = std::filesystem::canonical(path, error);
  return error ? path : resolved.string();
}

// Whether it is there and no regular file: a pipe or a device, which is written
// to and never replaced.
bool IsSpecial(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
}

}  // namespace

absl::Status DownloadBytes(Connection& connection, Platform& platform,
                           absl::Duration limit, const v1::Artifact& artifact,
                           const ByteSink& sink,
                           const DownloadOptions& options) {
  absl::Notification interrupt;
  const std::stop_callback stopped(options.stop,
                                   [&interrupt] { interrupt.Notify(); });
  Sha256 sha256;
  std::int64_t offset = 0;
  std::optional<Retry> retry;
  while (true) {
    v1::DownloadArtifactRequest request;
    request.set_name(artifact.name());
    request.set_offset(offset);
    const std::unique_ptr<ArtifactCall> call =
        connection.DownloadArtifact(request);
    const std::stop_callback stop(options.stop, [&call] { call->Cancel(); });
    while (const auto piece = call->Next()) {
      if (piece->offset() != offset ||
          static_cast<std::int64_t>(piece->data().size()) >
              artifact.size_bytes() - offset) {
        return absl::DataLossError(
            absl::StrCat("the service sent other bytes of ", artifact.name(),
                         " than were to come"));
      }
      sha256.Update(piece->data());
      absl::Status written = sink(piece->data());
      if (!written.ok()) return written;
      offset += static_cast<std::int64_t>(piece->data().size());
      if (!piece->data().empty()) retry.reset();
      if (options.progress) options.progress(offset, artifact.size_bytes());
    }
    absl::Status end = call->Finish();
    if (options.stop.stop_requested()) return Stopped();
    if (offset == artifact.size_bytes()) break;
    if (end.ok()) end = absl::UnavailableError("the download ended early");
    if (!MayTransferGoOn(end)) return end;
    if (!retry.has_value()) retry.emplace(platform, limit);
    if (!retry->Wait(end, interrupt)) return end;
  }
  if (sha256.Digest() != artifact.digest()) {
    return absl::DataLossError(absl::StrCat(
        artifact.name(), " is not what the build made: its digest differs"));
  }
  return absl::OkStatus();
}

absl::Status DownloadToPath(Connection& connection, Platform& platform,
                            absl::Duration limit, const v1::Artifact& artifact,
                            const std::string& path,
                            const DownloadOptions& options) {
  const bool is_folder = artifact.kind() == v1::Artifact::KIND_FOLDER;
  const std::string place = Resolved(path);
  if (!is_folder && IsSpecial(place)) {
    const UniqueFd fd(::open(place.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd.valid()) return FileError(path, errno);
    return DownloadBytes(
        connection, platform, limit, artifact,
        [&](std::string_view bytes) { return WriteAll(fd.get(), path, bytes); },
        options);
  }
  if (is_folder) {
    std::error_code error;
    std::filesystem::create_directories(place, error);
    if (error) return FileError(path, error.value());
  }
  TemporaryFile file(is_folder ? absl::StrCat(place, "/.download") : place,
                     platform, options.stop);
  if (!file.status().ok()) return file.status();
  absl::Status status = DownloadBytes(
      connection, platform, limit, artifact,
      [&file](std::string_view bytes) { return file.Write(bytes); }, options);
  if (!status.ok()) return status;
  if (!is_folder) return file.PutIntoPlace();
  if (::lseek(file.fd(), 0, SEEK_SET) != 0) return FileError(path, errno);
  return UnpackArchive(file.fd(), place, {.stop = options.stop});
}

}  // namespace containerbuilder::client
