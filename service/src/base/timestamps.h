#ifndef CONTAINERBUILDER_BASE_TIMESTAMPS_H_
#define CONTAINERBUILDER_BASE_TIMESTAMPS_H_

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

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BASE_TIMESTAMPS_H_
