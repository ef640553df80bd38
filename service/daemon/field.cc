#include "daemon/field.h"

#include <limits>
#include <type_traits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace containerbuilder::daemon {
namespace {

constexpr struct {
  absl::string_view name;
  int shift;
} kByteUnits[] = {{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}};

template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <typename... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

absl::Status Rule(absl::string_view rule) {
  return absl::InvalidArgumentError(rule);
}

absl::Status Parse(absl::string_view text, bool& value) {
  if (absl::SimpleAtob(text, &value)) return absl::OkStatus();
  return Rule("must be true or false");
}

template <typename Number>
absl::Status ParseNumber(absl::string_view text, Number& value) {
  Number number = 0;
  if (absl::SimpleAtoi(text, &number) && number >= 0) {
    value = number;
    return absl::OkStatus();
  }
  return Rule(absl::StrCat("must be a whole number from 0 to ",
                           std::numeric_limits<Number>::max()));
}

absl::Status ParseBytes(absl::string_view text, std::int64_t& value) {
  int shift = 0;
  for (const auto& unit : kByteUnits) {
    if (absl::ConsumeSuffix(&text, unit.name)) {
      shift = unit.shift;
      break;
    }
  }
  std::int64_t number = 0;
  if (absl::SimpleAtoi(text, &number) && number >= 0 &&
      number <= std::numeric_limits<std::int64_t>::max() >> shift) {
    value = number << shift;
    return absl::OkStatus();
  }
  return Rule(
      "must be a number of bytes, or of KiB, MiB, GiB or TiB, such as 512MiB");
}

absl::Status Parse(absl::string_view text, absl::Duration& value) {
  absl::Duration duration;
  if (absl::ParseDuration(text, &duration) &&
      duration >= absl::ZeroDuration() && duration < absl::InfiniteDuration()) {
    value = duration;
    return absl::OkStatus();
  }
  return Rule("must be a duration such as 500ms, 30s or 1h30m, not negative");
}

absl::Status Parse(absl::string_view text, std::vector<std::string>& value) {
  value.clear();
  for (const absl::string_view member : absl::StrSplit(text, ',')) {
    const absl::string_view trimmed = absl::StripAsciiWhitespace(member);
    if (!trimmed.empty()) value.emplace_back(trimmed);
  }
  return absl::OkStatus();
}

std::string BytesText(std::int64_t count) {
  for (const auto& unit : kByteUnits) {
    if (count != 0 && count % (std::int64_t{1} << unit.shift) == 0) {
      return absl::StrCat(count >> unit.shift, unit.name);
    }
  }
  return absl::StrCat(count);
}

// A basic string of TOML.
std::string Quoted(absl::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&quoted, "\\", absl::string_view(&c, 1));
    } else if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppend(
          &quoted, "\\u",
          absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad4));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace

absl::string_view TypeName(const Field& field) {
  return std::visit(
      Overloaded{[](bool*) { return "BOOL"; }, [](int*) { return "NUMBER"; },
                 [](std::int64_t*) { return "NUMBER"; },
                 [](Bytes) { return "BYTES"; },
                 [](absl::Duration*) { return "DURATION"; },
                 [](std::string*) { return "TEXT"; },
                 [](std::vector<std::string>*) { return "LIST"; }},
      field);
}

absl::Status ParseText(absl::string_view text, const Field& field) {
  return std::visit(
      Overloaded{[&](int* value) { return ParseNumber(text, *value); },
                 [&](std::int64_t* value) { return ParseNumber(text, *value); },
                 [&](Bytes value) { return ParseBytes(text, *value.count); },
                 [&](std::string* value) {
                   *value = std::string(text);
                   return absl::OkStatus();
                 },
                 [&](auto* value) { return Parse(text, *value); }},
      field);
}

std::string ToText(const Field& field) {
  return std::visit(
      Overloaded{
          [](bool* value) { return std::string(*value ? "true" : "false"); },
          [](Bytes value) { return BytesText(*value.count); },
          [](absl::Duration* value) { return absl::FormatDuration(*value); },
          [](std::vector<std::string>* value) {
            return absl::StrJoin(*value, ",");
          },
          [](auto* value) { return absl::StrCat(*value); }},
      field);
}

std::string ToToml(const Field& field) {
  return std::visit(
      Overloaded{[&](Bytes) { return Quoted(ToText(field)); },
                 [&](absl::Duration*) { return Quoted(ToText(field)); },
                 [&](std::string* value) { return Quoted(*value); },
                 [](std::vector<std::string>* value) {
                   return absl::StrCat(
                       "[",
                       absl::StrJoin(
                           *value, ", ",
                           [](std::string* out, const std::string& member) {
                             *out += Quoted(member);
                           }),
                       "]");
                 },
                 [&](auto*) { return ToText(field); }},
      field);
}

void Copy(const Field& other, const Field& field) {
  std::visit(
      Overloaded{
          [&](Bytes value) { *value.count = *std::get<Bytes>(other).count; },
          [&](auto* value) {
            *value = *std::get<std::remove_reference_t<decltype(value)>>(other);
          }},
      field);
}

}  // namespace containerbuilder::daemon
