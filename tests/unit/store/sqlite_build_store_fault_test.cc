#include <SQLiteCpp/SQLiteCpp.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/sqlite_build_store.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unit/store/records.h"

namespace containerbuilder::service {
namespace {

namespace fs = std::filesystem;

using test_support::IsOk;
using test_support::IsRecord;
using test_support::MakeEndedRecord;
using test_support::MakeRecord;
using test_support::NameOf;
using test_support::StatusIs;
using test_support::TempDir;
using testing::AllOf;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using v1::Build;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class SqliteBuildStoreFaultTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<SqliteBuildStore>> Open() {
    return SqliteBuildStore::Open(path_);
  }

  // Records of all kinds: some with annotations, some larger than a page.
  std::vector<storage::v1::BuildRecord> FillAndClose(int count) {
    std::vector<storage::v1::BuildRecord> records;
    for (int i = 0; i < count; ++i) {
      auto record =
          i % 3 == 0 ? MakeRecord(i) : MakeEndedRecord(i, absl::Seconds(5));
      record.set_request_id(absl::StrCat("request", i));
      (*record.mutable_build()->mutable_annotations())["team"] =
          absl::StrCat(i % 5);
      record.mutable_build()->mutable_spec()->set_dockerfile(
          std::string(i % 10 == 0 ? 9000 : 50, 'd'));
      records.push_back(std::move(record));
    }
    auto store = Open();
    EXPECT_THAT(store, IsOk());
    EXPECT_THAT((*store)->InsertAll(records), IsOk());
    return records;
  }

  // What a kill leaves: the files of a store that is open.
  void CopyFiles(const std::string& to) const {
    for (const char* suffix : {"", "-wal"}) {
      fs::copy_file(absl::StrCat(path_, suffix), absl::StrCat(to, suffix));
    }
  }

  // Runs SQL on the file from outside.
  void Execute(const std::string& sql) const {
    SQLite::Database database(path_, SQLite::OPEN_READWRITE);
    database.exec(sql);
  }

  TempDir folder_;
  const std::string path_ = folder_.Path("builds.db");
};

TEST_F(SqliteBuildStoreFaultTest, WhatWasAcknowledgedSurvivesAKill) {
  const std::string copy = folder_.Path("copy.db");
  auto store = Open();
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT((*store)->InsertAll({MakeRecord(1), MakeRecord(2)}), IsOk());
  const auto ended = MakeEndedRecord(1, absl::Seconds(1));
  ASSERT_THAT((*store)->Update(ended), IsOk());
  ASSERT_THAT((*store)->Delete(NameOf(2)), IsOk());
  CopyFiles(copy);

  const auto again = SqliteBuildStore::Open(copy);
  ASSERT_THAT(again, IsOk());
  EXPECT_THAT((*again)->Names().value(), ElementsAre(NameOf(1)));
  EXPECT_THAT((*again)->Get(NameOf(1)).value(), IsRecord(ended));
}

TEST_F(SqliteBuildStoreFaultTest, AWalThatIsGoneAfterAKillIsDataLoss) {
  const std::string copy = folder_.Path("copy.db");
  auto store = Open();
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT((*store)->Insert(MakeRecord(1)), IsOk());
  CopyFiles(copy);
  fs::remove(absl::StrCat(copy, "-wal"));
  EXPECT_THAT(SqliteBuildStore::Open(copy),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("-wal is gone")));
}

TEST_F(SqliteBuildStoreFaultTest, AStartThatIsRefusedLeavesTheWal) {
  const std::string copy = folder_.Path("copy.db");
  {
    auto store = Open();
    ASSERT_THAT(store, IsOk());
    ASSERT_THAT((*store)->Insert(MakeRecord(1)), IsOk());
    CopyFiles(copy);
  }
  const auto set_version = [&](int version) {
    SQLite::Database database(copy, SQLite::OPEN_READWRITE);
    sqlite3_db_config(database.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                      nullptr);
    database.exec(absl::StrCat("PRAGMA user_version = ", version));
  };
  set_version(2);
  ASSERT_THAT(SqliteBuildStore::Open(copy),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(fs::exists(absl::StrCat(copy, "-wal")));
  set_version(1);
  const auto store = SqliteBuildStore::Open(copy);
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->Names().value(), ElementsAre(NameOf(1)));
}

TEST_F(SqliteBuildStoreFaultTest, AFileThatIsGoneWhileItsWalIsThereIsDataLoss) {
  const std::string copy = folder_.Path("copy.db");
  auto store = Open();
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT((*store)->Insert(MakeRecord(1)), IsOk());
  CopyFiles(copy);
  const std::string wal = ReadFile(absl::StrCat(copy, "-wal"));
  fs::remove(copy);
  ASSERT_THAT(SqliteBuildStore::Open(copy),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(ReadFile(absl::StrCat(copy, "-wal")), wal);
}

TEST_F(SqliteBuildStoreFaultTest, ACloseLeavesNoWalAndThatIsFine) {
  FillAndClose(3);
  EXPECT_FALSE(fs::exists(absl::StrCat(path_, "-wal")));
  const auto store = Open();
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->Names().value(), SizeIs(3));
}

