// What a journal says when its files are not what was written: each byte cut,
// each bit flipped, records moved. It never gives a wrong event, never crashes,
// and never keeps quiet.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "gmock/gmock.h"
#include "journal/format.h"
#include "journal/journal.h"
#include "support/status_matchers.h"
#include "unit/journal/journal_fixture.h"
#include "unit/journal/memory_disk.h"

namespace containerbuilder::service {
namespace {

using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kRecords = 64;
constexpr char kFolder[] = "build";

// ThreadSanitizer has nothing to find here, and takes twenty times as long.
#if defined(__SANITIZE_THREAD__)
constexpr int kBitStep = 8;
#else
constexpr int kBitStep = 1;
#endif
const std::string kJournalFile = std::string(kBuildName) + "/journal";

std::string PlaceOf(std::int64_t offset) {
  return absl::StrCat(kJournalFile, ": byte ", offset, ":");
}

// The files of a journal, and what is in them.
struct Image {
  std::string journal;
  std::string sync;
  std::vector<std::string> events;
  // Where each record ends: the admission, then each event.
  std::vector<std::int64_t> ends;
  std::int64_t synced = 0;

  // How many whole records are in the first `bytes`.
  std::size_t RecordsIn(std::int64_t bytes) const {
    return std::upper_bound(ends.begin(), ends.end(), bytes) - ends.begin();
  }
  std::int64_t BeginOf(std::size_t record) const {
    return record == 0 ? std::int64_t{kFileHeaderBytes} : ends[record - 1];
  }
  std::string Record(std::size_t record) const {
    return journal.substr(BeginOf(record), ends[record] - BeginOf(record));
  }
};

class DamageTest : public testing::Test {
 protected:
  // A build with a mark after every 16th record; the last record is the
  // build's end, or some output that was never synced.
  Image Make(bool ended, const std::string& name = kBuildName,
             int records = kRecords) {
    disk_->Clear();
    Image image;
    absl::StatusOr<std::shared_ptr<Journal>> journal =
        Journal::Create(kFolder, name, kAdmission, OptionsForTests());
    EXPECT_THAT(journal, IsOk());
    image.ends.push_back((*journal)->size_bytes());
    image.synced = (*journal)->size_bytes();
    for (int record = 1; record < records; ++record) {
      v1::BuildEvent event;
      absl::Status added;
      if (ended && record == records - 1) {
        event = Finished();
        added = (*journal)->Finish(event);
        image.synced = (*journal)->size_bytes();
      } else if (record % 16 == 0) {
        event = Started();
        added = (*journal)->AppendSynced(event);
        image.synced = (*journal)->size_bytes();
      } else {
        // In pairs of one length.
        event = Output(std::string(record / 2 * 11 % 190, char('A' + record)));
        added = (*journal)->Append(event);
      }
      EXPECT_THAT(added, IsOk());
      image.events.push_back(event.SerializeAsString());
      image.ends.push_back((*journal)->size_bytes());
    }
    image.journal = disk_->Contents(Path("journal"));
    image.sync = disk_->Contents(Path("journal.sync"));
    EXPECT_EQ(static_cast<std::int64_t>(image.journal.size()),
              image.ends.back());
    return image;
  }

  void Put(const std::string& journal, const std::string& sync) {
    disk_->Put(Path("journal"), journal);
    disk_->Put(Path("journal.sync"), sync);
  }
  void Put(const Image& image) { Put(image.journal, image.sync); }

  Journal::Options OptionsForTests() const {
    Journal::Options options;
    options.system = disk_;
    return options;
  }

  absl::StatusOr<std::shared_ptr<Journal>> Open() {
    return Journal::Open(kFolder, kBuildName, disk_);
  }

  // Reads on from a cursor: all events must be those of the image, and there
  // must be `count` of them before the end or the error that is answered.
  absl::Status ExpectEvents(const Journal& journal, const Image& image,
                            Journal::Cursor cursor, std::size_t count) {
    auto sequence = static_cast<std::size_t>(cursor.sequence());
    while (true) {
      absl::StatusOr<std::optional<Journal::Entry>> entry =
          journal.Read(cursor);
      if (!entry.ok() || !entry->has_value()) {
        EXPECT_EQ(sequence, count) << entry.status();
        EXPECT_EQ(Journal::AtEnd(cursor), entry.ok());
        return entry.status();
      }
      if (++sequence > image.events.size() ||
          *(*entry)->event != image.events[sequence - 1] ||
          (*entry)->sequence != static_cast<std::int64_t>(sequence)) {
        ADD_FAILURE() << "a wrong event in place of " << sequence;
        return absl::OkStatus();
      }
    }
  }

