// What a journal does when the system does not do what it is asked: each call
// fails once, comes short, blocks, or the power goes.

#include <sys/mount.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/disk_reserve.h"
#include "base/executor.h"
#include "gmock/gmock.h"
#include "journal/journal.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unit/journal/journal_fixture.h"
#include "unit/journal/memory_disk.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::testing::AnyOf;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr absl::Duration kDeadline = absl::Seconds(30);
constexpr char kFolder[] = "build";

enum Call {
  kOpen,
  kPread,
  kPwrite,
  kFdatasync,
  kFsync,
  kFtruncate,
  kSize,
  kUnlink,
  kCalls
};
constexpr int kShort = -1;

// Makes one call of a disk's go wrong. Thread-safe once armed.
class FaultyDisk : public SystemCalls {
 public:
  explicit FaultyDisk(std::shared_ptr<SystemCalls> disk)
      : disk_(std::move(disk)) {}

  // The `nth` call of that kind from 1 on fails with `error`, or does but a
  // part where that is kShort.
  void Arm(Call call, int nth, int error) {
    call_ = call;
    nth_ = nth;
    error_ = error;
  }
  // Every read and write does but one byte.
  void ArmBytewise() { bytewise_ = true; }
  int count(Call call) const { return counts_[call]; }
  std::int64_t bytes_read() const { return bytes_read_; }
  bool struck() const { return counts_[call_] >= nth_; }

  int Open(const char* path, int flags, mode_t mode) override {
    return Strikes(kOpen) ? -1 : disk_->Open(path, flags, mode);
  }
  int Close(int fd) override { return disk_->Close(fd); }
  ssize_t Pread(int fd, char* data, std::size_t bytes, off_t offset) override {
    if (Strikes(kPread, &bytes)) return -1;
    const ssize_t got = disk_->Pread(fd, data, bytes, offset);
    bytes_read_ += got;
    return got;
  }
  ssize_t Pwrite(int fd, const char* data, std::size_t bytes,
                 off_t offset) override {
    return Strikes(kPwrite, &bytes) ? -1
                                    : disk_->Pwrite(fd, data, bytes, offset);
  }
  int Fdatasync(int fd) override {
    return Strikes(kFdatasync) ? -1 : disk_->Fdatasync(fd);
  }
  int Fsync(int fd) override { return Strikes(kFsync) ? -1 : disk_->Fsync(fd); }
  int Ftruncate(int fd, off_t size) override {
    return Strikes(kFtruncate) ? -1 : disk_->Ftruncate(fd, size);
  }
  off_t Size(int fd) override { return Strikes(kSize) ? -1 : disk_->Size(fd); }
  int Unlink(const char* path) override {
    return Strikes(kUnlink) ? -1 : disk_->Unlink(path);
  }

 private:
  bool Strikes(Call call, std::size_t* bytes = nullptr) {
    if (bytes != nullptr && bytewise_) *bytes = 1;
    if (++counts_[call] != nth_ || call != call_) return false;
    if (error_ == kShort) {
      if (bytes != nullptr) *bytes = (*bytes + 1) / 2;
      return false;
    }
    errno = error_;
    return true;
  }

  const std::shared_ptr<SystemCalls> disk_;
  Call call_ = kCalls;
  int nth_ = 0;
  int error_ = 0;
  bool bytewise_ = false;
  std::atomic<int> counts_[kCalls + 1] = {};
  std::atomic<std::int64_t> bytes_read_ = 0;
};

absl::StatusCode CodeOf(int error) {
  return error == ENOSPC || error == EDQUOT
             ? absl::StatusCode::kResourceExhausted
             : absl::StatusCode::kInternal;
}

std::vector<std::string> BytesOf(const Replay& replay) {
  std::vector<std::string> bytes;
  for (const v1::BuildEvent& event : replay.events) {
    bytes.push_back(event.SerializeAsString());
  }
  return bytes;
}