TEST_F(SqliteBuildStoreFaultTest, ARemovedFileTakesNoMoreWrites) {
  auto store = Open();
  ASSERT_THAT(store, IsOk());
  fs::remove(path_);
  EXPECT_THAT((*store)->Insert(MakeRecord(1)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("removed")));
}

TEST_F(SqliteBuildStoreFaultTest, WhatIsNoDatabaseIsDataLoss) {
  folder_.WriteFile("builds.db", std::string(10'000, 'x'));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SqliteBuildStoreFaultTest, ATruncatedFileIsDataLoss) {
  FillAndClose(40);
  const std::string whole = ReadFile(path_);
  ASSERT_GT(whole.size(), 20 * 4096);
  // SQLite takes a file of one byte for an empty one.
  for (std::size_t size = 2; size < whole.size();
       size += size % 4096 == 0 ? 1 : 1365) {
    const TempDir folder;
    const std::string copy =
        folder.WriteFile("copy.db", whole.substr(0, size), 0600);
    EXPECT_THAT(SqliteBuildStore::Open(copy),
                StatusIs(absl::StatusCode::kDataLoss))
        << size;
  }
}

// Whatever is damaged, what is answered is what was written or an error.
TEST_F(SqliteBuildStoreFaultTest, NoFlippedByteMakesAWrongRecord) {
  std::map<std::string, storage::v1::BuildRecord> records;
  for (auto& record : FillAndClose(40)) {
    records.emplace(record.build().name(), record);
  }
  const std::string whole = ReadFile(path_);
  int flips = 0;
  int found_at_open = 0;
  int found_later = 0;
  const auto flip = [&](std::size_t at, char bits) {
    SCOPED_TRACE(absl::StrCat("byte ", at, " of ", whole.size()));
    ++flips;
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ bits);
    const TempDir folder;
    const std::string copy = folder.WriteFile("copy.db", bytes, 0600);
    auto store = SqliteBuildStore::Open(copy);
    // A header that tells of a later format can be no damage.
    const bool is_version = (at >= 60 && at < 64) || at == 18;
    if (!store.ok()) {
      ++found_at_open;
      if (is_version) return;
      EXPECT_THAT(store, StatusIs(absl::StatusCode::kDataLoss));
      return;
    }
    bool damaged = false;
    const auto check = [&](const absl::Status& status) {
      if (absl::IsDataLoss(status)) damaged = true;
      EXPECT_THAT(status, AnyOf(IsOk(), StatusIs(absl::StatusCode::kDataLoss),
                                StatusIs(absl::StatusCode::kNotFound)));
    };
    const auto check_all =
        [&](const absl::StatusOr<std::vector<storage::v1::BuildRecord>>& read) {
          check(read.status());
          if (!read.ok()) return;
          for (const auto& record : *read) {
            const auto it = records.find(record.build().name());
            ASSERT_NE(it, records.end());
            EXPECT_THAT(record, IsRecord(it->second));
          }
        };
    check_all((*store)->Unfinished());
    check((*store)->OldestEnded({.limit = 100}).status());
    for (ListQuery query : {ListQuery{.page_size = 1000},
                            ListQuery{.annotations = {{"team", "2"}}}}) {
      const auto page = (*store)->List(query);
      check(page.status());
      if (page.ok()) check_all(page->records);
    }
    for (const auto& [name, record] : records) {
      const auto read = (*store)->Get(name);
      check(read.status());
      if (read.ok()) {
        EXPECT_THAT(*read, IsRecord(record));
      }
    }
    check((*store)->Names().status());
    check((*store)->EndedTotals().status());
    check((*store)->FindByRequestId("local", "request7").status());
    check((*store)->Update(MakeEndedRecord(4, absl::Seconds(1))));
    check((*store)->Delete(NameOf(8)));
    if (damaged) {
      ++found_later;
      store->reset();
      EXPECT_THAT(SqliteBuildStore::Open(copy),
                  StatusIs(absl::StatusCode::kDataLoss));
    }
  };
  for (std::size_t at = 0; at < 100; ++at) flip(at, 0x01);
  for (std::size_t at = 100; at < whole.size(); at += 499) flip(at, 0x40);
  for (std::size_t page = 0; page < whole.size(); page += 4096) {
    for (std::size_t at = page; at < page + 12; at += 3) flip(at, 0x04);
  }
  std::cout << flips << " flips, " << found_at_open << " found at Open, "
            << found_later << " later\n";
  EXPECT_GT(found_at_open, 0);
  EXPECT_GT(found_later, 0);
}

TEST_F(SqliteBuildStoreFaultTest, DamageFoundLaterIsMetByTheNextOpen) {
  FillAndClose(3);
  Execute(
      "UPDATE records SET record = CAST(record || 'x' AS BLOB) "
      "WHERE arrival = 2");
  {
    auto store = Open();
    ASSERT_THAT(store, IsOk());
    EXPECT_THAT((*store)->Get(NameOf(0)), IsOk());
    EXPECT_THAT((*store)->Get(NameOf(1)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)));
  }
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss));

  ASSERT_THAT(SqliteBuildStore::SetAside(path_, absl::UnixEpoch()), IsOk());
  auto store = Open();
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->Names().value(), IsEmpty());
  EXPECT_THAT((*store)->InsertAll({MakeRecord(0), MakeRecord(1)}), IsOk());
  *store = nullptr;
  EXPECT_THAT(Open(), IsOk());
}

