// What is made of a build's journal and its record in the store, whole and
// damaged, in every combination that a crash can leave.

#include "build/recovery.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "journal/format.h"
#include "support/processes.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

using storage::v1::BuildRecord;
using test_support::IsOk;
using test_support::StatusIs;
using test_support::TempDir;

constexpr char kName[] = "builds/01aryz6s41tsv4rrffq69g5fav";

// How far a build came before the crash.
enum class Stage { kQueued, kToldPosition, kStarted, kFinished };
// What the store has of it.
enum class Stored { kNothing, kQueued, kRunning };

class NoSync : public SystemCalls {
 public:
  int Fdatasync(int /*fd*/) override { return 0; }
  int Fsync(int /*fd*/) override { return 0; }
};

class RecoveryTest : public testing::Test {
 protected:
  static BuildRecord Admission() {
    BuildRecord record;
    v1::Build& build = *record.mutable_build();
    build.set_name(kName);
    build.set_state(v1::Build::STATE_QUEUED);
    build.set_requester("local");
    build.mutable_create_time()->set_seconds(1'000);
    build.mutable_policy()->set_priority(3);
    (*build.mutable_annotations())["key"] = "value";
    record.set_request_id("id");
    record.set_request_sha256(std::string(32, '\x01'));
    record.set_trusted_caller(true);
    return record;
  }

  static std::optional<BuildRecord> InStore(Stored stored) {
    if (stored == Stored::kNothing) return std::nullopt;
    BuildRecord record = Admission();
    record.set_arrival(7);
    if (stored == Stored::kRunning) {
      record.mutable_build()->set_state(v1::Build::STATE_RUNNING);
      record.mutable_build()->mutable_start_time()->set_seconds(1'001);
      record.mutable_process()->set_pid(1234);
    }
    return record;
  }

  // Writes the journal, and remembers where each frame begins.
  void Write(Stage stage) {
    std::filesystem::remove_all(folder_.path());
    std::filesystem::create_directory(folder_.path());
    frames_.clear();
    absl::StatusOr<std::shared_ptr<Journal>> journal = Journal::Create(
        folder_.path(), kName, Admission().SerializeAsString(), Options());
    ASSERT_THAT(journal, IsOk());
    frames_.push_back(kFileHeaderBytes);
    if (stage == Stage::kQueued) return;
    v1::BuildEvent event;
    event.mutable_queued()->set_position(1);
    frames_.push_back((*journal)->size_bytes());
    ASSERT_THAT((*journal)->Append(event), IsOk());
    if (stage == Stage::kToldPosition) return;
    event.mutable_started()->set_pid(1234);
    event.mutable_event_time()->set_seconds(1'001);
    frames_.push_back((*journal)->size_bytes());
    ASSERT_THAT((*journal)->AppendSynced(event), IsOk());
    event.mutable_output()->set_data("abc");
    event.mutable_output()->set_stream(v1::BuildOutput::STREAM_STDOUT);
    ASSERT_THAT((*journal)->Append(event), IsOk());
    event.mutable_output()->set_data("de");
    event.mutable_output()->set_stream(v1::BuildOutput::STREAM_STDERR);
    ASSERT_THAT((*journal)->Append(event), IsOk());
    if (stage == Stage::kStarted) return;
    v1::Build build = Admission().build();
    build.set_state(v1::Build::STATE_FAILED);
    build.set_exit_code(9);
    build.set_last_sequence(5);
    *event.mutable_finished()->mutable_build() = build;
    frames_.push_back((*journal)->size_bytes());
    ASSERT_THAT((*journal)->Finish(event), IsOk());
  }

  RecoveredBuild Recover(const std::optional<BuildRecord>& stored) {
    return RecoverBuild(folder_.path(), kName, stored, Options());
  }

  void Flip(const std::string& file, std::int64_t byte) {
    std::fstream stream(folder_.Path(file),
                        std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(byte);
    const int old = stream.get();
    ASSERT_GE(old, 0);
    stream.seekp(byte);
    stream.put(static_cast<char>(old ^ 0x10));
  }

  static Journal::Options Options() {
    Journal::Options options;
    options.system = std::make_shared<NoSync>();
    return options;
  }

  const TempDir folder_;
  std::vector<std::int64_t> frames_;
};

TEST_F(RecoveryTest, TheJournalTellsAndTheStoreAddsWhatItAloneKnows) {
  for (const Stage stage : {Stage::kQueued, Stage::kToldPosition,
                            Stage::kStarted, Stage::kFinished}) {
    for (const Stored stored :
         {Stored::kNothing, Stored::kQueued, Stored::kRunning}) {
      SCOPED_TRACE(absl::StrCat("stage ", static_cast<int>(stage), " stored ",
                                static_cast<int>(stored)));
      Write(stage);
      const RecoveredBuild recovered = Recover(InStore(stored));
      EXPECT_THAT(recovered.damage, IsOk());
      ASSERT_TRUE(recovered.record);
      const BuildRecord& record = *recovered.record;
      const v1::Build& build = record.build();
      EXPECT_EQ(build.name(), kName);
      EXPECT_EQ(build.requester(), "local");
      EXPECT_EQ(build.policy().priority(), 3);
      EXPECT_EQ(build.annotations().at("key"), "value");
      EXPECT_EQ(record.request_id(), "id");
      EXPECT_EQ(record.request_sha256(), std::string(32, '\x01'));
      EXPECT_TRUE(record.trusted_caller());
      EXPECT_EQ(record.arrival(), stored == Stored::kNothing ? 0 : 7);
      EXPECT_EQ(record.process().pid(), stored == Stored::kRunning ? 1234 : 0);

      EXPECT_EQ(recovered.journal == nullptr, stage == Stage::kFinished);
      if (stage == Stage::kFinished) {
        EXPECT_EQ(build.state(), v1::Build::STATE_FAILED);
        EXPECT_EQ(build.exit_code(), 9);
        EXPECT_EQ(build.last_sequence(), 5);
        EXPECT_EQ(record.journal_bytes(),
                  static_cast<std::int64_t>(
                      std::filesystem::file_size(folder_.Path("journal"))));
        continue;
      }
      EXPECT_EQ(build.last_sequence(), recovered.journal->last_sequence());
      if (stage == Stage::kStarted) {
        EXPECT_EQ(build.state(), v1::Build::STATE_RUNNING);
        EXPECT_EQ(build.start_time().seconds(), 1'001);
        EXPECT_EQ(build.stdout_bytes(), 3);
        EXPECT_EQ(build.stderr_bytes(), 2);
      } else {
        // The store's word that it was started counts, too.
        EXPECT_EQ(build.has_start_time(), stored == Stored::kRunning);
      }
    }
  }
}

TEST_F(RecoveryTest, GoesOnWhereTheJournalEnds) {
  Write(Stage::kStarted);
  const RecoveredBuild recovered = Recover(std::nullopt);
  ASSERT_NE(recovered.journal, nullptr);
  v1::BuildEvent event;
  event.mutable_finished();
  ASSERT_THAT(recovered.journal->Finish(event), IsOk());
  EXPECT_EQ(event.sequence(), 5);
}

TEST_F(RecoveryTest, WhereThereIsNoJournalTheStoreTells) {
  const RecoveredBuild nothing = Recover(std::nullopt);
  EXPECT_FALSE(nothing.record);
  EXPECT_THAT(nothing.damage, StatusIs(absl::StatusCode::kNotFound));
  const RecoveredBuild stored = Recover(InStore(Stored::kRunning));
  ASSERT_TRUE(stored.record);
  EXPECT_EQ(stored.record->build().state(), v1::Build::STATE_RUNNING);
  EXPECT_EQ(stored.journal, nullptr);
}

// Every byte before the end, flipped: the end counts nevertheless.
TEST_F(RecoveryTest, DamageBeforeTheEndChangesNoState) {
  Write(Stage::kFinished);
  const std::int64_t end = frames_.back();
  for (std::int64_t byte = kFileHeaderBytes; byte < end; ++byte) {
    for (const Stored stored : {Stored::kNothing, Stored::kRunning}) {
      SCOPED_TRACE(absl::StrCat("byte ", byte));
      Write(Stage::kFinished);
      Flip("journal", byte);
      const RecoveredBuild recovered = Recover(InStore(stored));
      EXPECT_THAT(recovered.damage, StatusIs(absl::StatusCode::kDataLoss));
      ASSERT_TRUE(recovered.record);
      EXPECT_EQ(recovered.record->build().name(), kName);
      EXPECT_EQ(recovered.record->build().state(), v1::Build::STATE_FAILED);
      EXPECT_EQ(recovered.record->build().exit_code(), 9);
      EXPECT_EQ(recovered.journal, nullptr);
    }
  }
}

// Every byte of a build that had not ended: it is as the store and what is
// left of the journal have it, and never taken for ended.
TEST_F(RecoveryTest, DamageEndsNoBuild) {
  Write(Stage::kStarted);
  const auto size = static_cast<std::int64_t>(
      std::filesystem::file_size(folder_.Path("journal")));
  for (std::int64_t byte = 0; byte < size; ++byte) {
    SCOPED_TRACE(absl::StrCat("byte ", byte));
    Write(Stage::kStarted);
    Flip("journal", byte);
    const RecoveredBuild recovered = Recover(InStore(Stored::kRunning));
    ASSERT_TRUE(recovered.record);
    EXPECT_EQ(recovered.record->build().name(), kName);
    EXPECT_TRUE(recovered.record->build().has_start_time());
    EXPECT_EQ(recovered.record->build().state(), v1::Build::STATE_RUNNING);
    EXPECT_FALSE(recovered.record->build().has_finish_time());
    // Either it is damaged, or what was cut had never been known to be on
    // disk.
    EXPECT_EQ(recovered.journal == nullptr, !recovered.damage.ok());
    EXPECT_TRUE(!recovered.damage.ok() || !recovered.repairs.empty());
  }
}

TEST_F(RecoveryTest, ADamagedHeadLeavesWhatTheStoreHas) {
  for (const std::int64_t byte : {0, 12, 17, 45}) {
    for (const Stage stage : {Stage::kQueued, Stage::kStarted}) {
      SCOPED_TRACE(absl::StrCat("byte ", byte));
      Write(stage);
      Flip("journal", byte);
      const RecoveredBuild lost = Recover(std::nullopt);
      EXPECT_FALSE(lost.record);
      EXPECT_FALSE(lost.damage.ok());
      const RecoveredBuild stored = Recover(InStore(Stored::kQueued));
      ASSERT_TRUE(stored.record);
      EXPECT_FALSE(stored.damage.ok());
      EXPECT_EQ(stored.journal, nullptr);
      EXPECT_EQ(stored.record->request_id(), "id");
      EXPECT_EQ(stored.record->arrival(), 7);
    }
  }
}

TEST_F(RecoveryTest, WithoutItsMarksTheJournalTellsTheSame) {
  for (const Stage stage :
       {Stage::kQueued, Stage::kStarted, Stage::kFinished}) {
    Write(stage);
    std::filesystem::remove(folder_.Path("journal.sync"));
    const RecoveredBuild recovered = Recover(std::nullopt);
    EXPECT_THAT(recovered.damage, IsOk());
    ASSERT_TRUE(recovered.record);
    EXPECT_EQ(recovered.record->build().state(),
              stage == Stage::kQueued    ? v1::Build::STATE_QUEUED
              : stage == Stage::kStarted ? v1::Build::STATE_RUNNING
                                         : v1::Build::STATE_FAILED);
    EXPECT_FALSE(recovered.repairs.empty());
  }
}

TEST_F(RecoveryTest, AnotherBuildsJournalIsDamage) {
  Write(Stage::kFinished);
  const RecoveredBuild recovered =
      RecoverBuild(folder_.path(), "builds/other", std::nullopt, Options());
  EXPECT_FALSE(recovered.record);
  EXPECT_FALSE(recovered.damage.ok());
}

}  // namespace
}  // namespace containerbuilder::service
