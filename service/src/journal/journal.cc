#include "journal/journal.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/status_macros.h"

namespace containerbuilder::service {
namespace {

// What a reader of one event reads at least, so that a small one costs one
// call; and what whoever goes through many reads at a time.
constexpr std::size_t kReadBytes = 4 * 1024;
constexpr std::size_t kScanBytes = 64 * 1024;

// Copies of the tails of one journal that are kept at most, should they be cut
// at the same byte.
constexpr int kMaxTornFiles = 100;

const Mark kBeginning = {kFileHeaderBytes, 0, 0};

std::string FileName(const std::string& build_name) {
  return absl::StrCat(build_name, "/journal");
}

std::string SyncFileName(const std::string& name) {
  return absl::StrCat(name, ".sync");
}

// What cannot be read is lost to whoever reads it.
absl::Status AsDataLoss(const absl::Status& error, const std::string& name,
                        std::int64_t offset) {
  if (absl::IsDataLoss(error)) return error;
  return absl::DataLossError(
      absl::StrCat(name, ": byte ", offset, ": ", error.message()));
}

const absl::Status& StatusOf(const absl::Status& status) { return status; }

template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

// What `call` answers; where the disk is full it is called once more, with the
// reserve given back.
template <typename Call>
auto WithReserve(DiskReserve* reserve, Call call) {
  auto answer = call();
  if (reserve == nullptr || !absl::IsResourceExhausted(StatusOf(answer))) {
    return answer;
  }
  reserve->Release();
  return call();
}

}  // namespace

// What a look at all of a file finds.
struct Journal::Scan {
  Mark tail = kBeginning;  // behind the last frame that can be read
  std::optional<std::string> admission;
  std::optional<Entry> finished;
  absl::Status stopped;  // why it went no further, before the file's end
};

absl::StatusOr<std::shared_ptr<Journal>> Journal::Create(
    const std::string& folder, const std::string& build_name,
    absl::string_view admission, Options options) {
  if (admission.size() > limits::kMaxJournalPayloadBytes) {
    return absl::InvalidArgumentError("the build's admission is too large");
  }
  const std::string path = absl::StrCat(folder, "/journal");
  const std::string name = FileName(build_name);
  const std::uint32_t seed = ChecksumSeed(build_name);
  const std::shared_ptr<SystemCalls> system = options.system;
  CONTAINERBUILDER_ASSIGN_OR_RETURN(
      File file, File::Open(system, path, name, O_CREAT | O_EXCL | O_RDWR));

  Mark mark;
  std::optional<SyncFile> sync_file;
  const auto make = [&]() -> absl::Status {
    std::string bytes = EncodeFileHeader(kJournalMagic, seed);
    absl::StrAppend(&bytes,
                    EncodeFrame(seed, kFileHeaderBytes, FrameType::kAdmission,
                                /*last=*/false, /*sequence=*/0, admission));
    mark = {static_cast<std::int64_t>(bytes.size()), 0,
            static_cast<std::uint32_t>(bytes.size() - kFileHeaderBytes)};
    CONTAINERBUILDER_RETURN_IF_ERROR(file.WriteAt(0, bytes));
    CONTAINERBUILDER_RETURN_IF_ERROR(file.SyncAll());
    CONTAINERBUILDER_FAILPOINT("journal-half-made");
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        sync_file,
        SyncFile::Create(system, SyncFileName(path), SyncFileName(name), seed,
                         /*replace=*/true));
    CONTAINERBUILDER_RETURN_IF_ERROR(sync_file->Write(0, mark));
    CONTAINERBUILDER_RETURN_IF_ERROR(sync_file->file().SyncAll());
    CONTAINERBUILDER_RETURN_IF_ERROR(SyncFolder(system, folder, build_name));
    return SyncFolder(system, absl::StrCat(folder, "/.."), build_name);
  };
  if (absl::Status made = make(); !made.ok()) {
    system->Unlink(SyncFileName(path).c_str());
    system->Unlink(path.c_str());
    return made;
  }
  std::shared_ptr<Journal> journal(new Journal(
      build_name, std::move(options), std::move(file), std::move(sync_file)));
  absl::MutexLock lock(&journal->mutex_);
  journal->tail_ = mark;
  journal->synced_bytes_ = mark.offset;
  journal->marks_ = 1;
  return journal;
}

