#ifndef CONTAINERBUILDER_CLIENT_ERROR_INFO_H_
#define CONTAINERBUILDER_CLIENT_ERROR_INFO_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace containerbuilder::client {

// What the service said about an error, for programs.
struct ErrorInfo {
  struct FieldViolation {
    std::string field;        // such as `spec.options.context_path`
    std::string description;  // the rule and the way out
  };
  std::string reason;  // such as OPTION_INVALID; see the proto
  std::string domain;  // `containerbuilder.v1`
  std::map<std::string, std::string> metadata;
  std::vector<FieldViolation> field_violations;
  // The least time to wait before the same call may succeed; zero: not told.
  absl::Duration retry_delay;
};

// Reads it from a status that Client answered; nothing where the service
// attached none.
std::optional<ErrorInfo> GetErrorInfo(const absl::Status& status);

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_ERROR_INFO_H_
