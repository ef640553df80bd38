#include "build/csv.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace containerbuilder::service {

std::optional<std::vector<CsvField>> ReadCsv(absl::string_view record) {
  if (absl::ConsumeSuffix(&record, "\n")) absl::ConsumeSuffix(&record, "\r");
  if (record.empty()) return std::nullopt;
  std::vector<CsvField> fields;
  std::size_t begin = 0;
  while (true) {
    std::size_t end = begin;
    CsvField field;
    if (end < record.size() && record[end] == '"') {
      do {  // to the quote that is not doubled
        end = record.find('"', end + 1);
        if (end == absl::string_view::npos) return std::nullopt;
        ++end;
      } while (end < record.size() && record[end] == '"');
      if (end < record.size() && record[end] != ',') return std::nullopt;
      field.raw = record.substr(begin, end - begin);
      field.value = absl::StrReplaceAll(
          field.raw.substr(1, field.raw.size() - 2), {{"\"\"", "\""}});
    } else {
      end = std::min(record.find(',', begin), record.size());
      field.raw = record.substr(begin, end - begin);
      if (absl::StrContains(field.raw, '"')) return std::nullopt;
      field.value = std::string(field.raw);
    }
    fields.push_back(std::move(field));
    if (end == record.size()) return fields;
    begin = end + 1;
  }
}

std::optional<std::vector<Attribute>> ReadAttributes(absl::string_view record) {
  const auto fields = ReadCsv(record);
  if (!fields) return std::nullopt;
  std::vector<Attribute> attributes;
  for (const CsvField& field : *fields) {
    const std::size_t equals = field.value.find('=');
    if (equals == std::string::npos) return std::nullopt;
    attributes.push_back({LowerKey(field.value.substr(0, equals)),
                          field.value.substr(equals + 1)});
  }
  return attributes;
}

std::string WriteAttributes(absl::Span<const Attribute> attributes) {
  return absl::StrJoin(
      attributes, ",", [](std::string* record, const Attribute& attribute) {
        const std::string field =
            absl::StrCat(attribute.key, "=", attribute.value);
        if (field.find_first_of(",\"\r\n") == std::string::npos) {
          record->append(field);
        } else {
          absl::StrAppend(record, "\"",
                          absl::StrReplaceAll(field, {{"\"", "\"\""}}), "\"");
        }
      });
}

std::string LowerKey(absl::string_view key) {
  // The Kelvin sign and the capital I with a dot.
  return absl::StrReplaceAll(absl::AsciiStrToLower(key),
                             {{"\xe2\x84\xaa", "k"}, {"\xc4\xb0", "i"}});
}

}  // namespace containerbuilder::service
