#include "format.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "color.h"

namespace containerbuilder::cli {
namespace {

constexpr char kNone[] = "-";

absl::Time ToTime(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixNanos(
      google::protobuf::util::TimeUtil::TimestampToNanoseconds(timestamp));
}

std::string Printable(const std::string& text) {
  return absl::Utf8SafeCHexEscape(text);
}

std::string Age(const v1::Build& build, absl::Time now) {
  if (!build.has_create_time()) return kNone;
  return ShortDuration(now - ToTime(build.create_time()));
}

// From start to end, or until now.
std::string Duration(const v1::Build& build, absl::Time now) {
  if (!build.has_start_time()) return kNone;
  const absl::Time end =
      build.has_finish_time() ? ToTime(build.finish_time()) : now;
  return ShortDuration(end - ToTime(build.start_time()));
}

std::string Tags(const v1::Build& build) {
  std::vector<std::string> tags;
  for (const v1::Option& option : build.spec().options().options()) {
    if (option.name() != "tag") continue;
    if (option.value().has_text()) tags.push_back(option.value().text());
    for (const std::string& tag : option.value().values().values()) {
      tags.push_back(tag);
    }
  }
  return tags.empty() ? kNone : Printable(absl::StrJoin(tags, ","));
}

std::string Context(const v1::Build& build) {
  const std::string& path = build.spec().options().context_path();
  return path.empty() ? "." : Printable(path);
}

}  // namespace

std::string JsonLine(const google::protobuf::Message& message) {
  std::string json;
  const auto status =
      google::protobuf::util::MessageToJsonString(message, &json);
  // A time out of range, say: what no service of ours sends.
  if (!status.ok()) {
    throw std::runtime_error("cannot be written as JSON: " + status.ToString());
  }
  return json + '\n';
}

std::string BuildTable(std::span<const v1::Build> builds, absl::Time now,
                       bool colors) {
  constexpr std::size_t kColumns = 6;
  constexpr std::size_t kState = 1;
  std::vector<std::array<std::string, kColumns>> rows = {
      {"NAME", "STATE", "AGE", "DURATION", "TAG", "CONTEXT"}};
  for (const v1::Build& build : builds) {
    rows.push_back({Printable(build.name()), StateName(build), Age(build, now),
                    Duration(build, now), Tags(build), Context(build)});
  }
  std::array<std::size_t, kColumns> widths = {};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string table;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < kColumns; ++i) {
      line += colors && i == kState ? Colored(row[i]) : row[i];
      if (i + 1 < kColumns) line.append(widths[i] + 2 - row[i].size(), ' ');
    }
    absl::StrAppend(&table, line, "\n");
  }
  return table;
}

std::string BuildDetails(const v1::Build& build, absl::Time now, bool colors) {
  std::string details;
  const auto add = [&details](absl::string_view name,
                              const std::string& value) {
    constexpr std::size_t kValueColumn = 13;
    std::string line = absl::StrCat(name, ":");
    line.resize(std::max(line.size() + 1, kValueColumn), ' ');
    absl::StrAppend(&details, line, value, "\n");
  };
  const auto add_time = [&](absl::string_view name, bool is_set,
                            const google::protobuf::Timestamp& time) {
    if (is_set) {
      add(name, absl::FormatTime(absl::RFC3339_sec, ToTime(time),
                                 absl::UTCTimeZone()));
    }
  };

  add("Name", Printable(build.name()));
  const std::string state = StateName(build);
  add("State", colors ? Colored(state) : state);
  add("Tag", Tags(build));
  add("Context", Context(build));
  add("Requester", Printable(build.requester()));
  add_time("Created", build.has_create_time(), build.create_time());
  add_time("Started", build.has_start_time(), build.start_time());
  add_time("Finished", build.has_finish_time(), build.finish_time());
  add("Duration", Duration(build, now));
  if (build.has_failure()) {
    const v1::BuildFailure& failure = build.failure();
    add("Reason", Printable(failure.reason()));
    add("Message", Printable(failure.message()));
    if (!failure.step().empty()) add("Step", Printable(failure.step()));
    add("Retryable", failure.retryable() ? "yes" : "no");
  }
  if (build.has_finish_time() && build.has_start_time()) {
    if (build.term_signal() != 0) {
      add("Signal", absl::StrCat(build.term_signal()));
    } else {
      add("Exit code", absl::StrCat(build.exit_code()));
    }
  }
  if (!build.image_digest().empty()) {
    add("Digest", Printable(build.image_digest()));
  }
  add("Output", absl::StrCat(build.stdout_bytes(), " bytes, errors ",
                             build.stderr_bytes(), " bytes"));
  add("Events", absl::StrCat(build.last_sequence()));
  // In order, which a map has not.
  std::vector<std::pair<std::string, std::string>> annotations(
      build.annotations().begin(), build.annotations().end());
  std::sort(annotations.begin(), annotations.end());
  for (const auto& [key, value] : annotations) {
    add("Annotation", Printable(absl::StrCat(key, "=", value)));
  }
  return details;
}

std::string StateName(const v1::Build& build) {
  // A newer service may have a state that is not known here.
  const std::string& name = v1::Build::State_Name(build.state());
  return name.empty() ? absl::StrCat(build.state())
                      : std::string(absl::StripPrefix(name, "STATE_"));
}

std::string ShortDuration(absl::Duration duration) {
  const std::int64_t seconds =
      std::max<std::int64_t>(absl::ToInt64Seconds(duration), 0);
  const std::int64_t minutes = seconds / 60;
  const std::int64_t hours = minutes / 60;
  const std::int64_t days = hours / 24;
  if (days > 0) return absl::StrCat(days, "d", hours % 24, "h");
  if (hours > 0) return absl::StrCat(hours, "h", minutes % 60, "m");
  if (minutes > 0) return absl::StrCat(minutes, "m", seconds % 60, "s");
  return absl::StrCat(seconds, "s");
}

}  // namespace containerbuilder::cli
