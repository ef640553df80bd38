#ifndef CONTAINERBUILDER_BUILD_RECOVERY_H_
#define CONTAINERBUILDER_BUILD_RECOVERY_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "containerbuilder/storage/v1/build_record.pb.h"
#include "journal/journal.h"

namespace containerbuilder::service {

// A build as an earlier run of the service left it, read from its journal.
struct RecoveredBuild {
  // As the journal tells it, which is the truth; where its head is damaged, as
  // the store had it, else as its end tells. Nothing where none of them tells.
  std::optional<storage::v1::BuildRecord> record;
  // Takes further events; null where it ended or is damaged.
  std::shared_ptr<Journal> journal;
  // What is wrong with the journal.
  absl::Status damage;
  // What was set right, for the operator's log.
  std::vector<std::string> repairs;
};

// Reads the journal in `folder`. `stored` is what the store has of the build,
// if it has something.
RecoveredBuild RecoverBuild(
    const std::string& folder, const std::string& name,
    const std::optional<storage::v1::BuildRecord>& stored,
    const Journal::Options& options);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_RECOVERY_H_