Journal::Journal(const std::string& build_name, Options options, File file,
                 std::optional<SyncFile> sync_file)
    : options_(std::move(options)),
      seed_(ChecksumSeed(build_name)),
      file_(std::move(file)),
      sync_file_(std::move(sync_file)) {}

absl::StatusOr<std::shared_ptr<Journal>> Journal::Open(
    const std::string& folder, const std::string& build_name,
    std::shared_ptr<SystemCalls> system) {
  const std::string path = absl::StrCat(folder, "/journal");
  const std::string name = FileName(build_name);
  const std::uint32_t seed = ChecksumSeed(build_name);
  CONTAINERBUILDER_ASSIGN_OR_RETURN(File file,
                                    File::Open(system, path, name, O_RDONLY));
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckFileHeader(file, kJournalMagic, seed));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::int64_t size, file.Size());
  // Without it the file is read from its beginning.
  std::optional<SyncFile> sync_file;
  if (absl::StatusOr<SyncFile> opened = SyncFile::Open(
          system, SyncFileName(path), SyncFileName(name), seed, O_RDONLY);
      opened.ok()) {
    sync_file = *std::move(opened);
  }
  Options options;
  options.system = std::move(system);
  std::shared_ptr<Journal> journal(new Journal(
      build_name, std::move(options), std::move(file), std::move(sync_file)));
  Mark tail;
  absl::Status end = journal->FindTail(size, tail);
  absl::MutexLock lock(&journal->mutex_);
  journal->tail_ = tail;
  journal->last_sequence_ = tail.sequence;
  journal->end_ = std::move(end);
  if (journal->sync_file_) journal->marks_ = journal->sync_file_->places();
  return journal;
}

absl::Status Journal::FindTail(std::int64_t size, Mark& tail) const {
  tail = kBeginning;
  bool last = false;
  FrameReader probe(&file_, seed_, kFrameHeaderBytes);
  for (std::int64_t place = sync_file_ ? sync_file_->places() - 1 : -1;
       place >= 0; --place) {
    const absl::StatusOr<std::optional<Mark>> mark = sync_file_->Read(place);
    if (!mark.ok() || !mark->has_value() || (*mark)->offset > size) continue;
    const absl::StatusOr<FrameReader::Frame> frame =
        probe.ReadHeader((*mark)->offset - (*mark)->frame_bytes, size);
    if (!frame.ok() || frame->end != (*mark)->offset ||
        frame->sequence != (*mark)->sequence) {
      continue;
    }
    tail = **mark;
    last = frame->last;
    break;
  }
  FrameReader reader(&file_, seed_, kScanBytes);
  while (!last) {
    const absl::StatusOr<FrameReader::Frame> frame =
        reader.ReadHeaderAfter(tail, size);
    if (!frame.ok()) {
      return AsDataLoss(frame.status(), file_.name(), tail.offset);
    }
    tail = frame->mark();
    last = frame->last;
  }
  return absl::OkStatus();
}

absl::StatusOr<Journal::Recovery> Journal::Recover(
    const std::string& folder, const std::string& build_name, Options options,
    const Visitor& visit) {
  const std::string path = absl::StrCat(folder, "/journal");
  const std::string name = FileName(build_name);
  const std::uint32_t seed = ChecksumSeed(build_name);
  const std::shared_ptr<SystemCalls> system = options.system;
  CONTAINERBUILDER_ASSIGN_OR_RETURN(File file,
                                    File::Open(system, path, name, O_RDWR));
  CONTAINERBUILDER_RETURN_IF_ERROR(CheckFileHeader(file, kJournalMagic, seed));
  CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::int64_t size, file.Size());
  absl::StatusOr<SyncFile> sync_file = SyncFile::Open(
      system, SyncFileName(path), SyncFileName(name), seed, O_RDWR);
  if (!sync_file.ok() && !absl::IsNotFound(sync_file.status()) &&
      !absl::IsDataLoss(sync_file.status())) {
    return std::move(sync_file).status();
  }

  Recovery recovery;
  std::optional<SyncFile> usable;
  if (sync_file.ok()) {
    usable = *std::move(sync_file);
  } else {
    recovery.repairs.emplace_back(sync_file.status().message());
  }
  recovery.journal.reset(new Journal(build_name, std::move(options),
                                     std::move(file), std::move(usable)));
  CONTAINERBUILDER_RETURN_IF_ERROR(
      recovery.journal->Load(folder, size, visit, recovery));
  return recovery;
}