  // What Open must do where the files are the image's but for the records from
  // `damaged` on, which begin at `place`.
  void ExpectOpenStopsAt(const Image& image, std::size_t damaged) {
    const absl::StatusOr<std::shared_ptr<Journal>> journal = Open();
    ASSERT_THAT(journal, IsOk());
    const std::size_t events = damaged == 0 ? 0 : damaged - 1;
    ASSERT_THAT(ExpectEvents(**journal, image, {}, events),
                StatusIs(absl::StatusCode::kDataLoss,
                         HasSubstr(PlaceOf(image.BeginOf(damaged)))));
  }

  // What Recover must do with damage to what was on disk: tell it, touch
  // nothing, and let the rest be read.
  void ExpectDamage(const Image& image, std::size_t damaged,
                    std::size_t readable) {
    const std::string before = disk_->Contents(Path("journal"));
    absl::StatusOr<Journal::Recovery> recovery =
        Journal::Recover(kFolder, kBuildName, OptionsForTests());
    ASSERT_THAT(recovery, IsOk());
    ASSERT_THAT(recovery->damage,
                StatusIs(absl::StatusCode::kDataLoss,
                         HasSubstr(PlaceOf(image.BeginOf(damaged)))));
    Journal& journal = *recovery->journal;
    ASSERT_EQ(recovery->admission.has_value(), damaged > 0);
    ASSERT_THAT(ExpectEvents(journal, image, {}, readable),
                StatusIs(absl::StatusCode::kDataLoss,
                         HasSubstr(PlaceOf(image.BeginOf(damaged)))));
    ASSERT_FALSE(Append(journal, "more").ok());
    ASSERT_FALSE(Finish(journal).ok());
    ASSERT_FALSE(
        journal.WakeOnce({}, journal.weak_from_this(), [] { FAIL(); }));
    ASSERT_EQ(disk_->Contents(Path("journal")), before);
  }

  // What Recover must do with a torn tail from `record` on: keep it aside, cut
  // it, and go on.
  void ExpectTornTail(const Image& image, std::size_t record) {
    const std::string before = disk_->Contents(Path("journal"));
    const std::int64_t place = image.BeginOf(record);
    absl::StatusOr<Journal::Recovery> recovery =
        Journal::Recover(kFolder, kBuildName, OptionsForTests());
    ASSERT_THAT(recovery, IsOk());
    ASSERT_THAT(recovery->damage, IsOk());
    ASSERT_EQ(recovery->admission, kAdmission);
    const std::string torn = Path(absl::StrCat("journal.torn-", place));
    if (static_cast<std::int64_t>(before.size()) > place) {
      ASSERT_EQ(disk_->Contents(torn), before.substr(place));
      ASSERT_THAT(recovery->repairs, Not(IsEmpty()));
      disk_->Remove(torn);
    } else {
      ASSERT_FALSE(disk_->Exists(torn));
    }
    ASSERT_EQ(disk_->Contents(Path("journal")), before.substr(0, place));
    GoOn(*recovery->journal, image, record - 1);
  }

  // Appends behind `count` events of the image, ends, and reads it all again.
  void GoOn(Journal& journal, const Image& image, std::size_t count) {
    ASSERT_EQ(journal.last_sequence(), count);
    Image whole = image;
    whole.events.resize(count);
    v1::BuildEvent more = Output("more");
    ASSERT_THAT(journal.Append(more), IsOk());
    whole.events.push_back(more.SerializeAsString());
    v1::BuildEvent last = Finished();
    ASSERT_THAT(journal.Finish(last), IsOk());
    whole.events.push_back(last.SerializeAsString());
    ASSERT_EQ(last.sequence(), count + 2);
    ASSERT_THAT(ExpectEvents(journal, whole, {}, count + 2), IsOk());
    const absl::StatusOr<std::shared_ptr<Journal>> ended = Open();
    ASSERT_THAT(ended, IsOk());
    ASSERT_THAT(ExpectEvents(**ended, whole, {}, count + 2), IsOk());
  }

