#ifndef CONTAINERBUILDER_JOURNAL_JOURNAL_H_
#define CONTAINERBUILDER_JOURNAL_JOURNAL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/disk_reserve.h"
#include "base/executor.h"
#include "base/limits.h"
#include "containerbuilder/v1/container_builder.pb.h"
#include "journal/file.h"
#include "journal/format.h"
#include "journal/sync_file.h"
#include "journal/system_calls.h"

namespace containerbuilder::service {

// One build's events, written once to an append-only file and read by any
// number of watchers, each at its own pace with its own cursor. A watcher that
// lags costs nothing but its cursor: what it has not read is on disk.
//
// Two files in the build's folder, laid out as format.h says: `journal` holds
// the events, and `journal.sync` how much of them is known to be on disk. What
// is lost or changed of that is DATA_LOSS with the place; what comes after it
// may be lost when the machine crashes, never when this process does.
//
// Events can be read as soon as they are written to the file, state changes as
// soon as they are on disk. What cannot be put on disk once is never tried
// again: the kernel has let go of it. Thread-safe; all calls but the accessors
// may block for the disk, and readers are never kept waiting by the writer.
class Journal : public std::enable_shared_from_this<Journal> {
 public:
  struct Options {
    // Where output is synced in the background; must outlive the journal. Null:
    // output is synced with the next state change.
    Executor* executor = nullptr;
    absl::Duration sync_interval = limits::kJournalSyncInterval;
    std::int64_t sync_bytes = limits::kJournalSyncBytes;
    // Given back to the disk where Finish or Recover needs it; may be null,
    // must outlive the journal.
    DiskReserve* reserve = nullptr;
    std::shared_ptr<SystemCalls> system = std::make_shared<SystemCalls>();
  };

  // An event, shared by all who read it.
  struct Entry {
    std::int64_t sequence = 0;
    bool last = false;
    std::shared_ptr<const std::string> event;  // a serialized v1::BuildEvent
  };

  // A place between two events; begins before the first.
  class Cursor {
   public:
    Cursor() = default;
    // Of the event before it; 0 at the beginning.
    std::int64_t sequence() const { return sequence_; }

   private:
    friend class Journal;
    Cursor(std::int64_t offset, std::int64_t sequence, bool at_end)
        : offset_(offset), sequence_(sequence), at_end_(at_end) {}
    std::int64_t offset_ = kFileHeaderBytes;
    std::int64_t sequence_ = 0;
    bool at_end_ = false;  // the last event is before it
  };

  struct Recovery;
  // Is shown each event once, in order: its sequence and the serialized
  // v1::BuildEvent.
  using Visitor =
      std::function<void(std::int64_t sequence, absl::string_view event)>;

  // Makes the files of a new build in `folder`, which must exist and hold none;
  // `build_name`, such as `builds/{id}`, is what only that build is called.
  // `admission` is for whoever recovers the build. All of that, the folder's
  // name included, is on disk when this returns OK; else the files are gone.
  // ALREADY_EXISTS; RESOURCE_EXHAUSTED where the disk is full.
  static absl::StatusOr<std::shared_ptr<Journal>> Create(
      const std::string& folder, const std::string& build_name,
      absl::string_view admission, Options options);

  // Opens the journal of a build that may not have ended, reads all of it, and
  // makes it ready for more. Bytes at the end that were never known to be on
  // disk and are no events are cut off, after a copy was put beside the file
  // as `journal.torn-{offset}`; no others are touched. What was read is on
  // disk when this returns.
  //
  // Damage is no error of this call, but told in the answer; the journal takes
  // no more events then. NOT_FOUND; FAILED_PRECONDITION where a newer version
  // wrote it; DATA_LOSS where not even the file's header is left.
  static absl::StatusOr<Recovery> Recover(const std::string& folder,
                                          const std::string& build_name,
                                          Options options,
                                          const Visitor& visit = nullptr);

  // Opens the journal of a build that has ended, for readers. Reads little of
  // it: damage is found when it is read. Errors as above.
  static absl::StatusOr<std::shared_ptr<Journal>> Open(
      const std::string& folder, const std::string& build_name,
      std::shared_ptr<SystemCalls> system = std::make_shared<SystemCalls>());

  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  // Events that are not on disk yet are left to the kernel.
  ~Journal() = default;