absl::Status Journal::Load(const std::string& folder, std::int64_t size,
                           const Visitor& visit, Recovery& recovery) {
  // What is known to have been on disk, and the marks up to there. Without a
  // mark nothing is known, so nothing may be cut.
  std::optional<Mark> synced;
  std::int64_t marks = 0;
  std::int64_t bad_marks = 0;
  const std::int64_t places = sync_file_ ? sync_file_->places() : 0;
  for (std::int64_t place = 0; place < places; ++place) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::optional<Mark> mark,
                                      sync_file_->Read(place));
    if (mark) {
      synced = mark;
      marks = place + 1;
    } else {
      ++bad_marks;
    }
  }
  if (bad_marks > 0) {
    recovery.repairs.push_back(absl::StrCat(
        sync_file_->file().name(), ": ", bad_marks, " marks cannot be read"));
  }

  Scan scan = ScanAll(visit, size);
  const std::int64_t end = scan.tail.offset;
  recovery.admission = std::move(scan.admission);
  recovery.finished = std::move(scan.finished);
  if (unknown_records_ > 0) {
    recovery.repairs.push_back(
        absl::StrCat(file_.name(), ": ", unknown_records_.load(),
                     " records of an unknown kind passed over"));
  }

  const FrameReader place(&file_, seed_, 0);
  const bool may_cut = synced && end >= synced->offset &&
                       (scan.stopped.ok() || absl::IsDataLoss(scan.stopped));
  if (end < size && !may_cut) {
    recovery.damage =
        scan.stopped.ok()
            ? place.Damage(end, "bytes follow the build's last event")
            : AsDataLoss(scan.stopped, file_.name(), end);
  } else if (synced && end < synced->offset) {
    recovery.damage =
        place.Damage(end, absl::StrCat("the file ends here, but had ",
                                       synced->offset, " bytes on disk"));
  }
  if (!recovery.damage.ok()) {
    TakeDamaged(size, scan.tail, recovery);
    return absl::OkStatus();
  }

  {
    absl::MutexLock lock(&mutex_);
    tail_ = scan.tail;
    last_sequence_ = scan.tail.sequence;
    synced_bytes_ = synced ? synced->offset : 0;
    marks_ = marks;
    if (recovery.finished) end_ = absl::OkStatus();
  }
  const absl::Status repaired =
      Repair(folder, size, marks < places, recovery.repairs);
  if (!repaired.ok()) {
    Fail(repaired, /*for_good=*/true);
    recovery.repairs.push_back(
        absl::StrCat("the build's log takes no more: ", repaired.message()));
  }
  return absl::OkStatus();
}

Journal::Scan Journal::ScanAll(const Visitor& visit, std::int64_t size) const {
  Scan scan;
  FrameReader reader(&file_, seed_, kScanBytes);
  while (scan.tail.offset < size && !scan.finished) {
    const absl::StatusOr<FrameReader::Frame> frame =
        reader.ReadAfter(scan.tail, size);
    if (!frame.ok()) {
      scan.stopped = frame.status();
      break;
    }
    if (frame->Is(FrameType::kEvent)) {
      if (visit) visit(frame->sequence, frame->payload);
      if (frame->last) {
        scan.finished = {frame->sequence, true,
                         std::make_shared<std::string>(frame->payload)};
      }
    } else if (frame->Is(FrameType::kAdmission)) {
      scan.admission = std::string(frame->payload);
    } else {
      ++unknown_records_;
    }
    scan.tail = frame->mark();
  }
  return scan;
}

void Journal::TakeDamaged(std::int64_t size, const Mark& readable,
                          Recovery& recovery) {
  // The build may have ended nevertheless; its end is where a mark says.
  Mark tail = readable;
  bool ended = recovery.finished.has_value();
  if (!ended && FindTail(size, tail).ok()) {
    ended = true;
    FrameReader reader(&file_, seed_, kScanBytes);
    const absl::StatusOr<FrameReader::Frame> frame =
        reader.Read(tail.offset - tail.frame_bytes, size);
    if (frame.ok()) {
      recovery.finished = {frame->sequence, true,
                           std::make_shared<std::string>(frame->payload)};
    }
  }
  absl::MutexLock lock(&mutex_);
  tail_ = ended ? tail : readable;
  last_sequence_ = tail_.sequence;
  end_ = ended ? absl::OkStatus() : recovery.damage;
  if (sync_file_) marks_ = sync_file_->places();
}

