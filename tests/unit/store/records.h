#ifndef CONTAINERBUILDER_TESTS_UNIT_STORE_RECORDS_H_
#define CONTAINERBUILDER_TESTS_UNIT_STORE_RECORDS_H_

#include <google/protobuf/util/message_differencer.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "base/timestamps.h"
#include "containerbuilder/storage/v1/build_record.pb.h"
#include "gmock/gmock.h"

// Records as the engine would write them.
namespace containerbuilder::test_support {

using storage::v1::BuildRecord;
using v1::Build;

inline std::string NameOf(int number) {
  return absl::StrFormat("builds/%026d", number);
}

// When the build of this number was created.
inline absl::Time CreateTimeOf(int number) {
  return absl::FromUnixSeconds(1'700'000'000) + absl::Seconds(number) +
         absl::Nanoseconds(7);
}

inline BuildRecord MakeRecord(int number,
                              Build::State state = Build::STATE_QUEUED) {
  BuildRecord record;
  Build& build = *record.mutable_build();
  build.set_name(NameOf(number));
  build.set_state(state);
  *build.mutable_create_time() = service::ToTimestamp(CreateTimeOf(number));
  build.set_requester("local");
  build.mutable_spec()->mutable_options()->set_context_path("/src");
  record.set_request_sha256(std::string(32, static_cast<char>(number)));
  return record;
}

// One that ended so long after its creation.
inline BuildRecord MakeEndedRecord(int number, absl::Duration took,
                                   Build::State state = Build::STATE_FAILED) {
  BuildRecord record = MakeRecord(number, state);
  *record.mutable_build()->mutable_finish_time() =
      service::ToTimestamp(CreateTimeOf(number) + took);
  record.set_journal_bytes(1000 + number);
  return record;
}

inline std::vector<std::string> NamesOf(
    const std::vector<BuildRecord>& records) {
  std::vector<std::string> names;
  names.reserve(records.size());
  for (const BuildRecord& record : records) {
    names.push_back(record.build().name());
  }
  return names;
}

// Equal but for the arrival, which the store gives.
MATCHER_P(IsRecord, expected, "") {
  BuildRecord actual = arg;
  BuildRecord wanted = expected;
  actual.clear_arrival();
  wanted.clear_arrival();
  *result_listener << actual.ShortDebugString();
  return google::protobuf::util::MessageDifferencer::Equals(actual, wanted);
}

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_UNIT_STORE_RECORDS_H_
