#include "build/recovery.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/build_state.h"
#include "build/artifacts.h"

namespace containerbuilder::service {
namespace {

using storage::v1::BuildRecord;

// Takes an event of the past into the build that it tells of.
void Apply(absl::string_view bytes, v1::Build& build) {
  v1::BuildEvent event;
  if (!event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return;
  }
  build.set_last_sequence(event.sequence());
  if (event.has_started()) {
    build.set_state(v1::Build::STATE_RUNNING);
    *build.mutable_start_time() = event.event_time();
  } else if (event.has_output()) {
    const v1::BuildOutput& output = event.output();
    const std::int64_t end =
        output.offset() + static_cast<std::int64_t>(output.data().size());
    if (output.stream() == v1::BuildOutput::STREAM_STDOUT) {
      build.set_stdout_bytes(end);
    } else {
      build.set_stderr_bytes(end);
    }
  } else if (event.has_finished()) {
    build = event.finished().build();
  }
}

}  // namespace

RecoveredBuild RecoverBuild(const std::string& folder, const std::string& name,
                            const std::optional<BuildRecord>& stored,
                            const Journal::Options& options) {
  RecoveredBuild recovered;
  v1::Build told;  // by the events
  absl::StatusOr<Journal::Recovery> read = Journal::Recover(
      folder, name, options,
      [&told](std::int64_t, absl::string_view event) { Apply(event, told); });
  if (!read.ok()) {
    recovered.record = stored;
    recovered.damage = read.status();
    return recovered;
  }
  recovered.damage = read->damage;
  recovered.repairs = std::move(read->repairs);

  BuildRecord record;
  if (read->admission && record.ParseFromString(*read->admission)) {
    recovered.record = std::move(record);
    // Known to the store alone.
    if (stored) {
      recovered.record->set_arrival(stored->arrival());
      if (stored->has_process()) {
        *recovered.record->mutable_process() = stored->process();
      }
    }
  } else if (stored || !read->finished) {
    recovered.record = stored;
  } else {
    recovered.record.emplace();  // the end tells enough
  }
  if (!recovered.record) return recovered;

  v1::Build& build = *recovered.record->mutable_build();
  if (read->finished) {
    // Behind damage, too: the end is what counts.
    Apply(*read->finished->event, build);
    recovered.record->set_journal_bytes(
        read->journal->size_bytes() + ArtifactBytes(recovered.record->build()));
    return recovered;
  }
  build.set_last_sequence(told.last_sequence());
  build.set_stdout_bytes(told.stdout_bytes());
  build.set_stderr_bytes(told.stderr_bytes());
  if (told.has_start_time()) {
    build.set_state(v1::Build::STATE_RUNNING);
    *build.mutable_start_time() = told.start_time();
  }
  // Where damage took the start, the store may know of it.
  if (stored && stored->build().has_start_time()) {
    build.set_state(v1::Build::STATE_RUNNING);
    *build.mutable_start_time() = stored->build().start_time();
  }
  if (recovered.damage.ok()) recovered.journal = std::move(read->journal);
  return recovered;
}

}  // namespace containerbuilder::service
