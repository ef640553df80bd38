#include "store/sqlite_build_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/build_state.h"
#include "base/canonical_hash.h"
#include "base/failpoint.h"
#include "base/limits.h"
#include "base/status_macros.h"
#include "store/list_sql.h"

namespace containerbuilder::service {
namespace {

using storage::v1::BuildRecord;

// Each brings the schema from the version before to the next; the version is
// PRAGMA user_version. Append only: files of every version are about.
constexpr std::array kMigrations = {
    // What is searched for stands in `builds`, apart from the records, so that
    // even a walk through all of them is quick. AUTOINCREMENT: an arrival is
    // not given out again when its build is deleted.
    R"sql(
      CREATE TABLE builds (
        arrival INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        state INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        requester TEXT NOT NULL,
        request_id TEXT NOT NULL,
        create_time INTEGER NOT NULL,  -- ns since 1970, as finish_time
        finish_time INTEGER,
        journal_bytes INTEGER NOT NULL
      ) STRICT;
      CREATE UNIQUE INDEX builds_by_request ON builds (requester, request_id)
        WHERE request_id != '';
      CREATE INDEX builds_by_requester ON builds (requester);
      CREATE INDEX builds_by_end ON builds (ended, finish_time, journal_bytes);

      CREATE TABLE records (
        arrival INTEGER PRIMARY KEY,
        record BLOB NOT NULL,  -- storage.v1.BuildRecord without its arrival
        sha256 BLOB NOT NULL   -- of `record`
      ) STRICT;

      CREATE TABLE annotations (
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        arrival INTEGER NOT NULL,
        PRIMARY KEY (key, value, arrival)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX annotations_by_arrival ON annotations (arrival);

      -- One row: whether a store has the file open, or had when it died.
      CREATE TABLE session (open INTEGER NOT NULL) STRICT;
      INSERT INTO session (open) VALUES (0);
    )sql",
};

// SQLite keeps at most this much of the -wal once it is written back.
constexpr int kWalBytesKept = 4 * 1024 * 1024;

// Beside the file: says that a call found it damaged. The file itself is not
// what to write that into.
std::string DamageMark(const std::string& path) {
  return absl::StrCat(path, "-damaged");
}

absl::Status DataLoss(const std::string& path, absl::string_view what) {
  // Best effort: where it cannot be made, the next call that meets the damage
  // says so again.
  const int fd =
      open(DamageMark(path).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (fd >= 0) close(fd);
  return absl::DataLossError(absl::StrCat(path, " is damaged: ", what));
}

// `system_error` is errno as SQLite left it, which tells more of a failed disk;
// sqlite3_system_errno forgets that of a commit.
absl::Status ToStatus(const SQLite::Exception& error, int system_error,
                      const std::string& path) {
  const std::string message = absl::StrCat(path, ": ", error.what());
  switch (error.getErrorCode() & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLoss(path, error.what());
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return absl::UnavailableError(message);
    case SQLITE_INTERRUPT:
      return absl::DeadlineExceededError(message);
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::ResourceExhaustedError(message);
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return absl::PermissionDeniedError(message);
    case SQLITE_CONSTRAINT:
      return error.getExtendedErrorCode() == SQLITE_CONSTRAINT_UNIQUE
                 ? absl::AlreadyExistsError(message)
                 : absl::InternalError(message);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN: {
      const absl::StatusCode cause = absl::ErrnoToStatusCode(system_error);
      return absl::Status(
          cause == absl::StatusCode::kResourceExhausted ||
                  cause == absl::StatusCode::kPermissionDenied
              ? cause
              : absl::StatusCode::kInternal,
          absl::StrCat(message, ": ",
                       std::generic_category().message(system_error)));
    }
    default:
      return absl::InternalError(message);
  }
}

std::int64_t UnixNanos(const google::protobuf::Timestamp& timestamp) {
  return absl::ToUnixNanos(absl::FromUnixSeconds(timestamp.seconds()) +
                           absl::Nanoseconds(timestamp.nanos()));
}

// Of a query with one row.
std::int64_t GetInt64(SQLite::Database& database, const char* sql) {
  return database.execAndGet(sql).getInt64();
}

// The statements that make up the schema.
std::string SchemaOf(SQLite::Database& database) {
  std::string schema;
  SQLite::Statement statement(
      database,
      "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
  while (statement.executeStep()) {
    absl::StrAppend(&schema, statement.getColumn(0).getString(), ";\n");
  }
  return schema;
}

// The schema after this many migrations.
std::string SchemaAt(std::size_t version) {
  SQLite::Database database(":memory:",
                            SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  for (std::size_t i = 0; i < version; ++i) database.exec(kMigrations[i]);
  return SchemaOf(database);
}

void SetUp(SQLite::Database& database) {
  database.exec("PRAGMA synchronous = FULL");
  // Finds damage when a page is read, not when it has done harm.
  database.exec("PRAGMA cell_size_check = ON");
  database.exec(absl::StrCat("PRAGMA journal_size_limit = ", kWalBytesKept));
}

absl::Status Migrate(SQLite::Database& database, const std::string& path) {
  SQLite::Transaction transaction(database,
                                  SQLite::TransactionBehavior::IMMEDIATE);
  const std::int64_t version = GetInt64(database, "PRAGMA user_version");
  if (version > static_cast<std::int64_t>(kMigrations.size())) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " was written by a newer version of the service: its schema is ",
        version, ", this version knows up to ", kMigrations.size(),
        "; run the newer version again, or move the file away"));
  }
  if (version < 0 ||
      SchemaOf(database) != SchemaAt(static_cast<std::size_t>(version))) {
    return DataLoss(path, "its schema is not that of its version");
  }
  for (auto i = static_cast<std::size_t>(version); i < kMigrations.size();
       ++i) {
    database.exec(kMigrations[i]);
  }
  database.exec(absl::StrCat("PRAGMA user_version = ", kMigrations.size()));
  transaction.commit();
  return absl::OkStatus();
}

// Makes an open file ready for use, or says why it is not. `has_wal`: there was
// a -wal before it was opened.
absl::Status Prepare(SQLite::Database& database, const std::string& path,
                     bool has_wal) {
  SetUp(database);
  if (database.execAndGet("PRAGMA journal_mode = WAL").getString() != "wal") {
    return absl::FailedPreconditionError(
        absl::StrCat(path,
                     ": SQLite cannot keep a write-ahead log on this file "
                     "system; use a local one"));
  }
  // Not integrity_check, which compares indexes with tables as well: with
  // 100,000 builds it takes seconds.
  SQLite::Statement check(database, "PRAGMA quick_check(1)");
  check.executeStep();
  if (const std::string found = check.getColumn(0).getString(); found != "ok") {
    return DataLoss(path, found);
  }
  check.reset();
  CONTAINERBUILDER_RETURN_IF_ERROR(Migrate(database, path));

  // Without the -wal of a store that died, the file is whole, but old.
  if (!has_wal && GetInt64(database, "SELECT open FROM session") != 0) {
    return DataLoss(path, "its -wal is gone");
  }
  database.exec("UPDATE session SET open = 1");
  CONTAINERBUILDER_FAILPOINT("records-opened");
  // Into the file itself.
  database.execAndGet("PRAGMA wal_checkpoint(TRUNCATE)");
  return absl::OkStatus();
}

// Inserts records in one transaction.
class Inserter {
 public:
  explicit Inserter(SQLite::Database& database)
      : database_(database),
        build_(database,
               "INSERT INTO builds (name, state, ended, requester, request_id, "
               "create_time, finish_time, journal_bytes) "
               "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
        record_(database,
                "INSERT INTO records (arrival, record, sha256) "
                "VALUES (?, ?, ?)"),
        annotation_(database,
                    "INSERT INTO annotations (key, value, arrival) "
                    "VALUES (?, ?, ?)") {}

  std::int64_t Insert(const BuildRecord& record);

 private:
  SQLite::Database& database_;
  SQLite::Statement build_;
  SQLite::Statement record_;
  SQLite::Statement annotation_;
};

void Execute(SQLite::Statement& statement) {
  statement.exec();
  statement.reset();
}

void BindFinishTime(SQLite::Statement& statement, int index,
                    const v1::Build& build) {
  if (build.has_finish_time()) {
    statement.bind(index, UnixNanos(build.finish_time()));
  } else {
    statement.bind(index);
  }
}

// Binds `record` and its SHA-256 to these parameters.
void BindRecord(SQLite::Statement& statement, int record_index,
                int sha256_index, const BuildRecord& record) {
  BuildRecord stored = record;
  stored.clear_arrival();
  const std::string bytes = stored.SerializeAsString();
  const std::string sha256 = Sha256(bytes);
  statement.bind(record_index, bytes.data(), static_cast<int>(bytes.size()));
  statement.bind(sha256_index, sha256.data(), static_cast<int>(sha256.size()));
}

std::int64_t Inserter::Insert(const BuildRecord& record) {
  const v1::Build& build = record.build();
  build_.bind(1, build.name());
  build_.bind(2, static_cast<int>(build.state()));
  build_.bind(3, HasEnded(build.state()) ? 1 : 0);
  build_.bind(4, build.requester());
  build_.bind(5, record.request_id());
  build_.bind(6, UnixNanos(build.create_time()));
  BindFinishTime(build_, 7, build);
  build_.bind(8, record.journal_bytes());
  Execute(build_);
  const std::int64_t arrival = database_.getLastInsertRowid();

  record_.bind(1, arrival);
  BindRecord(record_, 2, 3, record);
  Execute(record_);

  for (const auto& [key, value] : build.annotations()) {
    annotation_.bind(1, key);
    annotation_.bind(2, value);
    annotation_.bind(3, arrival);
    Execute(annotation_);
  }
  return arrival;
}

// The arrival of the build, for a write.
absl::StatusOr<std::int64_t> ArrivalOf(SQLite::Database& database,
                                       const std::string& name) {
  SQLite::Statement statement(database,
                              "SELECT arrival FROM builds WHERE name = ?");
  statement.bind(1, name);
  if (!statement.executeStep()) {
    return absl::NotFoundError(absl::StrCat("no record of ", name));
  }
  return statement.getColumn(0).getInt64();
}

// The record in a row of kRecordColumns; nothing where it is not as it was
// written, which SQLite itself does not check.
std::optional<BuildRecord> ReadRecord(SQLite::Statement& statement) {
  const std::string bytes = statement.getColumn(2).getString();
  BuildRecord record;
  if (Sha256(bytes) != statement.getColumn(3).getString() ||
      !record.ParseFromString(bytes) ||
      record.build().name() != statement.getColumn(1).getString()) {
    return std::nullopt;
  }
  record.set_arrival(statement.getColumn(0).getInt64());
  return record;
}

constexpr absl::string_view kRecordDamaged = "a record fails its checksum";

// All records that `statement` selects.
absl::StatusOr<std::vector<BuildRecord>> ReadRecords(
    SQLite::Statement& statement, const std::string& path) {
  std::vector<BuildRecord> records;
  while (statement.executeStep()) {
    std::optional<BuildRecord> record = ReadRecord(statement);
    if (!record.has_value()) return DataLoss(path, kRecordDamaged);
    records.push_back(*std::move(record));
  }
  return records;
}

// While there is one, what the connection does ends with SQLITE_INTERRUPT once
// it has taken this long.
class TimeLimit {
 public:
  TimeLimit(SQLite::Database& database, absl::Duration limit,
            const std::function<absl::Duration()>& uptime)
      : database_(database), uptime_(uptime), end_(uptime() + limit) {
    sqlite3_progress_handler(database_.getHandle(), kStepsBetweenLooks, &IsOver,
                             this);
  }
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;
  ~TimeLimit() {
    sqlite3_progress_handler(database_.getHandle(), 0, nullptr, nullptr);
  }