Journal::Options OptionsOn(std::shared_ptr<SystemCalls> system) {
  Journal::Options options;
  options.system = std::move(system);
  return options;
}

absl::StatusOr<std::shared_ptr<Journal>> CreateOn(
    std::shared_ptr<SystemCalls> system) {
  return Journal::Create(kFolder, kBuildName, kAdmission,
                         OptionsOn(std::move(system)));
}

absl::StatusOr<Journal::Recovery> RecoverOn(
    std::shared_ptr<SystemCalls> system) {
  return Journal::Recover(kFolder, kBuildName, OptionsOn(std::move(system)));
}

// A build's whole life on a disk with one fault.
class Life {
 public:
  explicit Life(std::shared_ptr<FaultyDisk> disk) : disk_(std::move(disk)) {}

  void Run() {
    absl::StatusOr<std::shared_ptr<Journal>> journal = CreateOn(disk_);
    create_ = journal.status();
    if (!create_.ok()) return;
    journal_ = *std::move(journal);
    // More than what is kept in memory, so that readers read the file.
    for (int i = 0; i < 6; ++i) {
      v1::BuildEvent event =
          i % 3 == 1 ? Started() : Output(std::string(150 * 1024, 'a' + i));
      const bool synced = i % 3 == 1;
      Note(event,
           synced ? journal_->AppendSynced(event) : journal_->Append(event));
    }
    v1::BuildEvent event = Finished();
    finish_ = journal_->Finish(event);
    // Whatever happened, watchers get an end. Where the fault hits the reader,
    // he is told and may try again.
    std::vector<std::string> shown = events_;
    shown.push_back(event.SerializeAsString());
    Replay replay = ReplayAll(*journal_);
    if (!replay.status.ok()) {
      EXPECT_THAT(replay.status, StatusIs(absl::StatusCode::kDataLoss));
      replay = ReplayAll(*journal_);
    }
    EXPECT_THAT(replay.status, IsOk());
    EXPECT_TRUE(BytesOf(replay) == shown);
    if (finish_.ok()) events_.push_back(event.SerializeAsString());
    journal_.reset();
  }

  const absl::Status& create() const { return create_; }
  // The first error of an event, and that of the end.
  const absl::Status& failed() const { return failed_; }
  const absl::Status& finish() const { return finish_; }
  // What was answered OK.
  const std::vector<std::string>& events() const { return events_; }

 private:
  void Note(const v1::BuildEvent& event, const absl::Status& status) {
    if (!failed_.ok()) {
      EXPECT_EQ(status, failed_);
    } else if (status.ok()) {
      events_.push_back(event.SerializeAsString());
    } else {
      failed_ = status;
      EXPECT_EQ(journal_->status(), status);
    }
    EXPECT_EQ(journal_->last_sequence(), events_.size());
  }

  const std::shared_ptr<FaultyDisk> disk_;
  std::shared_ptr<Journal> journal_;
  absl::Status create_;
  absl::Status failed_;
  absl::Status finish_;
  std::vector<std::string> events_;
};