TEST_F(SqliteBuildStoreFaultTest, SetAsideKeepsAll) {
  const absl::Time now = absl::FromUnixMillis(1'700'000'000'123);
  EXPECT_THAT(SqliteBuildStore::SetAside(path_, now),
              StatusIs(absl::StatusCode::kNotFound));
  std::set<std::string> files;
  for (int i = 0; i < 3; ++i) {
    folder_.WriteFile("builds.db", absl::StrCat("file", i));
    folder_.WriteFile("builds.db-wal", absl::StrCat("wal", i));
    if (i == 1) folder_.WriteFile("builds.db-shm", "shm");
    const auto aside = SqliteBuildStore::SetAside(path_, now);
    ASSERT_THAT(aside, IsOk());
    EXPECT_EQ(*aside, absl::StrCat(path_, ".corrupt-20231114T221320.123Z",
                                   i == 0 ? "" : absl::StrCat("-", i + 1)));
    EXPECT_EQ(ReadFile(*aside), absl::StrCat("file", i));
    EXPECT_EQ(ReadFile(absl::StrCat(*aside, "-wal")), absl::StrCat("wal", i));
    EXPECT_FALSE(fs::exists(path_));
    EXPECT_FALSE(fs::exists(absl::StrCat(path_, "-wal")));
  }
  // Half of it, as after a kill in between.
  folder_.WriteFile("builds.db-wal", "wal");
  ASSERT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss));
  ASSERT_THAT(SqliteBuildStore::SetAside(path_, now), IsOk());
  EXPECT_THAT(Open(), IsOk());
}

TEST_F(SqliteBuildStoreFaultTest, ANewerSchemaIsRefusedAndLeftAsItIs) {
  FillAndClose(3);
  Execute("PRAGMA user_version = 2");
  EXPECT_THAT(Open(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("newer version"),
                             HasSubstr("schema is 2"), HasSubstr(path_))));
  Execute("PRAGMA user_version = 1");
  const auto store = Open();
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->Names().value(), SizeIs(3));
}

TEST_F(SqliteBuildStoreFaultTest, ASchemaThatIsNotItsVersionsIsDataLoss) {
  FillAndClose(3);
  Execute("DROP INDEX builds_by_request");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SqliteBuildStoreFaultTest, ALockedFileIsUnavailableInTime) {
  constexpr int kThreads = 24;
  const absl::Duration timeout = absl::Milliseconds(500);
  auto store = SqliteBuildStore::Open(path_, {.busy_timeout = timeout});
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT((*store)->Insert(MakeRecord(1)), IsOk());
  {
    SQLite::Database other(path_, SQLite::OPEN_READWRITE);
    const SQLite::Transaction lock(other,
                                   SQLite::TransactionBehavior::IMMEDIATE);
    const absl::Time begin = absl::Now();
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        EXPECT_THAT((*store)->Insert(MakeRecord(10 + i)),
                    StatusIs(absl::StatusCode::kUnavailable, HasSubstr(path_)));
      });
    }
    // Who reads does not wait.
    EXPECT_THAT((*store)->Get(NameOf(1)), IsOk());
    EXPECT_THAT((*store)->Names().value(), ElementsAre(NameOf(1)));
    for (std::thread& thread : threads) thread.join();
    const absl::Duration took = absl::Now() - begin;
    EXPECT_GE(took, timeout);
    // Not one after the other.
    EXPECT_LT(took, kThreads * timeout * 2 / 3);
  }
  EXPECT_THAT((*store)->Insert(MakeRecord(2)), IsOk());
  EXPECT_THAT((*store)->Names().value(), ElementsAre(NameOf(1), NameOf(2)));
}

