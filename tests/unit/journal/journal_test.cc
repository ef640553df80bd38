#include "journal/journal.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;

v1::BuildEvent Output(const std::string& data) {
  v1::BuildEvent event;
  event.mutable_output()->set_data(data);
  return event;
}

v1::BuildEvent Finished() {
  v1::BuildEvent event;
  event.mutable_finished();
  return event;
}

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::shared_ptr<Journal>> journal =
        Journal::Create(folder_.Path("journal"));
    ASSERT_THAT(journal, IsOk());
    journal_ = *journal;
  }

  void Append(const std::string& data) {
    v1::BuildEvent event = Output(data);
    ASSERT_THAT(journal_->Append(event), IsOk());
  }

  // What there is for this cursor now.
  std::vector<v1::BuildEvent> ReadAll(Journal::Cursor& cursor) {
    std::vector<v1::BuildEvent> events;
    while (true) {
      absl::StatusOr<std::optional<v1::BuildEvent>> event =
          journal_->Read(cursor);
      EXPECT_THAT(event, IsOk());
      if (!event.ok() || !event->has_value()) return events;
      events.push_back(**event);
    }
  }

  const TempDir folder_;
  std::shared_ptr<Journal> journal_;
};

TEST_F(JournalTest, NumbersEventsFromOneAndReplaysThem) {
  const std::string binary("\0\xff\n", 3);
  Append("a");
  Append(binary);
  v1::BuildEvent last = Finished();
  journal_->Finish(last);
  EXPECT_EQ(last.sequence(), 3);
  EXPECT_EQ(journal_->last_sequence(), 3);

  Journal::Cursor cursor;
  const std::vector<v1::BuildEvent> events = ReadAll(cursor);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].sequence(), 1);
  EXPECT_EQ(events[1].sequence(), 2);
  EXPECT_EQ(events[1].output().data(), binary);
  EXPECT_TRUE(events[2].has_finished());
  EXPECT_TRUE(Journal::AtEnd(cursor));
}

TEST_F(JournalTest, EachCursorGoesItsOwnWay) {
  Append("a");
  Journal::Cursor early;
  EXPECT_EQ(ReadAll(early).size(), 1U);
  Append("b");
  Journal::Cursor late;
  EXPECT_EQ(ReadAll(late).size(), 2U);
  EXPECT_EQ(ReadAll(early).size(), 1U);
  EXPECT_FALSE(Journal::AtEnd(early));
}

TEST_F(JournalTest, WakesOnceWhenThereIsSomething) {
  Journal::Cursor cursor;
  int woken = 0;
  ASSERT_TRUE(journal_->WakeOnce(cursor, [&woken] { ++woken; }));
  EXPECT_EQ(woken, 0);
  Append("a");
  EXPECT_EQ(woken, 1);
  Append("b");
  EXPECT_EQ(woken, 1);
  EXPECT_FALSE(journal_->WakeOnce(cursor, [] { FAIL(); }));
}

TEST_F(JournalTest, WakesForTheLastEventAndNeverAgain) {
  Journal::Cursor cursor;
  int woken = 0;
  ASSERT_TRUE(journal_->WakeOnce(cursor, [&woken] { ++woken; }));
  v1::BuildEvent last = Finished();
  journal_->Finish(last);
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(ReadAll(cursor).size(), 1U);
  EXPECT_FALSE(journal_->WakeOnce(cursor, [] { FAIL(); }));
}

TEST_F(JournalTest, IsPrivateAndNeverOverwrites) {
  struct stat found = {};
  ASSERT_EQ(stat(folder_.Path("journal").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U);
  EXPECT_THAT(Journal::Create(folder_.Path("journal")),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

// RLIMIT_FSIZE stands for a disk that takes no more (EFBIG in place of
// ENOSPC): what was written stays, and there is still an end.
TEST_F(JournalTest, KeepsWhatItHasWhenTheDiskTakesNoMore) {
  Append("first");
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit tight = before;
  tight.rlim_cur = 100;
  auto* const old_handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  v1::BuildEvent large = Output(std::string(200, 'x'));
  const absl::Status refused = journal_->Append(large);
  v1::BuildEvent small = Output("x");
  const absl::Status again = journal_->Append(small);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);

  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(again, refused);
  v1::BuildEvent last = Finished();
  journal_->Finish(last);
  EXPECT_EQ(last.sequence(), 2);
  Journal::Cursor cursor;
  const std::vector<v1::BuildEvent> events = ReadAll(cursor);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].output().data(), "first");
  EXPECT_TRUE(events[1].has_finished());
}

TEST_F(JournalTest, DamageIsAnErrorNotACrash) {
  Append("first");
  std::filesystem::resize_file(folder_.Path("journal"), 5);
  Journal::Cursor cursor;
  EXPECT_THAT(journal_->Read(cursor), StatusIs(absl::StatusCode::kDataLoss));
}

// Readers that wait, read and wait again while a writer writes miss nothing.
TEST_F(JournalTest, ReadersFollowAWriter) {
  constexpr int kEvents = 5000;
  constexpr int kReaders = 4;
  std::vector<std::thread> readers;
  std::vector<std::int64_t> seen(kReaders, 0);
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([this, &last = seen[i]] {
      Journal::Cursor cursor;
      while (!Journal::AtEnd(cursor)) {
        for (const v1::BuildEvent& event : ReadAll(cursor)) {
          ASSERT_EQ(event.sequence(), last + 1);
          last = event.sequence();
        }
        absl::Notification woken;
        if (journal_->WakeOnce(cursor, [&woken] { woken.Notify(); })) {
          woken.WaitForNotification();
        }
      }
    });
  }
  for (int i = 0; i < kEvents; ++i) Append(std::string(i % 100, 'x'));
  v1::BuildEvent last = Finished();
  journal_->Finish(last);
  for (std::thread& reader : readers) reader.join();
  for (const std::int64_t sequence : seen) EXPECT_EQ(sequence, kEvents + 1);
}

}  // namespace
}  // namespace containerbuilder::service