  // Each numbers `event` and writes it, and where it fails nobody ever reads
  // it. RESOURCE_EXHAUSTED where the disk is full, INTERNAL where it fails; the
  // journal takes only Finish then, and answers the same error to the rest.
  // FAILED_PRECONDITION after the last event.

  // Output: every watcher can read it when this returns OK, and it is on disk a
  // little later.
  absl::Status Append(v1::BuildEvent& event);
  // A state change: on disk when this returns OK, and seen by nobody before.
  absl::Status AppendSynced(v1::BuildEvent& event);
  // The last event, on disk when this returns OK; for it the disk reserve is
  // given back. Where the disk does not take it, `amend` may say so in it, and
  // it is kept in memory and read from there, so that a watcher always gets an
  // end; the error is answered. In a damaged or closed journal it has no
  // effect.
  using Amend =
      std::function<void(const absl::Status& error, v1::BuildEvent& event)>;
  absl::Status Finish(v1::BuildEvent& event, const Amend& amend = nullptr);

  // There will be no more events in this process: `why`, an error, is answered
  // to whoever has read all that there is, or wants to append. Has no effect
  // after the last event.
  void Close(const absl::Status& why);

  // Why the journal takes no more events, or OK.
  absl::Status status() const;
  // Of the newest event; 0 before the first.
  std::int64_t last_sequence() const;
  // Of the file, as far as it can be read.
  std::int64_t size_bytes() const;
  // Records of a kind that this version does not know, each time that one was
  // passed over.
  std::int64_t unknown_records() const { return unknown_records_; }

  // What was given to Create.
  absl::StatusOr<std::string> Admission() const;

  // The next event for this cursor; nothing where there is none yet, or no
  // more. DATA_LOSS with the file and the byte where it cannot be read; the
  // cursor stays. What Close was given, at the end.
  absl::StatusOr<std::optional<Entry>> Read(Cursor& cursor) const;

  // The cursor behind an event, 0 being the beginning. Reads little of the
  // file. OUT_OF_RANGE where there is no such event; DATA_LOSS where it cannot
  // be found for damage.
  absl::StatusOr<Cursor> After(std::int64_t sequence) const;

  // The cursor is behind the last event there will ever be.
  static bool AtEnd(const Cursor& cursor) { return cursor.at_end_; }

  // Calls `wake` once, on a thread that appends or closes, when there is
  // something to read for this cursor, be it an error; false where there is
  // already or will never be, and `wake` is dropped. So it is where its owner
  // is gone; through the call the owner is kept.
  bool WakeOnce(const Cursor& cursor, std::weak_ptr<void> owner,
                std::function<void()> wake);

 private:
  struct Wake {
    std::weak_ptr<void> owner;
    std::function<void()> wake;
  };

  // So many are not worth a look for those whose owners are gone.
  static constexpr std::size_t kFewWakes = 16;

  struct Recent {
    Entry entry;
    std::int64_t end = 0;  // in the file
  };

  // The next event, and how it is written.
  struct Frame {
    Entry entry;
    std::string bytes;
    Mark mark;  // behind it
  };

  Journal(const std::string& build_name, Options options, File file,
          std::optional<SyncFile> sync_file);

  // The parts of Recover and Open, while nobody else knows of the journal.
  struct Scan;
  absl::Status Load(const std::string& folder, std::int64_t size,
                    const Visitor& visit, Recovery& recovery);
  Scan ScanAll(const Visitor& visit, std::int64_t size) const;
  // Makes what can be read of a damaged journal readable.
  void TakeDamaged(std::int64_t size, const Mark& readable, Recovery& recovery);
  // Cuts what is behind tail_, and has the rest and its mark on disk.
  absl::Status Repair(const std::string& folder, std::int64_t size,
                      bool cut_marks, std::vector<std::string>& repairs);
  // Copies a part of the file into one beside it, and answers its name.
  absl::StatusOr<std::string> KeepTail(const std::string& folder,
                                       std::int64_t begin,
                                       std::int64_t end) const;
  // Finds the end of an ended build's journal by the marks: `tail` is behind
  // the last frame that can be read; DATA_LOSS where that is not the last
  // event.
  absl::Status FindTail(std::int64_t size, Mark& tail) const;

