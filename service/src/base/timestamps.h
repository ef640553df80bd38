#ifndef CONTAINERBUILDER_BASE_TIMESTAMPS_H_
#define CONTAINERBUILDER_BASE_TIMESTAMPS_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/time/time.h"

namespace containerbuilder::service {

inline google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  absl::Duration rest = time - absl::UnixEpoch();
  timestamp.set_seconds(absl::IDivDuration(rest, absl::Seconds(1), &rest));
  timestamp.set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(rest)));
  return timestamp;
}

inline absl::Time FromTimestamp(const google::protobuf::Timestamp& timestamp) {
  return absl::UnixEpoch() + absl::Seconds(timestamp.seconds()) +
         absl::Nanoseconds(timestamp.nanos());
}

inline absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_TIMESTAMPS_H_