 private:
  // Of SQLite's machine: together far less than a millisecond.
  static constexpr int kStepsBetweenLooks = 1000;

  static int IsOver(void* self) {
    const auto& limit = *static_cast<const TimeLimit*>(self);
    return limit.uptime_() > limit.end_ ? 1 : 0;
  }

  SQLite::Database& database_;
  const std::function<absl::Duration()>& uptime_;
  const absl::Duration end_;
};

std::vector<std::string> ReadNames(SQLite::Statement& statement) {
  std::vector<std::string> names;
  while (statement.executeStep()) {
    names.push_back(statement.getColumn(0).getString());
  }
  return names;
}

std::string SelectRecords(absl::string_view rest) {
  return absl::StrCat("SELECT ", kRecordColumns,
                      " FROM builds b JOIN records r USING (arrival) ", rest);
}

}  // namespace

class SqliteBuildStore::Connection {
 public:
  // Throws SQLite::Exception.
  Connection(const std::string& path, absl::Duration busy_timeout)
      : path_(path),
        busy_timeout_(absl::ToChronoMilliseconds(busy_timeout)),
        database_(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE |
                            SQLite::OPEN_NOMUTEX) {
    database_.setBusyTimeout(static_cast<int>(busy_timeout_.count()));
    KeepWalOnClose(true);
  }