  static std::string Path(const std::string& name) {
    return absl::StrCat(kFolder, "/", name);
  }

  const std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
};

TEST_F(DamageTest, AnEndedJournalCutAtEveryByte) {
  const Image image = Make(/*ended=*/true);
  for (std::size_t size = 0; size < image.journal.size(); ++size) {
    SCOPED_TRACE(size);
    Image cut = image;
    cut.journal.resize(size);
    Put(cut);
    if (size < kFileHeaderBytes) {
      EXPECT_THAT(Open(),
                  StatusIs(absl::StatusCode::kDataLoss, HasSubstr(PlaceOf(0))));
      EXPECT_THAT(Journal::Recover(kFolder, kBuildName, OptionsForTests()),
                  StatusIs(absl::StatusCode::kDataLoss, HasSubstr(PlaceOf(0))));
      continue;
    }
    const std::size_t records = image.RecordsIn(static_cast<int>(size));
    ExpectOpenStopsAt(image, records);
    ExpectDamage(image, records, records == 0 ? 0 : records - 1);
    if (HasFatalFailure()) return;
  }
}

TEST_F(DamageTest, AnUnendedJournalCutAtEveryByte) {
  const Image image = Make(/*ended=*/false);
  ASSERT_LT(image.synced, image.ends.back());
  for (std::size_t size = kFileHeaderBytes; size <= image.journal.size();
       ++size) {
    SCOPED_TRACE(size);
    Image cut = image;
    cut.journal.resize(size);
    Put(cut);
    const std::size_t records = image.RecordsIn(static_cast<int>(size));
    if (static_cast<std::int64_t>(size) < image.synced) {
      ExpectDamage(image, records, records == 0 ? 0 : records - 1);
    } else {
      ExpectTornTail(image, records);
    }
    if (HasFatalFailure()) return;
  }
}

TEST_F(DamageTest, EveryBitOfAnEndedJournal) {
  const Image image = Make(/*ended=*/true);
  Put(image);
  const int fd = disk_->Open(Path("journal").c_str(), 0, 0);
  const auto put = [&](std::size_t byte, char value) {
    disk_->Pwrite(fd, &value, 1, static_cast<off_t>(byte));
  };
  for (std::size_t byte = 0; byte < image.journal.size(); ++byte) {
    const std::size_t record = image.RecordsIn(static_cast<int>(byte));
    for (int bit = 0; bit < 8; bit += kBitStep) {
      SCOPED_TRACE(absl::StrCat("byte ", byte, " bit ", bit));
      put(byte, static_cast<char>(image.journal[byte] ^ (1 << bit)));
      if (byte < kFileHeaderBytes) {
        ASSERT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss));
      } else {
        ExpectOpenStopsAt(image, record);
      }
      if (HasFatalFailure()) return;
    }
    // The end of the build is found behind the damage.
    if (byte >= kFileHeaderBytes) {
      ExpectDamage(image, record, record == 0 ? 0 : record - 1);
      const absl::StatusOr<Journal::Recovery> recovery =
          Journal::Recover(kFolder, kBuildName, OptionsForTests());
      ASSERT_EQ(recovery->finished.has_value(), record < kRecords - 1) << byte;
      if (recovery->finished) {
        ASSERT_EQ(*recovery->finished->event, image.events.back());
      }
    }
    put(byte, image.journal[byte]);
    if (HasFatalFailure()) return;
  }
}

TEST_F(DamageTest, EveryBitOfAnUnendedJournal) {
  const Image image = Make(/*ended=*/false);
  Put(image);
  for (std::size_t byte = 0; byte < image.journal.size(); ++byte) {
    const std::size_t record = image.RecordsIn(static_cast<int>(byte));
    for (int bit = 0; bit < 8; bit += kBitStep) {
      SCOPED_TRACE(absl::StrCat("byte ", byte, " bit ", bit));
      std::string flipped = image.journal;
      flipped[byte] = static_cast<char>(flipped[byte] ^ 1 << bit);
      Put(flipped, image.sync);
      if (byte < kFileHeaderBytes) {
        ASSERT_THAT(Journal::Recover(kFolder, kBuildName, OptionsForTests()),
                    StatusIs(absl::StatusCode::kDataLoss));
      } else if (static_cast<std::int64_t>(byte) < image.synced) {
        ExpectDamage(image, record, record == 0 ? 0 : record - 1);
      } else {
        ExpectTornTail(image, record);
      }
      if (HasFatalFailure()) return;
    }
  }
}