TEST(JournalFaultsTest, EachCallFailsOnce) {
  for (const int error : {EIO, ENOSPC, EDQUOT, EMFILE, EINTR, kShort}) {
    for (int call = 0; call < kCalls; ++call) {
      int nth = 1;
      for (;; ++nth) {
        SCOPED_TRACE(
            absl::StrCat("call ", call, " no. ", nth, " error ", error));
        const auto disk = std::make_shared<MemoryDisk>();
        const auto faulty = std::make_shared<FaultyDisk>(disk);
        faulty->Arm(static_cast<Call>(call), nth, error);
        Life life(faulty);
        life.Run();
        EXPECT_EQ(disk->open_files(), 0U);
        if (error == EINTR || error == kShort) {
          ASSERT_THAT(life.create(), IsOk());
          EXPECT_THAT(life.failed(), IsOk());
          EXPECT_THAT(life.finish(), IsOk());
        } else if (!life.create().ok()) {
          if (call != kOpen) {
            EXPECT_THAT(life.create(), StatusIs(CodeOf(error)));
          }
          EXPECT_FALSE(disk->Exists("build/journal"));
          EXPECT_FALSE(disk->Exists("build/journal.sync"));
          continue;
        } else if (!life.failed().ok()) {
          EXPECT_THAT(life.failed(), StatusIs(CodeOf(error)));
          if (call == kFdatasync) {
            // Never tried again, by nobody: two syncs for each state change.
            EXPECT_EQ(life.finish(), life.failed());
            EXPECT_EQ(faulty->count(kFdatasync), nth);
          } else {
            EXPECT_THAT(life.finish(), IsOk());
          }
        } else if (!life.finish().ok()) {
          EXPECT_THAT(life.finish(), StatusIs(CodeOf(error)));
        }
        // What was answered OK is there after a restart, and nothing else.
        const absl::StatusOr<Journal::Recovery> recovery = RecoverOn(disk);
        ASSERT_THAT(recovery, IsOk());
        EXPECT_THAT(recovery->damage, IsOk());
        EXPECT_THAT(recovery->repairs, IsEmpty());
        EXPECT_EQ(recovery->admission, kAdmission);
        EXPECT_EQ(recovery->finished.has_value(), life.finish().ok());
        EXPECT_TRUE(BytesOf(ReplayAll(*recovery->journal)) == life.events());
        if (!faulty->struck()) break;
        ASSERT_LT(nth, 1000);
      }
      if (call == kPwrite || call == kFdatasync || call == kOpen) {
        EXPECT_GT(nth, 4);
      }
    }
  }
}

TEST(JournalFaultsTest, OneByteAtATime) {
  const auto disk = std::make_shared<MemoryDisk>();
  const auto faulty = std::make_shared<FaultyDisk>(disk);
  faulty->ArmBytewise();
  absl::StatusOr<std::shared_ptr<Journal>> journal = CreateOn(faulty);
  ASSERT_THAT(journal, IsOk());
  ASSERT_THAT(Append(**journal, "output"), IsOk());
  ASSERT_THAT(AppendSynced(**journal), IsOk());
  ASSERT_THAT(Finish(**journal), IsOk());
  const absl::StatusOr<Journal::Recovery> recovery = RecoverOn(faulty);
  ASSERT_THAT(recovery, IsOk());
  EXPECT_THAT(recovery->damage, IsOk());
  EXPECT_EQ(ReplayAll(*recovery->journal).events.size(), 3U);
}

