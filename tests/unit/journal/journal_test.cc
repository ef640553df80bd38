#include "journal/journal.h"

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/executor.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unit/journal/journal_fixture.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::testing::HasSubstr;

constexpr absl::Duration kDeadline = absl::Seconds(30);

class JournalTest : public testing::Test {
 protected:
  void SetUp() override { Create(); }

  void Create(Journal::Options options = {}) {
    journal_.reset();
    std::filesystem::remove_all(folder());
    std::filesystem::create_directory(folder());
    absl::StatusOr<std::shared_ptr<Journal>> journal =
        Journal::Create(folder(), kBuildName, kAdmission, std::move(options));
    ASSERT_THAT(journal, IsOk());
    journal_ = *std::move(journal);
  }

  // Opens it as after a restart.
  Journal::Recovery Recover(const Journal::Visitor& visit = nullptr) {
    journal_.reset();
    absl::StatusOr<Journal::Recovery> recovery =
        Journal::Recover(folder(), kBuildName, {}, visit);
    EXPECT_THAT(recovery, IsOk());
    if (!recovery.ok()) return {};
    journal_ = recovery->journal;
    return *std::move(recovery);
  }

  void Append(const std::string& data) {
    ASSERT_THAT(service::Append(*journal_, data), IsOk());
  }

  std::string folder() const { return dir_.Path("build"); }

  const TempDir dir_;
  std::shared_ptr<Journal> journal_;
};

TEST_F(JournalTest, NumbersEventsFromOneAndReplaysThem) {
  const std::string binary("\0\xff\n", 3);
  Append("a");
  Append(binary);
  v1::BuildEvent last = Finished();
  ASSERT_THAT(journal_->Finish(last), IsOk());
  EXPECT_EQ(last.sequence(), 3);
  EXPECT_EQ(journal_->last_sequence(), 3);

  Journal::Cursor cursor;
  const Replay replay = ReplayFrom(*journal_, cursor);
  ASSERT_EQ(replay.events.size(), 3U);
  EXPECT_EQ(replay.events[0].sequence(), 1);
  EXPECT_EQ(replay.events[1].sequence(), 2);
  EXPECT_EQ(replay.events[1].output().data(), binary);
  EXPECT_TRUE(replay.events[2].has_finished());
  EXPECT_TRUE(Journal::AtEnd(cursor));
}

TEST_F(JournalTest, EachCursorGoesItsOwnWay) {
  Append("a");
  Journal::Cursor early;
  EXPECT_EQ(ReplayFrom(*journal_, early).events.size(), 1U);
  Append("b");
  EXPECT_EQ(ReplayAll(*journal_).events.size(), 2U);
  EXPECT_EQ(ReplayFrom(*journal_, early).events.size(), 1U);
  EXPECT_FALSE(Journal::AtEnd(early));
}

TEST_F(JournalTest, WakesOnceWhenThereIsSomething) {
  const Journal::Cursor cursor;
  int woken = 0;
  ASSERT_TRUE(journal_->WakeOnce(cursor, journal_, [&woken] { ++woken; }));
  EXPECT_EQ(woken, 0);
  Append("a");
  EXPECT_EQ(woken, 1);
  Append("b");
  EXPECT_EQ(woken, 1);
  EXPECT_FALSE(journal_->WakeOnce(cursor, journal_, [] { FAIL(); }));
}

// Else whoever watches a silent build, and leaves, again and again, fills
// memory.
TEST_F(JournalTest, KeepsLittleOfThoseWhoHaveLeft) {
  const Journal::Cursor cursor;
  const auto stays = std::make_shared<int>(0);
  const auto kept = std::make_shared<int>(0);
  for (int i = 0; i < 1000; ++i) {
    const auto leaves = std::make_shared<int>(0);
    ASSERT_TRUE(journal_->WakeOnce(cursor, leaves, [kept] { FAIL(); }));
    if (i % 100 > 0) continue;
    ASSERT_TRUE(journal_->WakeOnce(cursor, stays, [&stays] { ++*stays; }));
  }
  EXPECT_LT(kept.use_count(), 50);
  Append("a");
  EXPECT_EQ(*stays, 10);
  EXPECT_EQ(kept.use_count(), 1);
}

TEST_F(JournalTest, WakesForTheLastEventAndNeverAgain) {
  Journal::Cursor cursor;
  int woken = 0;
  ASSERT_TRUE(journal_->WakeOnce(cursor, journal_, [&woken] { ++woken; }));
  ASSERT_THAT(Finish(*journal_), IsOk());
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(ReplayFrom(*journal_, cursor).events.size(), 1U);
  EXPECT_FALSE(journal_->WakeOnce(cursor, journal_, [] { FAIL(); }));
}

