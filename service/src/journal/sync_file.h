#ifndef CONTAINERBUILDER_JOURNAL_SYNC_FILE_H_
#define CONTAINERBUILDER_JOURNAL_SYNC_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "journal/file.h"
#include "journal/format.h"
#include "journal/system_calls.h"

namespace containerbuilder::service {

// The file beside a journal that says how much of it is on disk, and by that
// where its events are: a mark for each time that it was synced, in order.
class SyncFile {
 public:
  // Makes the file; it must not exist, or is emptied where `replace`.
  static absl::StatusOr<SyncFile> Create(std::shared_ptr<SystemCalls> system,
                                         const std::string& path,
                                         std::string name, std::uint32_t seed,
                                         bool replace);
  // Opens it with O_RDONLY or O_RDWR. DATA_LOSS where it is no such file.
  static absl::StatusOr<SyncFile> Open(std::shared_ptr<SystemCalls> system,
                                       const std::string& path,
                                       std::string name, std::uint32_t seed,
                                       int flags);

  // The places for marks when it was opened; not all need to hold one.
  std::int64_t places() const { return places_; }

  // The mark at a place, from 0; nothing where there is none.
  absl::StatusOr<std::optional<Mark>> Read(std::int64_t place) const;

  // Of the marks at the first `places` that can be read, the place of the last
  // one up to `sequence`; nothing where there is none. Reads few of them.
  std::optional<std::int64_t> Find(std::int64_t sequence,
                                   std::int64_t places) const;

  absl::Status Write(std::int64_t place, const Mark& mark) const;
  // Leaves that many places.
  absl::Status Truncate(std::int64_t places) const;
  const File& file() const { return file_; }

 private:
  SyncFile(File file, std::uint32_t seed, std::int64_t places);

  File file_;
  std::uint32_t seed_;
  std::int64_t places_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_JOURNAL_SYNC_FILE_H_
