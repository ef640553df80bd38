#include "archive_unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "read_wait.h"

namespace containerbuilder::client {
namespace {

constexpr std::size_t kBlockSize = 64 * 1024;
constexpr int kFlags = ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
                       ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                       ARCHIVE_EXTRACT_SECURE_NODOTDOT;

struct Free {
  void operator()(archive* handle) const { archive_free(handle); }
};
using Handle = std::unique_ptr<archive, Free>;

// Names are bytes: in this locale libarchive leaves them alone.
class BytesLocale {
 public:
  BytesLocale()
      : locale_(::newlocale(LC_ALL_MASK, "C", nullptr)),
        before_(::uselocale(locale_)) {}
  ~BytesLocale() {
    ::uselocale(before_);
    ::freelocale(locale_);
  }
  BytesLocale(const BytesLocale&) = delete;
  BytesLocale& operator=(const BytesLocale&) = delete;

 private:
  const locale_t locale_;
  const locale_t before_;
};

absl::Status ArchiveError(archive* handle, absl::string_view what) {
  const char* text = archive_error_string(handle);
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": ", text == nullptr ? "unknown error" : text));
}

absl::Status EntryError(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("the archive's entry \"", name, "\" ", what));
}

absl::Status Stopped() { return absl::CancelledError("unpacking was stopped"); }

bool IsFatal(int result) {
  return result != ARCHIVE_OK && result != ARCHIVE_WARN;
}

bool LeadsOut(std::string_view name) {
  if (name.starts_with('/')) return true;
  while (!name.empty()) {
    const std::string_view part = name.substr(0, name.find('/'));
    if (part == "..") return true;
    name.remove_prefix(std::min(part.size() + 1, name.size()));
  }
  return false;
}

bool NamesRoot(std::string_view name) {
  while (!name.empty()) {
    const std::string_view part = name.substr(0, name.find('/'));
    if (!part.empty() && part != ".") return false;
    name.remove_prefix(std::min(part.size() + 1, name.size()));
  }
  return true;
}

// An archive's bytes, until it is to stop.
class Source {
 public:
  Source(int fd, const ReadWait& wait)
      : fd_(fd), wait_(wait), block_(kBlockSize) {}

  // For libarchive.
  static la_ssize_t Read(archive* handle, void* source, const void** block) {
    auto& self = *static_cast<Source*>(source);
    *block = self.block_.data();
    while (self.wait_.Wait()) {
      const ssize_t count =
          ::read(self.fd_, self.block_.data(), self.block_.size());
      if (count >= 0) return count;
      if (errno == EINTR || errno == EAGAIN) continue;
      archive_set_error(handle, errno, "%s",
                        std::generic_category().message(errno).c_str());
      return -1;
    }
    archive_set_error(handle, ECANCELED, "stopped");
    return -1;
  }

 private:
  const int fd_;
  const ReadWait& wait_;
  std::vector<char> block_;
};

class Unpacker {
 public:
  Unpacker(int fd, const ReadWait& wait, std::string folder,
           const UnpackOptions& options)
      : folder_(std::move(folder)), options_(options), source_(fd, wait) {}

  absl::Status Run() {
    archive_read_support_format_tar(in_.get());
    if (options_.allow_compressed) {
      archive_read_support_filter_gzip(in_.get());
      archive_read_support_filter_bzip2(in_.get());
      archive_read_support_filter_xz(in_.get());
      archive_read_support_filter_zstd(in_.get());
    }
    archive_write_disk_set_options(out_.get(), kFlags);
    if (IsFatal(archive_read_open(in_.get(), &source_, nullptr, Source::Read,
                                  nullptr))) {
      return ArchiveError(in_.get(), "not a tar archive");
    }
    while (true) {
      if (options_.stop.stop_requested()) return Stopped();
      archive_entry* entry = nullptr;
      const int result = archive_read_next_header(in_.get(), &entry);
      if (result == ARCHIVE_EOF) break;
      if (IsFatal(result)) {
        return ArchiveError(in_.get(), "cannot read the archive");
      }
      absl::Status status = Unpack(entry);
      if (!status.ok()) return status;
    }
    // Folders get their times and modes only now.
    if (IsFatal(archive_write_close(out_.get()))) {
      return ArchiveError(out_.get(), "cannot unpack the archive");
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Unpack(archive_entry* entry) {
    const char* path = archive_entry_pathname(entry);
    if (path == nullptr) return EntryError("", "has no name");
    const std::string name = path;
    if (++entries_ > options_.max_entries) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the archive has more than ", options_.max_entries, " entries"));
    }
    if (LeadsOut(name)) return EntryError(name, "leads out of the folder");
    // The folder is the caller's, and so are its mode and times.
    if (NamesRoot(name)) return absl::OkStatus();
    if (const char* target = archive_entry_hardlink(entry)) {
      const std::string linked = target;
      if (LeadsOut(linked)) return EntryError(name, "leads out of the folder");
      archive_entry_copy_hardlink(entry,
                                  absl::StrCat(folder_, "/", linked).c_str());
    } else {
      const auto type = archive_entry_filetype(entry);
      if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK) {
        return EntryError(name, "is a device or a pipe");
      }
    }
    archive_entry_copy_pathname(entry,
                                absl::StrCat(folder_, "/", name).c_str());
    archive_entry_set_perm(entry, archive_entry_perm(entry) & 01777);
    if (IsFatal(archive_write_header(out_.get(), entry))) {
      return ArchiveError(out_.get(), absl::StrCat("cannot unpack ", name));
    }
    return CopyData(name);
  }

  absl::Status CopyData(const std::string& name) {
    while (true) {
      if (options_.stop.stop_requested()) return Stopped();
      const void* block = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      const int result =
          archive_read_data_block(in_.get(), &block, &size, &offset);
      if (result == ARCHIVE_EOF) break;
      if (IsFatal(result)) {
        return ArchiveError(in_.get(), "cannot read the archive");
      }
      bytes_ += static_cast<std::int64_t>(size);
      if (bytes_ > options_.max_bytes) {
        return absl::ResourceExhaustedError(absl::StrCat(
            "the archive unpacks to more than ", options_.max_bytes, " bytes"));
      }
      if (archive_write_data_block(out_.get(), block, size, offset) < 0) {
        return ArchiveError(out_.get(), absl::StrCat("cannot unpack ", name));
      }
    }
    if (IsFatal(archive_write_finish_entry(out_.get()))) {
      return ArchiveError(out_.get(), absl::StrCat("cannot unpack ", name));
    }
    return absl::OkStatus();
  }

  const std::string folder_;
  const UnpackOptions& options_;
  Source source_;
  const Handle in_{archive_read_new()};
  const Handle out_{archive_write_disk_new()};
  std::int64_t entries_ = 0;
  std::int64_t bytes_ = 0;
};

}  // namespace

absl::Status UnpackArchive(int archive, const std::string& folder,
                           const UnpackOptions& options) {
  const BytesLocale locale;
  // libarchive refuses links anywhere in a path.
  std::error_code error;
  const auto real = std::filesystem::canonical(folder, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot unpack to \"", folder, "\": ", error.message()));
  }
  const auto wait = ReadWait::Create(archive, options.stop);
  if (!wait.ok()) return wait.status();
  absl::Status status = Unpacker(archive, **wait, real.string(), options).Run();
  // That it was stopped may have come as an error of the archive's.
  if (!status.ok() && options.stop.stop_requested()) return Stopped();
  return status;
}

}  // namespace containerbuilder::client
