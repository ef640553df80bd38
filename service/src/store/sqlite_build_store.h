#ifndef CONTAINERBUILDER_STORE_SQLITE_BUILD_STORE_H_
#define CONTAINERBUILDER_STORE_SQLITE_BUILD_STORE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "store/build_store.h"

namespace containerbuilder::service {

// Keeps the records in one SQLite file, in WAL mode: reads do not wait for
// writes.
class SqliteBuildStore final : public BuildStore {
 public:
  struct Options {
    // How long a call waits for others: other calls, and other programs that
    // have locked the file.
    absl::Duration busy_timeout = absl::Seconds(5);
    // Time that passed since some moment, which bounds lists. Called by List,
    // now and then while it searches.
    std::function<absl::Duration()> uptime = [] {
      return absl::FromChrono(
          std::chrono::steady_clock::now().time_since_epoch());
    };
  };

  // Opens or creates the file, mode 0600, and brings its schema up to date. No
  // other service may use it (see FolderLock); others may read it.
  //
  // DATA_LOSS where the file is damaged, or was found to be by a call in an
  // earlier run, or its -wal is gone: records may be wrong or missing. SetAside
  // then makes room for a new one. FAILED_PRECONDITION where a newer version of
  // the service wrote it.
  static absl::StatusOr<std::unique_ptr<SqliteBuildStore>> Open(
      const std::string& path, const Options& options);
  static absl::StatusOr<std::unique_ptr<SqliteBuildStore>> Open(
      const std::string& path) {
    return Open(path, Options());
  }

  // Renames the file and what belongs to it (-wal, -shm), deleting nothing,
  // and answers its new path, `path`.corrupt-<now>. It must not be open.
  // NOT_FOUND where there is nothing to rename.
  static absl::StatusOr<std::string> SetAside(const std::string& path,
                                              absl::Time now);

  ~SqliteBuildStore() override;

  absl::StatusOr<std::int64_t> Insert(
      const storage::v1::BuildRecord& record) override;
  absl::Status InsertAll(
      absl::Span<const storage::v1::BuildRecord> records) override;
  absl::Status Update(const storage::v1::BuildRecord& record) override;
  absl::Status Delete(const std::string& name) override;
  absl::StatusOr<storage::v1::BuildRecord> Get(
      const std::string& name) override;
  absl::StatusOr<std::optional<storage::v1::BuildRecord>> FindByRequestId(
      const std::string& requester, const std::string& request_id) override;
  absl::StatusOr<ListPage> List(const ListQuery& query) override;
  absl::StatusOr<std::vector<storage::v1::BuildRecord>> Unfinished() override;
  absl::StatusOr<std::vector<std::string>> Names() override;
  absl::StatusOr<std::map<std::string, Totals>> EndedTotals() override;
  absl::StatusOr<std::vector<std::string>> OldestEnded(
      const EndedQuery& query) override;

 private:
  // A connection and the right to use it.
  class Connection;

  SqliteBuildStore(std::string path, std::function<absl::Duration()> uptime);

  const std::string path_;
  const std::function<absl::Duration()> uptime_;
  std::unique_ptr<Connection> writer_;
  std::unique_ptr<Connection> reader_;
  // For List, whose callers choose what it costs: nobody else waits for it.
  std::unique_ptr<Connection> lister_;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_STORE_SQLITE_BUILD_STORE_H_