  // Whether the last connection leaves the -wal as it is, as a store that died
  // would, or writes it back and deletes it.
  void KeepWalOnClose(bool keep) {
    sqlite3_db_config(database_.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                      keep ? 1 : 0, nullptr);
  }

  // Calls `work` with the database, alone, and answers what it answers, or what
  // it throws as a status. Waits for other calls and for locks of others
  // together no longer than the timeout.
  template <typename Work>
  auto Use(Work work) -> decltype(work(std::declval<SQLite::Database&>())) {
    const auto deadline = std::chrono::steady_clock::now() + busy_timeout_;
    if (!Take(deadline)) {
      return absl::UnavailableError(
          absl::StrCat(path_, ": busy with other calls"));
    }
    const absl::Cleanup give_back = [this] { GiveBack(); };
    try {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      database_.setBusyTimeout(
          static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
      errno = 0;
      return work(database_);
    } catch (const SQLite::Exception& error) {
      return ToStatus(error, errno, path_);
    }
  }

  // As Use, in a transaction that is committed where `work` succeeds.
  template <typename Work>
  auto Write(Work work) -> decltype(work(std::declval<SQLite::Database&>())) {
    return Use([&](SQLite::Database& database)
                   -> decltype(work(std::declval<SQLite::Database&>())) {
      // SQLite would go on to write into a file that has no name any more.
      int moved = 0;
      sqlite3_file_control(database.getHandle(), "main", SQLITE_FCNTL_HAS_MOVED,
                           &moved);
      if (moved != 0) {
        return absl::DataLossError(
            absl::StrCat(path_, " was removed or replaced"));
      }
      SQLite::Transaction transaction(database,
                                      SQLite::TransactionBehavior::IMMEDIATE);
      auto result = work(database);
      if (result.ok()) transaction.commit();
      return result;
    });
  }

 private:
  // Waits for the connection; false where the deadline passes. In the order of
  // the calls: who comes again at once would have it again, many times over.
  bool Take(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    const std::int64_t turn = next_turn_++;
    waiting_.insert(turn);
    const bool taken = given_back_.wait_until(
        lock, deadline, [&] { return !in_use_ && *waiting_.begin() == turn; });
    waiting_.erase(turn);
    if (taken) in_use_ = true;
    return taken;
  }

  void GiveBack() {
    {
      const std::lock_guard lock(mutex_);
      in_use_ = false;
    }
    given_back_.notify_all();
  }

  const std::string path_;
  const std::chrono::milliseconds busy_timeout_;
  SQLite::Database database_;
  // Not absl::Mutex, whose timeouts follow the wall clock.
  std::mutex mutex_;
  std::condition_variable given_back_;
  // Guarded by mutex_.
  bool in_use_ = false;
  std::int64_t next_turn_ = 0;
  std::set<std::int64_t> waiting_;
};

SqliteBuildStore::SqliteBuildStore(std::string path,
                                   std::function<absl::Duration()> uptime)
    : path_(std::move(path)), uptime_(std::move(uptime)) {}

SqliteBuildStore::~SqliteBuildStore() {
  lister_ = nullptr;
  reader_ = nullptr;
  if (writer_ == nullptr) return;
  const absl::Status closed = writer_->Write([](SQLite::Database& database) {
    database.exec("UPDATE session SET open = 0");
    return absl::OkStatus();
  });
  writer_->KeepWalOnClose(!closed.ok());
}

absl::StatusOr<std::unique_ptr<SqliteBuildStore>> SqliteBuildStore::Open(
    const std::string& path, const Options& options) {
  struct stat file = {};
  struct stat wal = {};
  const bool has_wal = lstat(absl::StrCat(path, "-wal").c_str(), &wal) == 0;
  if (lstat(DamageMark(path).c_str(), &file) == 0) {
    return DataLoss(path, "found by an earlier call");
  }

  // Makes the file if need be, so that SQLite gives -wal and -shm its mode, and
  // says why it cannot be opened better than SQLite.
  const int fd =
      open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  }
  const bool is_empty = fstat(fd, &file) == 0 && file.st_size == 0;
  close(fd);
  // SQLite would delete the -wal.
  if (is_empty && has_wal) {
    return DataLoss(path, "it is empty, but its -wal is there");
  }