absl::Status Journal::Repair(const std::string& folder, std::int64_t size,
                             bool cut_marks,
                             std::vector<std::string>& repairs) {
  Mark tail;
  bool synced = false;
  std::int64_t marks = 0;
  {
    absl::MutexLock lock(&mutex_);
    tail = tail_;
    synced = synced_bytes_ == tail_.offset;
    marks = marks_;
  }
  if (tail.offset < size) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const std::string kept, WithReserve(options_.reserve, [&] {
          return KeepTail(folder, tail.offset, size);
        }));
    CONTAINERBUILDER_FAILPOINT("tail-kept");
    CONTAINERBUILDER_RETURN_IF_ERROR(file_.Truncate(tail.offset));
    CONTAINERBUILDER_FAILPOINT("tail-cut");
    repairs.push_back(absl::StrCat(
        file_.name(), ": byte ", tail.offset, ": cut ", size - tail.offset,
        " bytes that had never been known to be on disk; kept in ", kept));
    synced = false;
  }
  if (!sync_file_) {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        sync_file_, WithReserve(options_.reserve, [&] {
          return SyncFile::Create(options_.system, folder + "/journal.sync",
                                  SyncFileName(file_.name()), seed_,
                                  /*replace=*/true);
        }));
    CONTAINERBUILDER_RETURN_IF_ERROR(
        SyncFolder(options_.system, folder, file_.name()));
    synced = false;
  } else if (cut_marks) {
    CONTAINERBUILDER_RETURN_IF_ERROR(sync_file_->Truncate(marks));
  }
  return synced ? absl::OkStatus()
                : Sync(tail, /*durable=*/true, options_.reserve);
}

absl::StatusOr<std::string> Journal::KeepTail(const std::string& folder,
                                              std::int64_t begin,
                                              std::int64_t end) const {
  const auto copy_to = [&](const File& torn) -> absl::Status {
    std::string bytes(kScanBytes, '\0');
    for (std::int64_t offset = begin; offset < end;) {
      CONTAINERBUILDER_ASSIGN_OR_RETURN(
          const std::size_t got,
          file_.ReadAt(offset, bytes.data(), bytes.size()));
      if (got == 0) break;
      CONTAINERBUILDER_RETURN_IF_ERROR(torn.WriteAt(
          offset - begin, absl::string_view(bytes).substr(0, got)));
      offset += static_cast<std::int64_t>(got);
    }
    CONTAINERBUILDER_RETURN_IF_ERROR(torn.SyncAll());
    return SyncFolder(options_.system, folder, file_.name());
  };
  for (int copy = 1; copy <= kMaxTornFiles; ++copy) {
    const std::string suffix =
        absl::StrCat(".torn-", begin, copy > 1 ? absl::StrCat(".", copy) : "");
    const std::string path = absl::StrCat(folder, "/journal", suffix);
    const absl::StatusOr<File> torn =
        File::Open(options_.system, path, file_.name() + suffix,
                   O_CREAT | O_EXCL | O_WRONLY);
    if (absl::IsAlreadyExists(torn.status())) continue;
    if (!torn.ok()) return torn.status();
    if (absl::Status copied = copy_to(*torn); !copied.ok()) {
      options_.system->Unlink(path.c_str());
      return copied;
    }
    return torn->name();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      file_.name(), ": byte ", begin, ": the tail was cut here ", kMaxTornFiles,
      " times; remove the copies, journal.torn-", begin, "*"));
}

absl::Status Journal::Append(v1::BuildEvent& event) {
  return Add(event, /*sync=*/false);
}

absl::Status Journal::AppendSynced(v1::BuildEvent& event) {
  return Add(event, /*sync=*/true);
}

absl::Status Journal::Add(v1::BuildEvent& event, bool sync) {
  std::vector<Wake> wakes;
  {
    absl::MutexLock writer(&writer_);
    CONTAINERBUILDER_RETURN_IF_ERROR(status());
    CONTAINERBUILDER_ASSIGN_OR_RETURN(Frame frame,
                                      Encode(event, /*last=*/false));
    CONTAINERBUILDER_RETURN_IF_ERROR(WriteFrame(frame, sync, nullptr));
    CONTAINERBUILDER_FAILPOINT("frame-written");
    wakes = Publish(std::move(frame.entry), frame.mark);
  }
  CallAll(wakes);
  return absl::OkStatus();
}

