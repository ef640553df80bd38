#ifndef CONTAINERBUILDER_JOURNAL_JOURNAL_H_
#define CONTAINERBUILDER_JOURNAL_JOURNAL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// One build's events, written once to an append-only file and read by any
// number of watchers, each at its own pace with its own cursor. A watcher that
// lags costs nothing but its cursor: what it has not read is on disk.
//
// The file holds frames: four bytes of length, little-endian, then that many
// bytes of a serialized v1::BuildEvent. Thread-safe.
class Journal {
 public:
  // A place between two events; begins before the first.
  class Cursor {
   private:
    friend class Journal;
    std::int64_t offset_ = 0;
    bool at_end_ = false;  // the last event has been read
  };

  // Creates the file, mode 0600; it must not exist.
  static absl::StatusOr<std::shared_ptr<Journal>> Create(
      const std::string& path);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal();

  // Numbers `event` and writes it. When this returns OK every watcher can read
  // it. RESOURCE_EXHAUSTED where the disk is full, else INTERNAL; the journal
  // takes only Finish then, and what was written before stays readable.
  absl::Status Append(v1::BuildEvent& event);

  // Numbers and writes the last event. Where the disk does not take it any
  // more, it is kept in memory: a watcher always gets an end.
  void Finish(v1::BuildEvent& event);

  // Of the newest event; 0 before the first.
  std::int64_t last_sequence() const;

  // The next event for this cursor; nothing where there is none yet, or no
  // more. Blocks at most for a read from disk.
  absl::StatusOr<std::optional<v1::BuildEvent>> Read(Cursor& cursor) const;

  // The cursor is behind the last event there will ever be.
  static bool AtEnd(const Cursor& cursor) { return cursor.at_end_; }

  // Calls `wake` once, on the writer's thread, when there is something to read
  // for this cursor; false where there is already, and `wake` is dropped.
  bool WakeOnce(const Cursor& cursor, std::function<void()> wake);

 private:
  explicit Journal(int fd) : fd_(fd) {}
  absl::Status Write(const std::string& frame)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_);
  void Publish(std::int64_t bytes, std::optional<v1::BuildEvent> last)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const int fd_;
  // Held through a write, so that events are numbered in the file's order.
  absl::Mutex writer_ ABSL_ACQUIRED_BEFORE(mutex_);
  absl::Status failed_ ABSL_GUARDED_BY(writer_);
  // Guards what readers see; never held through a system call.
  mutable absl::Mutex mutex_;
  std::int64_t size_ ABSL_GUARDED_BY(mutex_) = 0;
  std::int64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  // The last event; kept so that no reader depends on the disk for its end.
  std::optional<v1::BuildEvent> last_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> wakes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_JOURNAL_JOURNAL_H_