// Its marks are hints to readers: nothing is lost but the time to look.
TEST_F(DamageTest, EveryBitAndEveryByteOfTheMarksOfAnEndedJournal) {
  const Image image = Make(/*ended=*/true);
  const auto expect_all = [&](const Image& damaged) {
    Put(damaged);
    const absl::StatusOr<std::shared_ptr<Journal>> journal = Open();
    ASSERT_THAT(journal, IsOk());
    ASSERT_EQ((*journal)->last_sequence(), kRecords - 1);
    for (int sequence = 0; sequence < kRecords; sequence += 7) {
      const absl::StatusOr<Journal::Cursor> cursor =
          (*journal)->After(sequence);
      ASSERT_THAT(cursor, IsOk());
      ASSERT_THAT(ExpectEvents(**journal, image, *cursor, kRecords - 1),
                  IsOk());
    }
  };
  for (std::size_t byte = 0; byte < image.sync.size(); ++byte) {
    SCOPED_TRACE(byte);
    Image damaged = image;
    damaged.sync.resize(byte);
    expect_all(damaged);
    for (int bit = 0; bit < 8; bit += kBitStep) {
      damaged = image;
      damaged.sync[byte] = static_cast<char>(image.sync[byte] ^ 1 << bit);
      expect_all(damaged);
    }
    if (HasFatalFailure()) return;
  }
}

TEST_F(DamageTest, EveryBitAndEveryByteOfTheMarksOfAnUnendedJournal) {
  const Image image = Make(/*ended=*/false);
  const auto expect_told = [&](const Image& damaged) {
    Put(damaged);
    absl::StatusOr<Journal::Recovery> recovery =
        Journal::Recover(kFolder, kBuildName, OptionsForTests());
    ASSERT_THAT(recovery, IsOk());
    ASSERT_THAT(recovery->damage, IsOk());
    // Whole marks that are gone leave no trace.
    ASSERT_EQ(recovery->repairs.empty(),
              damaged.sync.size() < image.sync.size() &&
                  damaged.sync.size() >= kFileHeaderBytes &&
                  (damaged.sync.size() - kFileHeaderBytes) % kMarkBytes == 0);
    GoOn(*recovery->journal, image, kRecords - 1);
  };
  for (std::size_t byte = 0; byte < image.sync.size(); ++byte) {
    SCOPED_TRACE(byte);
    Image damaged = image;
    damaged.sync.resize(byte);
    expect_told(damaged);
    for (int bit = 0; bit < 8; bit += kBitStep) {
      damaged = image;
      damaged.sync[byte] = static_cast<char>(image.sync[byte] ^ 1 << bit);
      expect_told(damaged);
    }
    if (HasFatalFailure()) return;
  }
}

// Nothing says what was on disk, so nothing may be cut.
TEST_F(DamageTest, WithoutMarksATornTailIsDamage) {
  Image image = Make(/*ended=*/false);
  Image torn = image;
  torn.journal.pop_back();
  Put(torn);
  disk_->Remove(Path("journal.sync"));
  ExpectDamage(image, kRecords - 1, kRecords - 2);

  Put(image);
  disk_->Remove(Path("journal.sync"));
  absl::StatusOr<Journal::Recovery> recovery =
      Journal::Recover(kFolder, kBuildName, OptionsForTests());
  ASSERT_THAT(recovery, IsOk());
  EXPECT_THAT(recovery->damage, IsOk());
  EXPECT_THAT(recovery->repairs, Not(IsEmpty()));
  GoOn(*recovery->journal, image, kRecords - 1);
}