absl::Status Journal::Finish(v1::BuildEvent& event, const Amend& amend) {
  std::vector<Wake> wakes;
  absl::Status written;
  {
    absl::MutexLock writer(&writer_);
    {
      absl::MutexLock lock(&mutex_);
      if (end_) return EndError();
      if (failed_for_good_) written = failed_;
    }
    CONTAINERBUILDER_ASSIGN_OR_RETURN(Frame frame,
                                      Encode(event, /*last=*/true));
    if (written.ok()) {
      written = WriteFrame(frame, /*sync=*/true, options_.reserve);
    }
    if (!written.ok() && amend != nullptr) {
      amend(written, event);
      CONTAINERBUILDER_ASSIGN_OR_RETURN(frame, Encode(event, /*last=*/true));
    }
    wakes = Publish(std::move(frame.entry),
                    written.ok() ? std::optional(frame.mark) : std::nullopt);
  }
  CallAll(wakes);
  return written;
}

void Journal::Close(const absl::Status& why) {
  std::vector<Wake> wakes;
  {
    absl::MutexLock writer(&writer_);
    absl::MutexLock lock(&mutex_);
    if (end_) return;
    end_ = why;
    wakes = TakeWakes();
  }
  CallAll(wakes);
}

absl::StatusOr<Journal::Frame> Journal::Encode(v1::BuildEvent& event,
                                               bool last) const {
  std::int64_t offset = 0;
  std::int64_t sequence = 0;
  {
    absl::MutexLock lock(&mutex_);
    offset = tail_.offset;
    sequence = last_sequence_ + 1;
  }
  event.set_sequence(sequence);
  if (event.ByteSizeLong() > limits::kMaxJournalPayloadBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "an event of ", event.ByteSizeLong(), " bytes is too large"));
  }
  Frame frame;
  auto bytes = std::make_shared<std::string>(event.SerializeAsString());
  frame.bytes =
      EncodeFrame(seed_, offset, FrameType::kEvent, last, sequence, *bytes);
  frame.mark = {offset + static_cast<std::int64_t>(frame.bytes.size()),
                sequence, static_cast<std::uint32_t>(frame.bytes.size())};
  frame.entry = {sequence, last, std::move(bytes)};
  return frame;
}

absl::Status Journal::WriteFrame(const Frame& frame, bool sync,
                                 DiskReserve* reserve) {
  const std::int64_t begin = frame.mark.offset - frame.mark.frame_bytes;
  absl::Status written =
      WithReserve(reserve, [&] { return file_.WriteAt(begin, frame.bytes); });
  if (!written.ok()) {
    Fail(written, /*for_good=*/false);
  } else if (sync) {
    written = Sync(frame.mark, /*durable=*/true, reserve);
  }
  if (!written.ok()) {
    // Nobody reads that far, nor will after a restart, if the disk lets us.
    file_.Truncate(begin).IgnoreError();
  }
  return written;
}

void Journal::Fail(const absl::Status& error, bool for_good) {
  absl::MutexLock lock(&mutex_);
  if (failed_.ok()) failed_ = error;
  failed_for_good_ |= for_good;
}

absl::Status Journal::Sync(const Mark& mark, bool durable,
                           DiskReserve* reserve) {
  absl::MutexLock sync(&sync_);
  return SyncLocked(mark, durable, reserve);
}

absl::Status Journal::SyncLocked(const Mark& mark, bool durable,
                                 DiskReserve* reserve) {
  std::int64_t place = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (failed_for_good_) return failed_;
    place = marks_;
  }
  if (absl::Status synced = file_.SyncData(); !synced.ok()) {
    Fail(synced, /*for_good=*/true);
    return synced;
  }
  absl::Status marked =
      WithReserve(reserve, [&] { return sync_file_->Write(place, mark); });
  bool for_good = false;
  if (marked.ok() && durable) {
    marked = sync_file_->file().SyncData();
    for_good = !marked.ok();
  }
  if (!marked.ok()) {
    // What is not acknowledged to the caller is not to be found either.
    for_good |= !sync_file_->Truncate(place).ok();
    Fail(marked, for_good);
    return marked;
  }
  absl::MutexLock lock(&mutex_);
  synced_bytes_ = mark.offset;
  marks_ = place + 1;
  return absl::OkStatus();
}

