#ifndef CONTAINERBUILDER_JOURNAL_FILE_H_
#define CONTAINERBUILDER_JOURNAL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "journal/system_calls.h"

namespace containerbuilder::service {

// An open file whose calls do all that is asked or fail: they go on after short
// reads and writes and after signals. What fails for want of space or quota is
// RESOURCE_EXHAUSTED, the rest INTERNAL. Calls that change nothing in this
// object may be made from several threads, and block for the disk.
class File {
 public:
  // As open(2), never following a link and closed on exec; what it makes has
  // mode 0600. `name` stands for it in messages. Other errors of open than
  // those above have the code that is theirs, such as NOT_FOUND.
  static absl::StatusOr<File> Open(std::shared_ptr<SystemCalls> system,
                                   const std::string& path, std::string name,
                                   int flags);
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  // For messages.
  const std::string& name() const { return name_; }

  // Reads what there is of the `bytes` from `offset` on; fewer are read only
  // where the file ends.
  absl::StatusOr<std::size_t> ReadAt(std::int64_t offset, char* data,
                                     std::size_t bytes) const;
  // Where it fails a part may have been written.
  absl::Status WriteAt(std::int64_t offset, absl::string_view data) const;
  // What was written is on disk when it returns OK. After an error it is
  // unknown for good: the kernel reports each loss once.
  absl::Status SyncData() const;
  // That, and what else is known of the file; of a folder, its names.
  absl::Status SyncAll() const;
  absl::Status Truncate(std::int64_t size) const;
  absl::StatusOr<std::int64_t> Size() const;

 private:
  File(std::shared_ptr<SystemCalls> system, std::string name, int fd);

  std::shared_ptr<SystemCalls> system_;
  std::string name_;
  int fd_;
};

// Has the names in a folder on disk.
absl::Status SyncFolder(std::shared_ptr<SystemCalls> system,
                        const std::string& path, const std::string& name);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_JOURNAL_FILE_H_
