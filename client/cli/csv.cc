#include "csv.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace containerbuilder::cli {

std::optional<std::vector<CsvField>> SplitCsv(std::string_view record) {
  // BuildKit allows one newline at the end.
  if (record.ends_with('\n')) {
    record.remove_suffix(1);
    if (record.ends_with('\r')) record.remove_suffix(1);
  }
  std::vector<CsvField> fields;
  std::size_t at = 0;
  while (true) {
    CsvField field{at, at, ""};
    if (at < record.size() && record[at] == '"') {
      while (true) {
        const std::size_t quote = record.find('"', at + 1);
        if (quote == std::string_view::npos) return std::nullopt;
        field.text.append(record, at + 1, quote - at - 1);
        at = quote + 1;
        if (at == record.size() || record[at] != '"') break;
        field.text.push_back('"');
      }
      if (at < record.size() && record[at] != ',') return std::nullopt;
    } else {
      at = std::min(record.find(',', at), record.size());
      field.text = record.substr(field.begin, at - field.begin);
      if (field.text.find('"') != std::string::npos) return std::nullopt;
    }
    field.end = at;
    fields.push_back(std::move(field));
    if (at == record.size()) return fields;
    ++at;
  }
}

std::string CsvQuoted(const std::string& text) {
  if (text.find_first_of("\",\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

std::optional<std::vector<Attribute>> ReadAttributes(std::string_view record) {
  const auto fields = SplitCsv(record);
  if (!fields) return std::nullopt;
  std::vector<Attribute> attributes;
  for (const CsvField& field : *fields) {
    const std::size_t equals = field.text.find('=');
    if (equals == std::string::npos) return std::nullopt;
    attributes.push_back({absl::AsciiStrToLower(field.text.substr(0, equals)),
                          field.text.substr(equals + 1)});
  }
  return attributes;
}

}  // namespace containerbuilder::cli
