#include "values.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "suggestion.h"

namespace containerbuilder::cli {
namespace {

// Worded as pflag words it.
template <typename... Parts>
absl::Status InvalidValue(std::string_view flag, const std::string& value,
                          const Parts&... parts) {
  return absl::InvalidArgumentError(
      absl::StrCat("invalid argument \"", value, "\" for \"--",
                   std::string(flag), "\" flag: ", parts...));
}

// `running` of STATE_RUNNING.
std::string StateWord(v1::Build::State state) {
  return absl::AsciiStrToLower(
      absl::StripPrefix(v1::Build::State_Name(state), "STATE_"));
}

template <typename Visit>
void ForEachState(const Visit& visit) {
  const auto* states = v1::Build::State_descriptor();
  for (int i = 0; i < states->value_count(); ++i) {
    const auto state =
        static_cast<v1::Build::State>(states->value(i)->number());
    if (state != v1::Build::STATE_UNSPECIFIED) visit(state);
  }
}

absl::StatusOr<v1::Build::State> ParseState(std::string_view flag,
                                            const std::string& value) {
  std::string word =
      absl::StrReplaceAll(absl::AsciiStrToLower(value), {{"-", "_"}});
  word = std::string(absl::StripPrefix(word, "state_"));
  std::optional<v1::Build::State> found;
  ForEachState([&](v1::Build::State state) {
    if (StateWord(state) == word) found = state;
  });
  if (found) return *found;
  const std::vector<std::string> words = StateWords();
  const std::vector<std::string_view> known(words.begin(), words.end());
  const std::string meant(Suggestion(word, known));
  return InvalidValue(flag, value, "no such state",
                      meant.empty() ? "" : "; did you mean ", meant,
                      meant.empty() ? "" : "?");
}

std::optional<absl::Duration> ParseDuration(const std::string& value) {
  absl::Duration duration;
  if (!absl::ParseDuration(value, &duration) ||
      duration <= absl::ZeroDuration() ||
      duration == absl::InfiniteDuration()) {
    return std::nullopt;
  }
  return duration;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> NamesOf(const CommandLine& line) {
  constexpr absl::string_view kPrefix = "builds/";
  if (line.arguments.empty()) {
    return absl::InvalidArgumentError("a build needs to be named");
  }
  std::vector<std::string> names;
  for (const std::string& argument : line.arguments) {
    const absl::string_view id = absl::StripPrefix(argument, kPrefix);
    if (id.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("not the name of a build: \"", argument, "\""));
    }
    names.push_back(absl::StrCat(kPrefix, id));
  }
  return names;
}

absl::StatusOr<std::string> NameOf(const CommandLine& line) {
  auto names = NamesOf(line);
  if (!names.ok()) return names.status();
  if (names->size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "exactly one build needs to be named, not ", names->size()));
  }
  return std::move(names->front());
}

absl::StatusOr<std::int64_t> IntegerOf(const CommandLine& line,
                                       std::string_view flag,
                                       std::int64_t least, std::int64_t most,
                                       std::int64_t otherwise) {
  const auto value = ValueOf(line, flag);
  if (!value) return otherwise;
  std::int64_t number = 0;
  if (!absl::SimpleAtoi(*value, &number) || number < least || number > most) {
    return InvalidValue(flag, *value, "not a whole number from ", least, " to ",
                        most);
  }
  return number;
}

absl::StatusOr<std::optional<absl::Duration>> DurationOf(
    const CommandLine& line, std::string_view flag) {
  const auto value = ValueOf(line, flag);
  if (!value) return std::nullopt;
  const auto duration = ParseDuration(*value);
  if (!duration) {
    return InvalidValue(flag, *value, "not a duration such as 90s or 1h30m");
  }
  return duration;
}

absl::StatusOr<std::optional<absl::Time>> TimeOf(const CommandLine& line,
                                                 std::string_view flag,
                                                 absl::Time now) {
  const auto value = ValueOf(line, flag);
  if (!value) return std::nullopt;
  if (const auto duration = ParseDuration(*value)) return now - *duration;
  absl::Time time;
  std::string ignored;
  for (const char* format :
       {absl::RFC3339_full, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"}) {
    if (absl::ParseTime(format, *value, absl::LocalTimeZone(), &time,
                        &ignored) &&
        time > absl::InfinitePast() && time < absl::InfiniteFuture()) {
      return time;
    }
  }
  return InvalidValue(flag, *value,
                      "not a time such as 2026-11-24, 2026-11-24T18:30:00Z, or "
                      "2h for two hours ago");
}

absl::Status AddPairs(const CommandLine& line, std::string_view flag,
                      google::protobuf::Map<std::string, std::string>& pairs) {
  for (const std::string& value : ValuesOf(line, flag)) {
    const std::size_t equals = value.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return InvalidValue(flag, value, "not KEY=VALUE");
    }
    pairs[value.substr(0, equals)] = value.substr(equals + 1);
  }
  return absl::OkStatus();
}

std::vector<std::string> StateWords() {
  std::vector<std::string> words;
  ForEachState(
      [&](v1::Build::State state) { words.push_back(StateWord(state)); });
  return words;
}

absl::StatusOr<std::vector<v1::Build::State>> StatesOf(const CommandLine& line,
                                                       std::string_view flag) {
  std::vector<v1::Build::State> states;
  for (const std::string& value : ValuesOf(line, flag)) {
    const auto state = ParseState(flag, value);
    if (!state.ok()) return state.status();
    states.push_back(*state);
  }
  return states;
}

std::vector<std::string> TableOrJson() { return {"table", "json"}; }

std::vector<std::string> RawOrJson() { return {"raw", "json"}; }

absl::StatusOr<bool> IsJson(const CommandLine& line, std::string_view plain) {
  const std::string value =
      ValueOf(line, "format").value_or(std::string(plain));
  if (value == "json") return true;
  if (value == plain) return false;
  return InvalidValue("format", value, "neither ", std::string(plain),
                      " nor json");
}

}  // namespace containerbuilder::cli