TEST_F(JournalTest, ClosingTellsThoseWhoHaveReadAll) {
  Append("a");
  Journal::Cursor waiting;
  ReplayFrom(*journal_, waiting);
  int woken = 0;
  ASSERT_TRUE(journal_->WakeOnce(waiting, journal_, [&woken] { ++woken; }));
  const absl::Status why = absl::UnavailableError("going");
  journal_->Close(why);
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(ReplayFrom(*journal_, waiting).status, why);
  EXPECT_FALSE(Journal::AtEnd(waiting));
  EXPECT_FALSE(journal_->WakeOnce(waiting, journal_, [] { FAIL(); }));
  const Replay late = ReplayAll(*journal_);
  EXPECT_EQ(late.events.size(), 1U);
  EXPECT_EQ(late.status, why);
  EXPECT_EQ(service::Append(*journal_, "b"), why);
  EXPECT_EQ(Finish(*journal_), why);
  EXPECT_EQ(journal_->last_sequence(), 1);
}

TEST_F(JournalTest, NothingComesAfterTheLastEvent) {
  ASSERT_THAT(Finish(*journal_), IsOk());
  EXPECT_THAT(service::Append(*journal_, "late"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(AppendSynced(*journal_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(Finish(*journal_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  journal_->Close(absl::UnavailableError("going"));
  const Replay replay = ReplayAll(*journal_);
  EXPECT_EQ(replay.events.size(), 1U);
  EXPECT_THAT(replay.status, IsOk());
}

TEST_F(JournalTest, IsPrivateAndNeverOverwrites) {
  for (const char* name : {"journal", "journal.sync"}) {
    struct stat found = {};
    ASSERT_EQ(stat((folder() + "/" + name).c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600U);
  }
  Append("kept");
  EXPECT_THAT(Journal::Create(folder(), kBuildName, kAdmission, {}),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(Recover().journal->last_sequence(), 1);
}

TEST_F(JournalTest, GoesOnAfterARestart) {
  Append("a");
  ASSERT_THAT(AppendSynced(*journal_), IsOk());
  Append("b");
  std::vector<std::int64_t> visited;
  const Journal::Recovery recovery =
      Recover([&](std::int64_t sequence, absl::string_view bytes) {
        v1::BuildEvent event;
        EXPECT_TRUE(
            event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
        EXPECT_EQ(event.sequence(), sequence);
        visited.push_back(sequence);
      });
  EXPECT_THAT(visited, testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(recovery.admission, kAdmission);
  EXPECT_FALSE(recovery.finished.has_value());
  EXPECT_THAT(recovery.damage, IsOk());
  EXPECT_THAT(recovery.repairs, testing::IsEmpty());
  EXPECT_THAT(journal_->status(), IsOk());

  Append("c");
  ASSERT_THAT(Finish(*journal_), IsOk());
  const Journal::Recovery ended = Recover();
  ASSERT_TRUE(ended.finished.has_value());
  EXPECT_EQ(ended.finished->sequence, 5);
  EXPECT_TRUE(ended.finished->last);
  EXPECT_EQ(ReplayAll(*journal_).events.size(), 5U);
  EXPECT_THAT(service::Append(*journal_, "late"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(JournalTest, AnEndedOneIsOpenedForReaders) {
  Append("a");
  ASSERT_THAT(Finish(*journal_), IsOk());
  const std::int64_t size = journal_->size_bytes();
  journal_.reset();
  absl::StatusOr<std::shared_ptr<Journal>> journal =
      Journal::Open(folder(), kBuildName);
  ASSERT_THAT(journal, IsOk());
  EXPECT_EQ((*journal)->last_sequence(), 2);
  EXPECT_EQ((*journal)->size_bytes(), size);
  EXPECT_EQ(std::filesystem::file_size(folder() + "/journal"), size);
  EXPECT_EQ(*(*journal)->Admission(), kAdmission);
  Journal::Cursor cursor;
  EXPECT_FALSE((*journal)->WakeOnce(cursor, *journal, [] { FAIL(); }));
  EXPECT_EQ(ReplayFrom(**journal, cursor).events.size(), 2U);
  EXPECT_TRUE(Journal::AtEnd(cursor));
  EXPECT_THAT(service::Append(**journal, "late"),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(JournalTest, OpeningTellsWhatIsThere) {
  EXPECT_THAT(Journal::Open(dir_.Path("none"), kBuildName),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Journal::Recover(dir_.Path("none"), kBuildName, {}),
              StatusIs(absl::StatusCode::kNotFound));
  // The seed tells builds apart.
  EXPECT_THAT(Journal::Open(folder(), "builds/other"),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(JournalTest, FindsEachPlaceWhereverItIs) {
  // More than what is kept in memory, so that the first come from the file.
  const std::string data(1000, 'x');
  constexpr std::int64_t kEvents = 1000;
  for (std::int64_t i = 1; i <= kEvents; ++i) {
    if (i % 100 == 0) {
      ASSERT_THAT(AppendSynced(*journal_), IsOk());
    } else {
      Append(data);
    }
  }
  const auto expect_all = [](const Journal& journal, std::int64_t last) {
    for (std::int64_t sequence = 0; sequence <= last; ++sequence) {
      absl::StatusOr<Journal::Cursor> cursor = journal.After(sequence);
      ASSERT_THAT(cursor, IsOk()) << sequence;
      ASSERT_EQ(cursor->sequence(), sequence);
      const absl::StatusOr<std::optional<Journal::Entry>> entry =
          journal.Read(*cursor);
      ASSERT_THAT(entry, IsOk()) << sequence;
      ASSERT_EQ(entry->has_value(), sequence < last) << sequence;
      if (entry->has_value()) {
        ASSERT_EQ((*entry)->sequence, sequence + 1);
      }
    }
    EXPECT_THAT(journal.After(last + 1),
                StatusIs(absl::StatusCode::kOutOfRange));
    EXPECT_THAT(journal.After(-1), StatusIs(absl::StatusCode::kOutOfRange));
  };
  expect_all(*journal_, kEvents);
  EXPECT_FALSE(Journal::AtEnd(*journal_->After(kEvents)));
  ASSERT_THAT(Finish(*journal_), IsOk());
  expect_all(*journal_, kEvents + 1);
  EXPECT_TRUE(Journal::AtEnd(*journal_->After(kEvents + 1)));
  Recover();
  expect_all(*journal_, kEvents + 1);
  absl::StatusOr<std::shared_ptr<Journal>> ended =
      Journal::Open(folder(), kBuildName);
  ASSERT_THAT(ended, IsOk());
  expect_all(**ended, kEvents + 1);
  EXPECT_TRUE(Journal::AtEnd(*(*ended)->After(kEvents + 1)));
}

TEST_F(JournalTest, RefusesAnEventThatIsTooLargeAndGoesOn) {
  EXPECT_THAT(service::Append(*journal_, std::string(17 * 1024 * 1024, 'x')),
              StatusIs(absl::StatusCode::kInvalidArgument));
  Append("small");
  EXPECT_EQ(journal_->last_sequence(), 1);
}

// Readers that wait, read and wait again while a writer writes and a thread
// syncs miss nothing.
TEST_F(JournalTest, ReadersFollowAWriter) {
  Executor executor(2);
  Journal::Options options;
  options.executor = &executor;
  options.sync_bytes = 10000;
  options.sync_interval = absl::Milliseconds(1);
  Create(std::move(options));
  constexpr int kEvents = 5000;
  constexpr int kReaders = 4;
  std::vector<std::thread> readers;
  std::vector<std::int64_t> seen(kReaders, 0);
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([this, i, &last = seen[i]] {
      Journal::Cursor cursor;
      while (!Journal::AtEnd(cursor)) {
        const Replay replay = ReplayFrom(*journal_, cursor);
        ASSERT_THAT(replay.status, IsOk());
        for (const v1::BuildEvent& event : replay.events) {
          ASSERT_EQ(event.sequence(), last + 1);
          last = event.sequence();
        }
        if (i == 0) cursor = *journal_->After(last);
        absl::Notification woken;
        if (journal_->WakeOnce(cursor, journal_,
                               [&woken] { woken.Notify(); })) {
          ASSERT_TRUE(woken.WaitForNotificationWithTimeout(kDeadline));
        }
      }
    });
  }
  // One who begins anew each time, and so reads the file.
  std::atomic<bool> done = false;
  std::thread late([&] {
    std::size_t before = 0;
    while (!done) {
      const Replay replay = ReplayAll(*journal_);
      ASSERT_THAT(replay.status, IsOk());
      ASSERT_GE(replay.events.size(), before);
      before = replay.events.size();
    }
  });
  for (int i = 1; i <= kEvents; ++i) {
    if (i % 500 == 0) {
      ASSERT_THAT(AppendSynced(*journal_), IsOk());
    } else {
      Append(std::string(i % 300, 'x'));
    }
  }
  ASSERT_THAT(Finish(*journal_), IsOk());
  for (std::thread& reader : readers) reader.join();
  done = true;
  late.join();
  for (const std::int64_t sequence : seen) EXPECT_EQ(sequence, kEvents + 1);
}

}  // namespace
}  // namespace containerbuilder::service