  std::unique_ptr<SqliteBuildStore> store(
      new SqliteBuildStore(path, options.uptime));
  std::unique_ptr<Connection> writer;
  try {
    writer = std::make_unique<Connection>(path, options.busy_timeout);
    store->reader_ = std::make_unique<Connection>(path, options.busy_timeout);
    store->lister_ = std::make_unique<Connection>(path, options.busy_timeout);
  } catch (const SQLite::Exception& error) {
    return ToStatus(error, errno, path);
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(writer->Use([&](SQLite::Database& database) {
    try {
      return Prepare(database, path, has_wal);
    } catch (const SQLite::Exception& error) {
      // The statements are always the same: it is the file that is wrong.
      if (error.getErrorCode() != SQLITE_ERROR) throw;
      return DataLoss(path, error.what());
    }
  }));
  for (Connection* reads : {store->reader_.get(), store->lister_.get()}) {
    CONTAINERBUILDER_RETURN_IF_ERROR(
        reads->Use([&](SQLite::Database& database) {
          SetUp(database);
          database.exec("PRAGMA query_only = ON");
          return absl::OkStatus();
        }));
  }
  store->writer_ = std::move(writer);
  return store;
}

absl::StatusOr<std::string> SqliteBuildStore::SetAside(const std::string& path,
                                                       absl::Time now) {
  // In this order: where it ends half-way, Open meets the rest.
  constexpr std::array kSuffixes = {"-shm", "", "-wal", "-damaged"};
  const std::string wanted = absl::StrCat(
      path, ".corrupt-",
      absl::FormatTime("%Y%m%dT%H%M%E3SZ", now, absl::UTCTimeZone()));
  const auto exists = [](const std::string& name) {
    struct stat ignored = {};
    return lstat(name.c_str(), &ignored) == 0;
  };
  const auto is_taken = [&](const std::string& name) {
    return std::any_of(
        kSuffixes.begin(), kSuffixes.end(),
        [&](const char* suffix) { return exists(absl::StrCat(name, suffix)); });
  };
  std::string aside = wanted;
  for (int i = 2; is_taken(aside); ++i) aside = absl::StrCat(wanted, "-", i);

  bool any = false;
  for (const char* suffix : kSuffixes) {
    const std::string from = absl::StrCat(path, suffix);
    if (rename(from.c_str(), absl::StrCat(aside, suffix).c_str()) == 0) {
      any = true;
    } else if (errno != ENOENT) {
      return absl::ErrnoToStatus(errno, absl::StrCat("cannot rename ", from));
    }
  }
  if (!any) return absl::NotFoundError(absl::StrCat("no ", path));
  const std::string folder = std::filesystem::path(path).parent_path();
  const int fd = open(folder.empty() ? "." : folder.c_str(),
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fsync(fd) != 0) {
    const absl::Status status = absl::ErrnoToStatus(errno, folder);
    if (fd >= 0) close(fd);
    return status;
  }
  close(fd);
  return aside;
}

absl::StatusOr<std::int64_t> SqliteBuildStore::Insert(
    const BuildRecord& record) {
  return writer_->Write(
      [&](SQLite::Database& database) -> absl::StatusOr<std::int64_t> {
        return Inserter(database).Insert(record);
      });
}

absl::Status SqliteBuildStore::InsertAll(
    absl::Span<const BuildRecord> records) {
  return writer_->Write([&](SQLite::Database& database) {
    Inserter inserter(database);
    for (const BuildRecord& record : records) inserter.Insert(record);
    return absl::OkStatus();
  });
}

absl::Status SqliteBuildStore::Update(const BuildRecord& record) {
  return writer_->Write([&](SQLite::Database& database) -> absl::Status {
    const v1::Build& build = record.build();
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::int64_t arrival,
                                      ArrivalOf(database, build.name()));
    SQLite::Statement columns(
        database,
        "UPDATE builds SET state = ?, ended = ?, finish_time = ?, "
        "journal_bytes = ? WHERE arrival = ?");
    columns.bind(1, static_cast<int>(build.state()));
    columns.bind(2, HasEnded(build.state()) ? 1 : 0);
    BindFinishTime(columns, 3, build);
    columns.bind(4, record.journal_bytes());
    columns.bind(5, arrival);
    columns.exec();
    SQLite::Statement bytes(
        database,
        "UPDATE records SET record = ?, sha256 = ? WHERE arrival = ?");
    BindRecord(bytes, 1, 2, record);
    bytes.bind(3, arrival);
    bytes.exec();
    return absl::OkStatus();
  });
}

absl::Status SqliteBuildStore::Delete(const std::string& name) {
  return writer_->Write([&](SQLite::Database& database) -> absl::Status {
    CONTAINERBUILDER_ASSIGN_OR_RETURN(const std::int64_t arrival,
                                      ArrivalOf(database, name));
    for (const char* sql : {"DELETE FROM annotations WHERE arrival = ?",
                            "DELETE FROM records WHERE arrival = ?",
                            "DELETE FROM builds WHERE arrival = ?"}) {
      SQLite::Statement statement(database, sql);
      statement.bind(1, arrival);
      statement.exec();
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<BuildRecord> SqliteBuildStore::Get(const std::string& name) {
  return reader_->Use(
      [&](SQLite::Database& database) -> absl::StatusOr<BuildRecord> {
        SQLite::Statement statement(database,
                                    SelectRecords("WHERE b.name = ?"));
        statement.bind(1, name);
        CONTAINERBUILDER_ASSIGN_OR_RETURN(std::vector<BuildRecord> records,
                                          ReadRecords(statement, path_));
        if (records.empty()) {
          return absl::NotFoundError(absl::StrCat("no record of ", name));
        }
        return std::move(records.front());
      });
}

absl::StatusOr<std::optional<BuildRecord>> SqliteBuildStore::FindByRequestId(
    const std::string& requester, const std::string& request_id) {
  return reader_->Use([&](SQLite::Database& database)
                          -> absl::StatusOr<std::optional<BuildRecord>> {
    // The last condition makes the partial index fit.
    SQLite::Statement statement(
        database, SelectRecords("WHERE b.requester = ? AND b.request_id = ? "
                                "AND b.request_id != ''"));
    statement.bind(1, requester);
    statement.bind(2, request_id);
    CONTAINERBUILDER_ASSIGN_OR_RETURN(std::vector<BuildRecord> records,
                                      ReadRecords(statement, path_));
    if (records.empty()) return std::nullopt;
    return std::move(records.front());
  });
}

absl::StatusOr<ListPage> SqliteBuildStore::List(const ListQuery& query) {
  // SQLite refuses statements that are too deep.
  if (query.annotations.size() > ListQuery::kMaxAnnotations) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", ListQuery::kMaxAnnotations, " annotations"));
  }
  return lister_->Use(
      [&](SQLite::Database& database) -> absl::StatusOr<ListPage> {
        const TimeLimit time_limit(database, limits::kMaxListTime, uptime_);
        const ListSql sql = MakeListSql(query);
        SQLite::Statement statement(database, sql.text);
        for (std::size_t i = 0; i < sql.values.size(); ++i) {
          std::visit(
              [&](const auto& value) {
                statement.bind(static_cast<int>(i) + 1, value);
              },
              sql.values[i]);
        }
        ListPage page;
        std::int64_t bytes = 0;
        while (statement.executeStep()) {
          bytes += statement.getColumn(2).getBytes();
          if (!page.records.empty() &&
              (page.records.size() ==
                   static_cast<std::size_t>(query.page_size) ||
               bytes > query.max_page_bytes)) {
            page.next_before_arrival = page.records.back().arrival();
            break;
          }
          std::optional<BuildRecord> record = ReadRecord(statement);
          if (!record.has_value()) return DataLoss(path_, kRecordDamaged);
          page.records.push_back(*std::move(record));
        }
        return page;
      });
}

absl::StatusOr<std::vector<BuildRecord>> SqliteBuildStore::Unfinished() {
  return reader_->Use([&](SQLite::Database& database) {
    SQLite::Statement statement(
        database, SelectRecords("WHERE b.ended = 0 ORDER BY b.arrival"));
    return ReadRecords(statement, path_);
  });
}

absl::StatusOr<std::vector<std::string>> SqliteBuildStore::Names() {
  return reader_->Use([](SQLite::Database& database)
                          -> absl::StatusOr<std::vector<std::string>> {
    SQLite::Statement statement(database,
                                "SELECT name FROM builds ORDER BY name");
    return ReadNames(statement);
  });
}

absl::StatusOr<std::map<std::string, BuildStore::Totals>>
SqliteBuildStore::EndedTotals() {
  using TotalsByRequester = std::map<std::string, Totals>;
  return reader_->Use(
      [](SQLite::Database& database) -> absl::StatusOr<TotalsByRequester> {
        SQLite::Statement statement(
            database,
            "SELECT requester, COUNT(*), SUM(journal_bytes) FROM builds "
            "WHERE ended = 1 GROUP BY requester");
        TotalsByRequester totals;
        while (statement.executeStep()) {
          totals[statement.getColumn(0).getString()] = {
              .ended_builds = statement.getColumn(1).getInt64(),
              .ended_bytes = statement.getColumn(2).getInt64()};
        }
        return totals;
      });
}

absl::StatusOr<std::vector<std::string>> SqliteBuildStore::OldestEnded(
    const EndedQuery& query) {
  return reader_->Use([&](SQLite::Database& database)
                          -> absl::StatusOr<std::vector<std::string>> {
    SQLite::Statement statement(
        database,
        absl::StrCat("SELECT name FROM builds WHERE ended = 1 ",
                     query.requester ? "AND requester = ?2 " : "",
                     query.ended_before ? "AND finish_time < ?3 " : "",
                     "ORDER BY finish_time LIMIT ?1"));
    statement.bind(1, query.limit);
    if (query.requester) statement.bind(2, *query.requester);
    if (query.ended_before) {
      statement.bind(3, absl::ToUnixNanos(*query.ended_before));
    }
    return ReadNames(statement);
  });
}

}  // namespace containerbuilder::service