// Whatever fails while a torn tail is cut, nothing is lost: the next start
// finds all events, and the tail is in the file or beside it.
TEST(JournalFaultsTest, RecoveryFailsAnywhere) {
  const auto origin = std::make_shared<MemoryDisk>();
  std::vector<std::string> events;
  {
    absl::StatusOr<std::shared_ptr<Journal>> journal = CreateOn(origin);
    ASSERT_THAT(journal, IsOk());
    ASSERT_THAT(AppendSynced(**journal), IsOk());
    ASSERT_THAT(Append(**journal, "output"), IsOk());
    events = BytesOf(ReplayAll(**journal));
  }
  const std::string torn = "a torn tail that is nothing";
  const std::string whole = origin->Contents("build/journal");
  int recoveries = 0;
  for (const bool sync_file : {true, false}) {
    for (const int error : {EIO, ENOSPC, EMFILE, EINTR, kShort}) {
      for (int call = 0; call < kCalls; ++call) {
        for (int nth = 1;; ++nth) {
          SCOPED_TRACE(absl::StrCat("call ", call, " no. ", nth, " error ",
                                    error, " ", sync_file));
          const auto disk = std::make_shared<MemoryDisk>();
          disk->Put("build/journal", sync_file ? whole + torn : whole);
          if (sync_file) {
            disk->Put("build/journal.sync",
                      origin->Contents("build/journal.sync") + "half a mark");
          }
          const auto faulty = std::make_shared<FaultyDisk>(disk);
          faulty->Arm(static_cast<Call>(call), nth, error);
          absl::StatusOr<Journal::Recovery> faulted = RecoverOn(faulty);
          ++recoveries;
          std::vector<std::string> expected = events;
          if (faulted.ok()) {
            Journal& journal = *faulted->journal;
            v1::BuildEvent event = Output("more");
            if (journal.Append(event).ok()) {
              expected.push_back(event.SerializeAsString());
              EXPECT_THAT(faulted->damage, IsOk());
            } else {
              EXPECT_THAT(faulted->repairs, Not(IsEmpty()));
            }
            faulted->journal.reset();
          }
          if (error == EINTR || error == kShort) {
            EXPECT_EQ(expected.size(), events.size() + 1);
          }
          EXPECT_EQ(disk->open_files(), 0U);
          const absl::StatusOr<Journal::Recovery> healthy = RecoverOn(disk);
          ASSERT_THAT(healthy, IsOk());
          EXPECT_THAT(healthy->damage, IsOk());
          EXPECT_THAT(healthy->journal->status(), IsOk());
          EXPECT_THAT(BytesOf(ReplayAll(*healthy->journal)),
                      ElementsAreArray(expected));
          if (sync_file) {
            const std::string kept =
                absl::StrCat("build/journal.torn-", whole.size());
            EXPECT_TRUE(disk->Contents(kept) == torn ||
                        disk->Contents(kept + ".2") == torn);
          }
          if (!faulty->struck()) break;
        }
      }
    }
  }
  EXPECT_GT(recoveries, 200);
}

TEST(JournalFaultsTest, ReadersAreToldWhatFailsAndMayTryAgain) {
  const auto disk = std::make_shared<MemoryDisk>();
  std::vector<std::string> events;
  {
    absl::StatusOr<std::shared_ptr<Journal>> journal = CreateOn(disk);
    ASSERT_THAT(journal, IsOk());
    for (int i = 0; i < 5; ++i) {
      ASSERT_THAT(Append(**journal, std::string(10000, 'x')), IsOk());
    }
    ASSERT_THAT(Finish(**journal), IsOk());
    events = BytesOf(ReplayAll(**journal));
  }
  for (const int error : {EIO, EINTR, kShort}) {
    for (int nth = 1;; ++nth) {
      SCOPED_TRACE(absl::StrCat("no. ", nth, " error ", error));
      const auto faulty = std::make_shared<FaultyDisk>(disk);
      faulty->Arm(kPread, nth, error);
      const absl::StatusOr<std::shared_ptr<Journal>> journal =
          Journal::Open(kFolder, kBuildName, faulty);
      if (!journal.ok()) {
        EXPECT_EQ(error, EIO);
        continue;
      }
      Journal::Cursor cursor;
      const Replay replay = ReplayFrom(**journal, cursor);
      std::vector<std::string> read = BytesOf(replay);
      if (!replay.status.ok()) {
        EXPECT_EQ(error, EIO);
        EXPECT_THAT(replay.status, StatusIs(absl::StatusCode::kDataLoss));
        for (std::string& event : BytesOf(ReplayFrom(**journal, cursor))) {
          read.push_back(std::move(event));
        }
      }
      EXPECT_THAT(read, ElementsAreArray(events));
      EXPECT_TRUE(Journal::AtEnd(cursor));
      if (!faulty->struck()) break;
    }
  }
}