TEST_F(DamageTest, RecordsSwappedRepeatedAndDeleted) {
  for (const bool ended : {true, false}) {
    const Image image = Make(ended);
    const auto expect_stop = [&](const std::string& journal,
                                 std::size_t record) {
      Image moved = image;
      moved.journal = journal;
      Put(moved);
      if (ended) ExpectOpenStopsAt(image, record);
      if (image.BeginOf(record) < image.synced) {
        ExpectDamage(image, record, record == 0 ? 0 : record - 1);
      } else {
        ExpectTornTail(image, record);
      }
    };
    int equal = 0;
    for (std::size_t record = 0; record + 1 < kRecords; ++record) {
      SCOPED_TRACE(absl::StrCat("record ", record, ended ? " ended" : ""));
      const std::string head = image.journal.substr(0, image.BeginOf(record));
      const std::string first = image.Record(record);
      const std::string second = image.Record(record + 1);
      const std::string rest = image.journal.substr(image.ends[record + 1]);
      if (first.size() == second.size()) ++equal;
      expect_stop(head + second + first + rest, record);
      expect_stop(head + first + first + second + rest, record + 1);
      expect_stop(head + second + rest, record);
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(equal, 10);
    // Whatever comes after the last event is not read.
    if (ended) {
      Image longer = image;
      longer.journal += image.Record(kRecords - 1);
      Put(longer);
      const absl::StatusOr<std::shared_ptr<Journal>> journal = Open();
      ASSERT_THAT(journal, IsOk());
      EXPECT_THAT(ExpectEvents(**journal, image, {}, kRecords - 1), IsOk());
    }
  }
}

TEST_F(DamageTest, ATailOfZerosIsCut) {
  const Image image = Make(/*ended=*/false);
  for (const std::size_t bytes : {1, 23, 24, 25, 4096, 100000}) {
    Image longer = image;
    longer.journal.append(bytes, '\0');
    Put(longer);
    ExpectTornTail(image, kRecords);
  }
  // Zeros within what was on disk are damage.
  Image middle = image;
  middle.journal.replace(image.BeginOf(20), 300, 300, '\0');
  Put(middle);
  ExpectDamage(image, 20, 19);
}

// The blocks of a file may have been another's before.
TEST_F(DamageTest, ATailOfAnotherBuildsFileIsCut) {
  const Image other = Make(/*ended=*/true, "builds/other", 2 * kRecords);
  const Image image = Make(/*ended=*/false);
  // Same events, so that the other's records begin where ours would.
  ASSERT_EQ(other.ends[kRecords - 1], image.ends.back());
  Image longer = image;
  longer.journal += other.journal.substr(image.journal.size());
  Put(longer);
  ExpectTornTail(image, kRecords);
}

TEST_F(DamageTest, TheSameTailCutTwiceIsKeptTwice) {
  const Image image = Make(/*ended=*/false);
  for (const char* tail : {"first", "second"}) {
    Image longer = image;
    longer.journal += tail;
    Put(longer);
    EXPECT_THAT(Journal::Recover(kFolder, kBuildName, OptionsForTests()),
                IsOk());
  }
  const std::string torn =
      Path(absl::StrCat("journal.torn-", image.ends.back()));
  EXPECT_EQ(disk_->Contents(torn), "first");
  EXPECT_EQ(disk_->Contents(torn + ".2"), "second");
}

// A reader who joins behind the damage is not troubled by it.
TEST_F(DamageTest, WhatIsBehindTheDamageCanBeRead) {
  Image image = Make(/*ended=*/true);
  Image damaged = image;
  damaged.journal[image.BeginOf(20) + 30] ^= 1;
  Put(damaged);
  const absl::StatusOr<std::shared_ptr<Journal>> journal = Open();
  ASSERT_THAT(journal, IsOk());
  EXPECT_EQ((*journal)->last_sequence(), kRecords - 1);
  const absl::StatusOr<Journal::Cursor> behind = (*journal)->After(40);
  ASSERT_THAT(behind, IsOk());
  EXPECT_THAT(ExpectEvents(**journal, image, *behind, kRecords - 1), IsOk());
}

TEST_F(DamageTest, AFileThatShrinksWhileItIsReadIsDataLoss) {
  const Image image = Make(/*ended=*/true);
  const absl::StatusOr<std::shared_ptr<Journal>> journal = Open();
  ASSERT_THAT(journal, IsOk());
  disk_->Ftruncate(disk_->Open(Path("journal").c_str(), 0, 0),
                   image.ends[9] + 3);
  EXPECT_THAT(
      ExpectEvents(**journal, image, {}, 9),
      StatusIs(absl::StatusCode::kDataLoss, HasSubstr(PlaceOf(image.ends[9]))));
}

// As when the marks come from another copy of the folder.
TEST_F(DamageTest, AMarkThatDoesNotFitTheJournalIsNotBelieved) {
  const Image image = Make(/*ended=*/true);
  const std::uint32_t seed = ChecksumSeed(kBuildName);
  const Mark wrong = {image.ends[20], 25,
                      static_cast<std::uint32_t>(image.Record(20).size())};
  for (std::size_t place = kFileHeaderBytes; place < image.sync.size();
       place += kMarkBytes) {
    Image damaged = image;
    damaged.sync.replace(
        place, kMarkBytes,
        EncodeMark(seed, static_cast<std::int64_t>(place), wrong));
    Put(damaged);
    const absl::StatusOr<std::shared_ptr<Journal>> journal = Open();
    ASSERT_THAT(journal, IsOk());
    ASSERT_EQ((*journal)->last_sequence(), kRecords - 1);
    for (int sequence = 0; sequence < kRecords; ++sequence) {
      const absl::StatusOr<Journal::Cursor> cursor =
          (*journal)->After(sequence);
      ASSERT_THAT(cursor, IsOk());
      ASSERT_THAT(ExpectEvents(**journal, image, *cursor, kRecords - 1),
                  IsOk());
    }
  }
}

TEST_F(DamageTest, ARecordOutOfOrderIsDamage) {
  const Image image = Make(/*ended=*/false, kBuildName, 4);
  for (const std::int64_t sequence : {0, 3, 5}) {
    Image longer = image;
    longer.journal += EncodeFrame(ChecksumSeed(kBuildName), image.ends.back(),
                                  FrameType::kEvent, /*last=*/false, sequence,
                                  Output("x").SerializeAsString());
    Put(longer);
    ExpectTornTail(image, 4);
  }
}

std::string HeaderOfVersion(char major, char minor) {
  std::string header(kJournalMagic);
  header += {major, '\0', minor, '\0'};
  const std::uint32_t crc = ExtendCrc32c(ChecksumSeed(kBuildName), header);
  for (int byte = 0; byte < 4; ++byte) {
    header.push_back(static_cast<char>(crc >> (8 * byte)));
  }
  return header;
}

TEST_F(DamageTest, ANewerMajorVersionIsRefused) {
  Image image = Make(/*ended=*/true);
  image.journal.replace(0, kFileHeaderBytes, HeaderOfVersion(2, 0));
  Put(image);
  const auto refused =
      StatusIs(absl::StatusCode::kFailedPrecondition,
               testing::AllOf(HasSubstr(kJournalFile), HasSubstr("format 2")));
  EXPECT_THAT(Open(), refused);
  EXPECT_THAT(Journal::Recover(kFolder, kBuildName, OptionsForTests()),
              refused);
  EXPECT_EQ(disk_->Contents(Path("journal")), image.journal);
}

TEST_F(DamageTest, RecordsThatANewerMinorVersionAddsArePassedOver) {
  const Image plain = Make(/*ended=*/false, kBuildName, 3);
  const std::uint32_t seed = ChecksumSeed(kBuildName);
  Image image = plain;
  image.journal.replace(0, kFileHeaderBytes, HeaderOfVersion(1, 7));
  const auto add = [&](std::uint8_t type, bool last, std::int64_t sequence,
                       const std::string& payload) {
    image.journal +=
        EncodeFrame(seed, static_cast<std::int64_t>(image.journal.size()),
                    static_cast<FrameType>(type), last, sequence, payload);
  };
  add(99, false, 2, "something new");
  v1::BuildEvent event = Output("known");
  event.set_sequence(3);
  image.events.push_back(event.SerializeAsString());
  add(2, false, 3, image.events.back());
  add(100, false, 3, "");
  Put(image);
  absl::StatusOr<Journal::Recovery> recovery =
      Journal::Recover(kFolder, kBuildName, OptionsForTests());
  ASSERT_THAT(recovery, IsOk());
  EXPECT_THAT(recovery->damage, IsOk());
  EXPECT_EQ(recovery->journal->unknown_records(), 2);
  EXPECT_THAT(recovery->repairs,
              testing::Contains(HasSubstr("2 records of an unknown kind")));
  GoOn(*recovery->journal, image, 3);
}

}  // namespace
}  // namespace containerbuilder::service