  absl::Status Add(v1::BuildEvent& event, bool sync)
      ABSL_LOCKS_EXCLUDED(writer_);
  absl::StatusOr<Frame> Encode(v1::BuildEvent& event, bool last) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_);
  // Where it fails, nothing of the frame is left.
  absl::Status WriteFrame(const Frame& frame, bool sync, DiskReserve* reserve)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_);
  // Lets readers see an event; `mark` is behind it where it is in the file.
  // Answers whom to wake.
  std::vector<Wake> Publish(Entry entry, std::optional<Mark> mark)
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<Wake> TakeWakes() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void CallAll(const std::vector<Wake>& wakes);
  // Takes no more events; `for_good`: not the last one either.
  void Fail(const absl::Status& error, bool for_good)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Has the file on disk as far as `mark`, and writes that down; durably too
  // where asked.
  absl::Status Sync(const Mark& mark, bool durable, DiskReserve* reserve)
      ABSL_LOCKS_EXCLUDED(sync_, mutex_);
  absl::Status SyncLocked(const Mark& mark, bool durable, DiskReserve* reserve)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(sync_) ABSL_LOCKS_EXCLUDED(mutex_);
  void SyncInBackground() ABSL_LOCKS_EXCLUDED(sync_, mutex_);
  void PlanSync() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // What end_, which is set, means to whoever appends.
  absl::Status EndError() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Null where it is not among them.
  const Recent* FindRecent(std::int64_t sequence) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The last place up to the event `sequence` that a mark leads to.
  Mark FindMark(std::int64_t sequence, std::int64_t marks,
                std::int64_t limit) const;

  const Options options_;
  const std::uint32_t seed_;
  const File file_;
  // None where it cannot be used; changed by Recover alone.
  std::optional<SyncFile> sync_file_;
  mutable std::atomic<std::int64_t> unknown_records_ = 0;

  // Held through a write, so that events are numbered in the file's order.
  absl::Mutex writer_ ABSL_ACQUIRED_BEFORE(sync_);
  // Held through a sync: of several at once, only one would be told of an
  // error.
  absl::Mutex sync_ ABSL_ACQUIRED_BEFORE(mutex_);
  // Guards what readers see; never held through a system call.
  mutable absl::Mutex mutex_;
  // Behind the last frame that can be read.
  Mark tail_ ABSL_GUARDED_BY(mutex_);
  // Greater than that of tail_ where the last event is in memory alone.
  std::int64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  // The newest events, the last of them being the newest of all; may be empty.
  std::deque<Recent> recent_ ABSL_GUARDED_BY(mutex_);
  std::size_t recent_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // What is to come behind last_sequence_: nothing where it is set, and OK
  // behind the last event.
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  // Why nothing is appended any more, before the end.
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  bool failed_for_good_ ABSL_GUARDED_BY(mutex_) = false;
  std::int64_t synced_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::int64_t marks_ ABSL_GUARDED_BY(mutex_) = 0;  // places in use
  bool sync_posted_ ABSL_GUARDED_BY(mutex_) = false;
  Executor::Timer sync_timer_ ABSL_GUARDED_BY(mutex_);
  std::vector<Wake> wakes_ ABSL_GUARDED_BY(mutex_);
  // How many wakes_ there are before those without an owner are dropped.
  std::size_t many_wakes_ ABSL_GUARDED_BY(mutex_) = kFewWakes;
};

// What was found of a build after a restart.
struct Journal::Recovery {
  std::shared_ptr<Journal> journal;
  // What was given to Create; nothing where it cannot be read.
  std::optional<std::string> admission;
  // The last event, where the build has ended; found behind damage, too.
  std::optional<Entry> finished;
  // DATA_LOSS with the file and the byte, where something is lost of what was
  // known to be on disk.
  absl::Status damage;
  // What was set right or passed over, for the operator's log.
  std::vector<std::string> repairs;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_JOURNAL_JOURNAL_H_
