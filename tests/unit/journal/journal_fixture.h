#ifndef CONTAINERBUILDER_TESTS_UNIT_JOURNAL_JOURNAL_FIXTURE_H_
#define CONTAINERBUILDER_TESTS_UNIT_JOURNAL_JOURNAL_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "journal/journal.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {

inline constexpr char kBuildName[] = "builds/01aryz6s41tsv4rrffq69g5fav";
inline constexpr char kAdmission[] = "what was asked for";

inline v1::BuildEvent Output(const std::string& data) {
  v1::BuildEvent event;
  event.mutable_output()->set_data(data);
  return event;
}

inline v1::BuildEvent Started() {
  v1::BuildEvent event;
  event.mutable_started()->set_pid(1);
  return event;
}

inline v1::BuildEvent Finished() {
  v1::BuildEvent event;
  event.mutable_finished()->mutable_build()->set_name(kBuildName);
  return event;
}

// The system without its waiting for the disk, which is most of the time that
// a test with many journals would take.
class NoSync : public SystemCalls {
 public:
  int Fdatasync(int /*fd*/) override { return 0; }
  int Fsync(int /*fd*/) override { return 0; }
};

// What there is for a cursor now, and the error that came then, if one did.
struct Replay {
  std::vector<v1::BuildEvent> events;
  absl::Status status;
};

inline Replay ReplayFrom(const Journal& journal, Journal::Cursor& cursor) {
  Replay replay;
  while (true) {
    absl::StatusOr<std::optional<Journal::Entry>> entry = journal.Read(cursor);
    replay.status = entry.status();
    if (!entry.ok() || !entry->has_value()) return replay;
    v1::BuildEvent event;
    EXPECT_TRUE(event.ParseFromString(*(*entry)->event));
    EXPECT_EQ(event.sequence(), (*entry)->sequence);
    EXPECT_EQ(event.has_finished(), (*entry)->last);
    EXPECT_EQ(cursor.sequence(), (*entry)->sequence);
    replay.events.push_back(std::move(event));
  }
}

inline Replay ReplayAll(const Journal& journal) {
  Journal::Cursor cursor;
  return ReplayFrom(journal, cursor);
}

inline absl::Status Append(Journal& journal, const std::string& data) {
  v1::BuildEvent event = Output(data);
  return journal.Append(event);
}

inline absl::Status AppendSynced(Journal& journal) {
  v1::BuildEvent event = Started();
  return journal.AppendSynced(event);
}

inline absl::Status Finish(Journal& journal) {
  v1::BuildEvent event = Finished();
  return journal.Finish(event);
}

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_TESTS_UNIT_JOURNAL_JOURNAL_FIXTURE_H_
