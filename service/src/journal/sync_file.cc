#include "journal/sync_file.h"

#include <fcntl.h>

#include <utility>

#include "base/status_macros.h"

namespace containerbuilder::service {
namespace {

std::int64_t OffsetOf(std::int64_t place) {
  return std::int64_t{kFileHeaderBytes} + place * std::int64_t{kMarkBytes};
}

}  // namespace

absl::StatusOr<SyncFile> SyncFile::Create(std::shared_ptr<SystemCalls> system,
                                          const std::string& path,
                                          std::string name, std::uint32_t seed,
                                          bool replace) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      File file, File::Open(std::move(system), path, std::move(name),
                            O_CREAT | O_RDWR | (replace ? O_TRUNC : O_EXCL)));
  CONTAINERBUILDER_RETURN_IF_ERROR(
      file.WriteAt(0, EncodeFileHeader(kSyncMagic, seed)));
  return SyncFile(std::move(file), seed, 0);
}

absl::StatusOr<SyncFile> SyncFile::Open(std::shared_ptr<SystemCalls> system,
                                        const std::string& path,
                                        std::string name, std::uint32_t seed,
                                        int flags) {
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      File file, File::Open(std::move(system), path, std::move(name), flags));
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckFileHeader(file, kSyncMagic, seed));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::int64_t size, file.Size());
  const std::int64_t marks = size - std::int64_t{kFileHeaderBytes};
  // A part of a mark is a place too: one that holds none.
  return SyncFile(
      std::move(file), seed,
      (marks + std::int64_t{kMarkBytes} - 1) / std::int64_t{kMarkBytes});
}

SyncFile::SyncFile(File file, std::uint32_t seed, std::int64_t places)
    : file_(std::move(file)), seed_(seed), places_(places) {}

absl::StatusOr<std::optional<Mark>> SyncFile::Read(std::int64_t place) const {
  char bytes[kMarkBytes];
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      const std::size_t got,
      file_.ReadAt(OffsetOf(place), bytes, sizeof(bytes)));
  Mark mark;
  if (!DecodeMark(seed_, OffsetOf(place), absl::string_view(bytes, got),
                  mark)) {
    return std::nullopt;
  }
  return mark;
}

std::optional<std::int64_t> SyncFile::Find(std::int64_t sequence,
                                           std::int64_t places) const {
  std::optional<std::int64_t> found;
  // Marks before `low` are not after `sequence` or cannot be read, those from
  // `high` on are after it.
  std::int64_t low = 0;
  std::int64_t high = places;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    std::int64_t place = middle;
    std::optional<Mark> mark;
    for (; place >= low; --place) {
      const absl::StatusOr<std::optional<Mark>> read = Read(place);
      if (read.ok() && read->has_value()) {
        mark = *read;
        break;
      }
    }
    if (!mark) {
      low = middle + 1;
    } else if (mark->sequence <= sequence) {
      found = place;
      low = middle + 1;
    } else {
      high = place;
    }
  }
  return found;
}

absl::Status SyncFile::Write(std::int64_t place, const Mark& mark) const {
  const std::int64_t offset = OffsetOf(place);
  return file_.WriteAt(offset, EncodeMark(seed_, offset, mark));
}

absl::Status SyncFile::Truncate(std::int64_t places) const {
  return file_.Truncate(OffsetOf(places));
}

}  // namespace containerbuilder::service
