#ifndef CONTAINERBUILDER_CLI_FORMAT_H_
#define CONTAINERBUILDER_CLI_FORMAT_H_

#include <google/protobuf/message.h>

#include <span>
#include <string>

#include "absl/time/time.h"
#include "containerbuilder/v1/container_builder.pb.h"

// How builds and events are written. For people, bytes of others that a
// terminal would take for orders are escaped.
namespace containerbuilder::cli {

// One line in proto3's JSON.
std::string JsonLine(const google::protobuf::Message& message);

// One row per build, below a heading.
std::string BuildTable(std::span<const v1::Build> builds, absl::Time now,
                       bool colors = false);

// All that people want to know of one build, a line each.
std::string BuildDetails(const v1::Build& build, absl::Time now,
                         bool colors = false);

// `RUNNING` of STATE_RUNNING.
std::string StateName(const v1::Build& build);

// In two units at most, such as `45s`, `3m12s`, `2h5m`, `3d4h`.
std::string ShortDuration(absl::Duration duration);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_FORMAT_H_
