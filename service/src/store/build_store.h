#ifndef CONTAINERBUILDER_STORE_BUILD_STORE_H_
#define CONTAINERBUILDER_STORE_BUILD_STORE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "containerbuilder/storage/v1/build_record.pb.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// Which builds to list; every condition that is set must hold.
struct ListQuery {
  // In one of these; empty: in any.
  std::vector<v1::Build::State> states = {};
  // With all of these, value for value; at most kMaxAnnotations, more is
  // INVALID_ARGUMENT.
  static constexpr std::size_t kMaxAnnotations = 100;
  std::map<std::string, std::string> annotations = {};
  // Created at this time or later, and before this one.
  std::optional<absl::Time> created_from = std::nullopt;
  std::optional<absl::Time> created_before = std::nullopt;
  // This caller's only.
  std::optional<std::string> requester = std::nullopt;
  // Arrived before this one: ListPage::next_before_arrival of the page before.
  std::optional<std::int64_t> before_arrival = std::nullopt;
  // At least 1.
  int page_size = 50;
  // A page ends before the records in it would be larger than this together,
  // serialized, but holds one at least. Clients accept messages of 4 MiB.
  std::int64_t max_page_bytes = 3 * 1024 * 1024;
};

struct ListPage {
  // Newest first: by arrival, descending.
  std::vector<storage::v1::BuildRecord> records;
  // Set where there is more. Builds that are inserted or deleted in between do
  // not move the next page.
  std::optional<std::int64_t> next_before_arrival;
};

// The records of builds; the journals are the truth about them, and the records
// can be made from those. Thread-safe. A call may block for the disk, but only
// for a bounded time for others; it is UNAVAILABLE then. Any call can also end
// with
//   RESOURCE_EXHAUSTED  the disk is full, or memory; works again when there is
//                       room
//   PERMISSION_DENIED   the store cannot be written
//   DATA_LOSS           what is stored is damaged; see SqliteBuildStore::Open
//   INTERNAL            the disk failed
// A write that ends with an error has no effect that can be seen, but where the
// disk failed it may have one after the next start.
class BuildStore {
 public:
  BuildStore() = default;
  BuildStore(const BuildStore&) = delete;
  BuildStore& operator=(const BuildStore&) = delete;
  virtual ~BuildStore() = default;

  // Answers the record's `arrival`, whatever it was before: greater than any
  // that was given out, deleted ones included. On disk when it returns.
  // ALREADY_EXISTS where the build's name is taken, or the request_id (not
  // empty) by the same requester.
  virtual absl::StatusOr<std::int64_t> Insert(
      const storage::v1::BuildRecord& record) = 0;

  // Inserts all, in this order, or none.
  virtual absl::Status InsertAll(
      absl::Span<const storage::v1::BuildRecord> records) = 0;

  // Replaces the record of this build.name; its arrival stays. Requester,
  // request_id, create_time and annotations must be those that were inserted.
  // On disk when it returns. NOT_FOUND.
  virtual absl::Status Update(const storage::v1::BuildRecord& record) = 0;

  // NOT_FOUND.
  virtual absl::Status Delete(const std::string& name) = 0;

  // NOT_FOUND.
  virtual absl::StatusOr<storage::v1::BuildRecord> Get(
      const std::string& name) = 0;

  // The build of this request; nothing where there is none, or the id is empty.
  virtual absl::StatusOr<std::optional<storage::v1::BuildRecord>>
  FindByRequestId(const std::string& requester,
                  const std::string& request_id) = 0;

  // Only lists wait for it. DEADLINE_EXCEEDED where it would take longer than
  // limits::kMaxListTime.
  virtual absl::StatusOr<ListPage> List(const ListQuery& query) = 0;

  // Those that have not ended, by arrival.
  virtual absl::StatusOr<std::vector<storage::v1::BuildRecord>>
  Unfinished() = 0;

  // Of all builds, sorted. Cheap.
  virtual absl::StatusOr<std::vector<std::string>> Names() = 0;

  struct Totals {
    std::int64_t ended_builds = 0;
    std::int64_t ended_bytes = 0;  // of their journals and artifacts
  };
  // By requester; none who has none.
  virtual absl::StatusOr<std::map<std::string, Totals>> EndedTotals() = 0;

  struct EndedQuery {
    // This caller's only.
    std::optional<std::string> requester = std::nullopt;
    // Ended before this.
    std::optional<absl::Time> ended_before = std::nullopt;
    int limit = 0;
  };
  // The names of builds that have ended, by finish_time, oldest first. Cheap:
  // no record is read, so only Get tells whether they are what they seem.
  virtual absl::StatusOr<std::vector<std::string>> OldestEnded(
      const EndedQuery& query) = 0;
};

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_STORE_BUILD_STORE_H_