void Journal::SyncInBackground() {
  {
    absl::MutexLock sync(&sync_);
    Mark mark;
    bool needed = false;
    {
      absl::MutexLock lock(&mutex_);
      mark = tail_;
      // Else a state change was quicker.
      needed = mark.offset > synced_bytes_;
    }
    // Whoever appends next is told of an error.
    if (needed) SyncLocked(mark, /*durable=*/false, nullptr).IgnoreError();
  }
  absl::MutexLock lock(&mutex_);
  sync_posted_ = false;
  PlanSync();
}

void Journal::PlanSync() {
  const std::int64_t unsynced = tail_.offset - synced_bytes_;
  if (options_.executor == nullptr || sync_posted_ || unsynced <= 0 ||
      !failed_.ok()) {
    return;
  }
  // The executor may drop it when it ends.
  const auto sync = [weak = weak_from_this()] {
    const std::shared_ptr<Journal> journal = weak.lock();
    if (journal != nullptr) journal->SyncInBackground();
  };
  if (unsynced >= options_.sync_bytes) {
    sync_timer_.reset();
    sync_posted_ = true;
    options_.executor->Post(sync);
  } else if (sync_timer_ == nullptr) {
    sync_timer_ = options_.executor->After(
        options_.sync_interval, [weak = weak_from_this(), sync] {
          const std::shared_ptr<Journal> journal = weak.lock();
          if (journal == nullptr) return;
          {
            absl::MutexLock lock(&journal->mutex_);
            if (journal->sync_posted_) return;
            journal->sync_timer_.reset();
            journal->sync_posted_ = true;
          }
          sync();
        });
  }
}

std::vector<Journal::Wake> Journal::Publish(Entry entry,
                                            std::optional<Mark> mark) {
  absl::MutexLock lock(&mutex_);
  if (mark) tail_ = *mark;
  last_sequence_ = entry.sequence;
  if (entry.last) {
    end_ = absl::OkStatus();
    sync_timer_.reset();
  }
  recent_bytes_ += entry.event->size();
  recent_.push_back({std::move(entry), tail_.offset});
  while (recent_bytes_ > limits::kJournalRecentBytes && recent_.size() > 1) {
    recent_bytes_ -= recent_.front().entry.event->size();
    recent_.pop_front();
  }
  PlanSync();
  return TakeWakes();
}

std::vector<Journal::Wake> Journal::TakeWakes() {
  many_wakes_ = kFewWakes;
  return std::exchange(wakes_, {});
}

void Journal::CallAll(const std::vector<Wake>& wakes) {
  for (const Wake& wake : wakes) {
    const std::shared_ptr<void> owner = wake.owner.lock();
    if (owner != nullptr) wake.wake();
  }
}

absl::Status Journal::EndError() const {
  return end_->ok() ? absl::FailedPreconditionError("the build has ended")
                    : *end_;
}

absl::Status Journal::status() const {
  absl::MutexLock lock(&mutex_);
  return end_ ? EndError() : failed_;
}

std::int64_t Journal::last_sequence() const {
  absl::MutexLock lock(&mutex_);
  return last_sequence_;
}

std::int64_t Journal::size_bytes() const {
  absl::MutexLock lock(&mutex_);
  return tail_.offset;
}

absl::StatusOr<std::string> Journal::Admission() const {
  FrameReader reader(&file_, seed_, kReadBytes);
  const absl::StatusOr<FrameReader::Frame> frame =
      reader.ReadAfter(kBeginning, size_bytes());
  if (!frame.ok()) {
    return AsDataLoss(frame.status(), file_.name(), kBeginning.offset);
  }
  if (!frame->Is(FrameType::kAdmission)) {
    return reader.Damage(kBeginning.offset,
                         "this is not the build's admission");
  }
  return std::string(frame->payload);
}

const Journal::Recent* Journal::FindRecent(std::int64_t sequence) const {
  if (recent_.empty() || sequence < recent_.front().entry.sequence ||
      sequence > recent_.back().entry.sequence) {
    return nullptr;
  }
  return &recent_[static_cast<std::size_t>(sequence -
                                           recent_.front().entry.sequence)];
}