// What was synced survives, and of the rest a clean prefix.
TEST(JournalFaultsTest, ThePowerGoesAtAnyMoment) {
  Executor executor(1);
  for (unsigned seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto disk = std::make_shared<MemoryDisk>();
    Journal::Options options = OptionsOn(disk);
    options.executor = &executor;
    options.sync_bytes = 300;
    const absl::StatusOr<std::shared_ptr<Journal>> journal =
        Journal::Create(kFolder, kBuildName, kAdmission, std::move(options));
    ASSERT_THAT(journal, IsOk());
    std::vector<std::string> events;
    std::size_t synced = 0;
    const std::size_t count = random() % 20;
    while (events.size() < count) {
      const bool sync = random() % 5 == 0;
      v1::BuildEvent event =
          sync ? Started() : Output(std::string(random() % 200, 'x'));
      ASSERT_THAT(
          sync ? (*journal)->AppendSynced(event) : (*journal)->Append(event),
          IsOk());
      events.push_back(event.SerializeAsString());
      if (sync) synced = events.size();
    }
    const bool ended = random() % 4 == 0;
    if (ended) {
      v1::BuildEvent event = Finished();
      ASSERT_THAT((*journal)->Finish(event), IsOk());
      events.push_back(event.SerializeAsString());
      synced = events.size();
    }

    const auto left = std::make_shared<MemoryDisk>();
    for (const auto& [path, data] : disk->AfterPowerLoss(random)) {
      left->Put(path, data);
    }
    absl::StatusOr<Journal::Recovery> recovery = RecoverOn(left);
    ASSERT_THAT(recovery, IsOk());
    ASSERT_THAT(recovery->damage, IsOk());
    ASSERT_EQ(recovery->admission, kAdmission);
    ASSERT_EQ(recovery->finished.has_value(), ended);
    const std::vector<std::string> found =
        BytesOf(ReplayAll(*recovery->journal));
    ASSERT_GE(found.size(), synced);
    ASSERT_LE(found.size(), events.size());
    events.resize(found.size());
    ASSERT_EQ(found, events);
    if (ended) continue;
    ASSERT_THAT(AppendSynced(*recovery->journal), IsOk());
    ASSERT_EQ(recovery->journal->last_sequence(), events.size() + 1);
  }
}

// While nothing may be written but by the reserve.
class FullDisk : public MemoryDisk {
 public:
  explicit FullDisk(std::function<bool()> full) : full_(std::move(full)) {}
  ssize_t Pwrite(int fd, const char* data, std::size_t bytes,
                 off_t offset) override {
    if (!full_()) return MemoryDisk::Pwrite(fd, data, bytes, offset);
    // The last block of the file takes some.
    if (bytes > 10) return MemoryDisk::Pwrite(fd, data, 10, offset);
    errno = ENOSPC;
    return -1;
  }

 private:
  const std::function<bool()> full_;
};

TEST(JournalFaultsTest, TheReserveIsForTheLastEvent) {
  const TempDir folder;
  DiskReserve reserve(folder.Path("reserve"), 4096);
  bool full = false;
  const auto disk =
      std::make_shared<FullDisk>([&] { return full && reserve.held(); });
  ASSERT_THAT(reserve.Refill(), IsOk());
  Journal::Options options = OptionsOn(disk);
  options.reserve = &reserve;
  const absl::StatusOr<std::shared_ptr<Journal>> journal =
      Journal::Create(kFolder, kBuildName, kAdmission, std::move(options));
  ASSERT_THAT(journal, IsOk());
  ASSERT_THAT(Append(**journal, "kept"), IsOk());
  full = true;
  const absl::Status refused = Append(**journal, "refused");
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(AppendSynced(**journal), refused);
  EXPECT_TRUE(reserve.held());
  EXPECT_THAT(Finish(**journal), IsOk());
  EXPECT_FALSE(reserve.held());
  EXPECT_EQ(ReplayAll(**journal).events.size(), 2U);
  const absl::StatusOr<std::shared_ptr<Journal>> ended =
      Journal::Open(kFolder, kBuildName, disk);
  ASSERT_THAT(ended, IsOk());
  EXPECT_EQ(ReplayAll(**ended).events.size(), 2U);
  EXPECT_THAT(ReplayAll(**ended).status, IsOk());
}

