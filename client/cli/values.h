#ifndef CONTAINERBUILDER_CLI_VALUES_H_
#define CONTAINERBUILDER_CLI_VALUES_H_

#include <google/protobuf/map.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "command_line.h"
#include "containerbuilder/v1/container_builder.pb.h"

// What the values of our own flags say. Errors are wrong usage and name the
// flag.
namespace containerbuilder::cli {

// The arguments as names of builds: `builds/ID`, given as that or as `ID`. At
// least one.
absl::StatusOr<std::vector<std::string>> NamesOf(const CommandLine& line);
// Exactly one.
absl::StatusOr<std::string> NameOf(const CommandLine& line);

// A whole number; `otherwise` where the flag was not given.
absl::StatusOr<std::int64_t> IntegerOf(const CommandLine& line,
                                       std::string_view flag,
                                       std::int64_t least, std::int64_t most,
                                       std::int64_t otherwise);

// Such as `90s` or `1h30m`; more than zero.
absl::StatusOr<std::optional<absl::Duration>> DurationOf(
    const CommandLine& line, std::string_view flag);

// RFC 3339; or `2026-11-24` or `2026-11-24T18:30:00` on this machine's clock;
// or a duration, for as long ago.
absl::StatusOr<std::optional<absl::Time>> TimeOf(const CommandLine& line,
                                                 std::string_view flag,
                                                 absl::Time now);

// Each `KEY=VALUE` that was given.
absl::Status AddPairs(const CommandLine& line, std::string_view flag,
                      google::protobuf::Map<std::string, std::string>& pairs);

// What `--state` may be.
std::vector<std::string> StateWords();
// Each state that was given, such as `running` or `TIMED_OUT`.
absl::StatusOr<std::vector<v1::Build::State>> StatesOf(const CommandLine& line,
                                                       std::string_view flag);

// What `--format` may be.
std::vector<std::string> TableOrJson();
std::vector<std::string> RawOrJson();
// Whether `--format` is `json` and not `plain`, which is the default.
absl::StatusOr<bool> IsJson(const CommandLine& line, std::string_view plain);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_VALUES_H_