absl::StatusOr<std::optional<Journal::Entry>> Journal::Read(
    Cursor& cursor) const {
  if (cursor.at_end_) return std::nullopt;
  std::int64_t limit = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (cursor.sequence_ >= last_sequence_) {
      if (!end_) return std::nullopt;
      if (!end_->ok()) return *end_;
      cursor.at_end_ = true;
      return std::nullopt;
    }
    if (const Recent* recent = FindRecent(cursor.sequence_ + 1)) {
      cursor = Cursor(recent->end, recent->entry.sequence, recent->entry.last);
      return recent->entry;
    }
    limit = tail_.offset;
  }
  FrameReader reader(&file_, seed_, kReadBytes);
  Mark before = {cursor.offset_, cursor.sequence_, 0};
  while (true) {
    const absl::StatusOr<FrameReader::Frame> frame =
        reader.ReadAfter(before, limit);
    if (!frame.ok()) {
      return AsDataLoss(frame.status(), file_.name(), before.offset);
    }
    if (frame->Is(FrameType::kEvent)) {
      cursor = Cursor(frame->end, frame->sequence, frame->last);
      return Entry{frame->sequence, frame->last,
                   std::make_shared<std::string>(frame->payload)};
    }
    if (!frame->Is(FrameType::kAdmission)) ++unknown_records_;
    before = frame->mark();
  }
}

absl::StatusOr<Journal::Cursor> Journal::After(std::int64_t sequence) const {
  if (sequence == 0) return Cursor();
  std::int64_t limit = 0;
  std::int64_t marks = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (sequence < 0 || sequence > last_sequence_) {
      if (sequence > 0 && end_ && absl::IsDataLoss(*end_)) return *end_;
      return absl::OutOfRangeError(absl::StrCat(
          "there is no event ", sequence, "; the newest is ", last_sequence_));
    }
    if (const Recent* recent = FindRecent(sequence)) {
      return Cursor(recent->end, sequence, recent->entry.last);
    }
    if (sequence == tail_.sequence) {
      const bool at_end = end_ && end_->ok() && sequence == last_sequence_;
      return Cursor(tail_.offset, sequence, at_end);
    }
    limit = tail_.offset;
    marks = marks_;
  }
  Mark mark = FindMark(sequence, marks, limit);
  FrameReader reader(&file_, seed_, kScanBytes);
  while (mark.sequence < sequence) {
    const absl::StatusOr<FrameReader::Frame> frame =
        reader.ReadHeaderAfter(mark, limit);
    if (!frame.ok()) {
      return AsDataLoss(frame.status(), file_.name(), mark.offset);
    }
    mark = frame->mark();
  }
  return Cursor(mark.offset, sequence, /*at_end=*/false);
}

Mark Journal::FindMark(std::int64_t sequence, std::int64_t marks,
                       std::int64_t limit) const {
  if (!sync_file_) return kBeginning;
  FrameReader probe(&file_, seed_, kFrameHeaderBytes);
  for (std::int64_t place = sync_file_->Find(sequence, marks).value_or(-1);
       place >= 0; --place) {
    const absl::StatusOr<std::optional<Mark>> mark = sync_file_->Read(place);
    if (mark.ok() && mark->has_value() && (*mark)->sequence <= sequence &&
        probe.ReadHeaderAfter(**mark, limit).ok()) {
      return **mark;
    }
  }
  return kBeginning;
}

bool Journal::WakeOnce(const Cursor& cursor, std::weak_ptr<void> owner,
                       std::function<void()> wake) {
  absl::MutexLock lock(&mutex_);
  if (cursor.at_end_ || cursor.sequence_ != last_sequence_ || end_) {
    return false;
  }
  // A build that prints nothing would keep those of all who have left. It costs
  // little, as their number must double before.
  if (wakes_.size() >= many_wakes_) {
    wakes_.erase(
        std::remove_if(wakes_.begin(), wakes_.end(),
                       [](const Wake& old) { return old.owner.expired(); }),
        wakes_.end());
    many_wakes_ = std::max(kFewWakes, 2 * wakes_.size());
  }
  wakes_.push_back({std::move(owner), std::move(wake)});
  return true;
}

}  // namespace containerbuilder::service