TEST_F(SqliteBuildStoreFaultTest, AFileLockedAtOpenIsUnavailable) {
  FillAndClose(1);
  {
    SQLite::Database other(path_, SQLite::OPEN_READWRITE);
    other.execAndGet("PRAGMA locking_mode = EXCLUSIVE");
    const SQLite::Transaction lock(other,
                                   SQLite::TransactionBehavior::EXCLUSIVE);
    EXPECT_THAT(
        SqliteBuildStore::Open(path_, {.busy_timeout = absl::Milliseconds(50)}),
        StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_THAT(Open(), IsOk());
}

TEST_F(SqliteBuildStoreFaultTest, AWriteThatFailsHasNoEffectAndIsNotTheEnd) {
  auto store = Open();
  ASSERT_THAT(store, IsOk());
  ASSERT_THAT((*store)->Insert(MakeRecord(1)), IsOk());
  // The system refuses to make any file larger.
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit none = {.rlim_cur = 1, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
  const auto failed = (*store)->Insert(MakeRecord(2));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::signal(SIGXFSZ, handler);

  EXPECT_THAT(failed,
              StatusIs(absl::StatusCode::kInternal,
                       AllOf(HasSubstr(path_), HasSubstr("File too large"))));
  EXPECT_THAT((*store)->Names().value(), ElementsAre(NameOf(1)));
  EXPECT_THAT((*store)->Insert(MakeRecord(2)), IsOk());
  *store = nullptr;
  store = Open();
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->Names().value(), ElementsAre(NameOf(1), NameOf(2)));
}

TEST_F(SqliteBuildStoreFaultTest, WhatCannotBeOpenedIsNamed) {
  const std::string missing = folder_.Path("missing/builds.db");
  EXPECT_THAT(SqliteBuildStore::Open(missing),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(missing)));
  EXPECT_THAT(SqliteBuildStore::Open(folder_.path()).status().message(),
              HasSubstr(folder_.path()));
  fs::create_symlink(folder_.WriteFile("elsewhere", ""), path_);
  EXPECT_FALSE(Open().ok());
}

// Tests with a file system of their own, which takes root.
class SqliteBuildStoreTmpfsTest : public SqliteBuildStoreFaultTest {
 protected:
  void SetUp() override {
    // Not to be seen by other processes, and gone with this one.
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
      GTEST_SKIP() << "cannot mount: " << std::strerror(errno);
    }
    mounted_ = true;
  }

  void TearDown() override {
    if (mounted_) umount2(folder_.path().c_str(), MNT_DETACH);
  }

 private:
  bool mounted_ = false;
};

TEST_F(SqliteBuildStoreTmpfsTest, AFullDiskEndsWritesOnlyAndForAWhile) {
  const std::string ballast =
      folder_.WriteFile("ballast", std::string(200'000, 'x'));
  auto store = Open();
  ASSERT_THAT(store, IsOk());
  int inserted = 0;
  absl::Status status;
  while (status.ok() && inserted < 10'000) {
    auto record = MakeRecord(inserted);
    record.mutable_build()->mutable_spec()->set_dockerfile(
        std::string(5000, 'd'));
    status = (*store)->Insert(record).status();
    if (status.ok()) ++inserted;
  }
  EXPECT_THAT(status,
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr(path_)));
  ASSERT_GT(inserted, 0);
  EXPECT_THAT((*store)->Names().value(), SizeIs(inserted));
  EXPECT_THAT((*store)->Get(NameOf(inserted - 1)), IsOk());

  fs::remove(ballast);
  EXPECT_THAT((*store)->Insert(MakeRecord(inserted)), IsOk());
  EXPECT_THAT((*store)->Names().value(), SizeIs(inserted + 1));
  *store = nullptr;
  store = Open();
  ASSERT_THAT(store, IsOk());
  EXPECT_THAT((*store)->Names().value(), SizeIs(inserted + 1));
}

TEST_F(SqliteBuildStoreTmpfsTest, AFullDiskAtOpenIsSaid) {
  std::ofstream(folder_.Path("ballast")) << std::string(1'048'576, 'x');
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kResourceExhausted));
  fs::remove(folder_.Path("ballast"));
  EXPECT_THAT(Open(), IsOk());
}

TEST_F(SqliteBuildStoreTmpfsTest, AReadOnlyFolderIsSaid) {
  FillAndClose(3);
  ASSERT_EQ(mount(nullptr, folder_.path().c_str(), nullptr,
                  MS_REMOUNT | MS_RDONLY, nullptr),
            0);
  const auto store = Open();
  EXPECT_FALSE(store.ok());
  EXPECT_THAT(store.status().message(), HasSubstr(path_));
  EXPECT_THAT(store, StatusIs(absl::StatusCode::kPermissionDenied));
}

}  // namespace
}  // namespace containerbuilder::service