TEST(JournalFaultsTest, WhereTheReserveDoesNotHelpTheEndIsInMemory) {
  const TempDir folder;
  DiskReserve reserve(folder.Path("reserve"), 4096);
  ASSERT_THAT(reserve.Refill(), IsOk());
  bool full = false;
  const auto disk = std::make_shared<FullDisk>([&] { return full; });
  Journal::Options options = OptionsOn(disk);
  options.reserve = &reserve;
  const absl::StatusOr<std::shared_ptr<Journal>> journal =
      Journal::Create(kFolder, kBuildName, kAdmission, std::move(options));
  ASSERT_THAT(journal, IsOk());
  ASSERT_THAT(Append(**journal, std::string(300 * 1024, 'x')), IsOk());
  full = true;
  Journal::Cursor waiting;
  ReplayFrom(**journal, waiting);
  int woken = 0;
  ASSERT_TRUE((*journal)->WakeOnce(waiting, *journal, [&] { ++woken; }));
  EXPECT_THAT(Finish(**journal),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_FALSE(reserve.held());
  EXPECT_EQ(woken, 1);
  EXPECT_EQ((*journal)->last_sequence(), 2);
  EXPECT_EQ(ReplayFrom(**journal, waiting).events.size(), 1U);
  EXPECT_TRUE(Journal::AtEnd(waiting));
  EXPECT_EQ(ReplayAll(**journal).events.size(), 2U);
  for (const std::int64_t sequence : {1, 2}) {
    const absl::StatusOr<Journal::Cursor> cursor = (*journal)->After(sequence);
    ASSERT_THAT(cursor, IsOk());
    EXPECT_EQ(Journal::AtEnd(*cursor), sequence == 2);
  }
}

// A real disk that is really full, where we may mount one.
TEST(JournalFaultsTest, ARealFullDisk) {
  const TempDir dir;
  const std::string disk = dir.MakeDir("disk");
  if (mount("none", disk.c_str(), "tmpfs", 0, "size=128k") != 0) {
    GTEST_SKIP() << "cannot mount a tmpfs";
  }
  const std::shared_ptr<const std::string> unmount(
      &disk,
      [](const std::string* path) { umount2(path->c_str(), MNT_DETACH); });
  DiskReserve reserve(disk + "/reserve", 32 * 1024);
  ASSERT_THAT(reserve.Refill(), IsOk());
  Journal::Options options;
  options.reserve = &reserve;
  const std::string folder = dir.MakeDir("disk/build");
  absl::StatusOr<std::shared_ptr<Journal>> journal =
      Journal::Create(folder, kBuildName, kAdmission, std::move(options));
  ASSERT_THAT(journal, IsOk());
  absl::Status status;
  std::size_t taken = 0;
  for (; status.ok(); ++taken)
    status = Append(**journal, std::string(5000, 'x'));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_GT(taken, 5U);
  EXPECT_THAT(Journal::Create(dir.MakeDir("disk/other"), "builds/other",
                              kAdmission, {}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_FALSE(std::filesystem::exists(disk + "/other/journal"));
  EXPECT_THAT(Finish(**journal), IsOk());
  journal->reset();
  const absl::StatusOr<std::shared_ptr<Journal>> ended =
      Journal::Open(folder, kBuildName);
  ASSERT_THAT(ended, IsOk());
  const Replay replay = ReplayAll(**ended);
  EXPECT_THAT(replay.status, IsOk());
  EXPECT_EQ(replay.events.size(), taken);
  EXPECT_TRUE(replay.events.back().has_finished());
}

// Stops in each sync of a file's data until it is let go on.
class GatedDisk : public MemoryDisk {
 public:
  int Fdatasync(int fd) override {
    const int now = ++syncing_;
    int most = most_;
    while (now > most && !most_.compare_exchange_weak(most, now)) {
    }
    if (!begun_.HasBeenNotified()) begun_.Notify();
    gate_.WaitForNotificationWithTimeout(kDeadline);
    const int answer = fails_ ? -1 : MemoryDisk::Fdatasync(fd);
    ++syncs_;
    --syncing_;
    errno = EIO;
    return answer;
  }
  void set_fails() { fails_ = true; }
  void WaitForSync() {
    ASSERT_TRUE(begun_.WaitForNotificationWithTimeout(kDeadline));
  }
  void Release() { gate_.Notify(); }
  int syncs() const { return syncs_; }
  int most_at_once() const { return most_; }

 private:
  absl::Notification begun_;
  absl::Notification gate_;
  std::atomic<bool> fails_ = false;
  std::atomic<int> syncing_ = 0;
  std::atomic<int> syncs_ = 0;
  std::atomic<int> most_ = 0;
};

class BackgroundSyncTest : public testing::Test {
 protected:
  void Create(absl::Duration interval, std::int64_t bytes) {
    Journal::Options options = OptionsOn(disk_);
    options.executor = &executor_;
    options.sync_interval = interval;
    options.sync_bytes = bytes;
    absl::StatusOr<std::shared_ptr<Journal>> journal =
        Journal::Create(kFolder, kBuildName, kAdmission, std::move(options));
    ASSERT_THAT(journal, IsOk());
    journal_ = *std::move(journal);
  }

  // Waits until there is more in the file than readers may see.
  void WaitForWrite() {
    const auto visible = static_cast<std::size_t>(journal_->size_bytes());
    const absl::Time deadline = absl::Now() + kDeadline;
    while (disk_->Contents("build/journal").size() == visible &&
           absl::Now() < deadline) {
      std::this_thread::yield();
    }
    ASSERT_GT(disk_->Contents("build/journal").size(), visible);
  }

  const std::shared_ptr<GatedDisk> disk_ = std::make_shared<GatedDisk>();
  Executor executor_{2};
  std::shared_ptr<Journal> journal_;
};

TEST_F(BackgroundSyncTest, NobodyWaitsForIt) {
  Create(absl::Hours(1), 1000);
  ASSERT_THAT(Append(*journal_, std::string(2000, 'x')), IsOk());
  disk_->WaitForSync();
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(Append(*journal_, std::string(2000, 'x')), IsOk());
  }
  EXPECT_EQ(ReplayAll(*journal_).events.size(), 101U);
  disk_->Release();
  ASSERT_THAT(Finish(*journal_), IsOk());
  EXPECT_EQ(disk_->most_at_once(), 1);
}

TEST_F(BackgroundSyncTest, ComesInTime) {
  Create(absl::Milliseconds(1), 1 << 30);
  ASSERT_THAT(Append(*journal_, "x"), IsOk());
  disk_->WaitForSync();
  disk_->Release();
}

TEST_F(BackgroundSyncTest, ComesNotBefore) {
  Create(absl::Hours(1), 1 << 30);
  disk_->Release();
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(Append(*journal_, std::string(2000, 'x')), IsOk());
  }
  EXPECT_EQ(disk_->syncs(), 0);
}

TEST_F(BackgroundSyncTest, AStateChangeWaitsAndSyncsAfterIt) {
  Create(absl::Hours(1), 1000);
  ASSERT_THAT(Append(*journal_, std::string(2000, 'x')), IsOk());
  disk_->WaitForSync();
  absl::Notification done;
  std::thread writer([&] {
    EXPECT_THAT(AppendSynced(*journal_), IsOk());
    done.Notify();
  });
  // Written, but seen by nobody before it is on disk.
  WaitForWrite();
  EXPECT_FALSE(done.HasBeenNotified());
  EXPECT_EQ(ReplayAll(*journal_).events.size(), 1U);
  disk_->Release();
  writer.join();
  EXPECT_EQ(disk_->most_at_once(), 1);
  EXPECT_EQ(ReplayAll(*journal_).events.size(), 2U);
  // The one in the background, and those of both files.
  EXPECT_EQ(disk_->syncs(), 3);
}

TEST_F(BackgroundSyncTest, ItsFailureIsFinal) {
  Create(absl::Hours(1), 1000);
  disk_->set_fails();
  ASSERT_THAT(Append(*journal_, std::string(2000, 'x')), IsOk());
  disk_->WaitForSync();
  std::thread state_change([&] {
    // Waits for the sync that fails, and must not take its own for a success.
    EXPECT_THAT(AppendSynced(*journal_), StatusIs(absl::StatusCode::kInternal));
  });
  WaitForWrite();
  disk_->Release();
  state_change.join();
  const absl::Status failed = journal_->status();
  EXPECT_THAT(failed, StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(Append(*journal_, "more"), failed);
  EXPECT_EQ(Finish(*journal_), failed);
  EXPECT_EQ(disk_->syncs(), 1);
  const Replay replay = ReplayAll(*journal_);
  ASSERT_EQ(replay.events.size(), 2U);
  EXPECT_TRUE(replay.events[1].has_finished());
}

TEST_F(BackgroundSyncTest, TheJournalMayGoMeanwhile) {
  Create(absl::Hours(1), 1000);
  ASSERT_THAT(Append(*journal_, std::string(2000, 'x')), IsOk());
  disk_->WaitForSync();
  journal_.reset();
  EXPECT_GT(disk_->open_files(), 0U);
  disk_->Release();
  const absl::Time deadline = absl::Now() + kDeadline;
  while (disk_->open_files() > 0 && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(disk_->open_files(), 0U);
}

// 10 MB of small events: the file is not read to find one of them.
TEST(JournalIndexTest, FindsAnEventAmong100000) {
  constexpr std::int64_t kEvents = 100000;
  const auto disk = std::make_shared<MemoryDisk>();
  {
    const absl::StatusOr<std::shared_ptr<Journal>> journal = CreateOn(disk);
    ASSERT_THAT(journal, IsOk());
    for (std::int64_t i = 1; i < kEvents; ++i) {
      // The marks that the background leaves at every MiB.
      ASSERT_THAT(i % 10000 == 0 ? AppendSynced(**journal)
                                 : Append(**journal, std::string(80, 'x')),
                  IsOk());
    }
    ASSERT_THAT(Finish(**journal), IsOk());
  }
  const auto counting = std::make_shared<FaultyDisk>(disk);
  const absl::StatusOr<std::shared_ptr<Journal>> journal =
      Journal::Open(kFolder, kBuildName, counting);
  ASSERT_THAT(journal, IsOk());
  EXPECT_EQ((*journal)->last_sequence(), kEvents);
  EXPECT_LE(counting->count(kPread), 5);
  EXPECT_LE(counting->bytes_read(), 1000);
  ASSERT_GT((*journal)->size_bytes(), 10 * 1000 * 1000);
  for (std::int64_t sequence = 17; sequence < kEvents; sequence += 9999) {
    const int reads = counting->count(kPread);
    const std::int64_t bytes = counting->bytes_read();
    absl::StatusOr<Journal::Cursor> cursor = (*journal)->After(sequence);
    ASSERT_THAT(cursor, IsOk());
    const absl::StatusOr<std::optional<Journal::Entry>> entry =
        (*journal)->Read(*cursor);
    ASSERT_THAT(entry, IsOk());
    EXPECT_EQ((*entry)->sequence, sequence + 1);
    EXPECT_LE(counting->count(kPread) - reads, 40);
    EXPECT_LE(counting->bytes_read() - bytes, 1500 * 1000);
  }
}

}  // namespace
}  // namespace containerbuilder::service
