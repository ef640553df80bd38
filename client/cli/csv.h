#ifndef CONTAINERBUILDER_CLI_CSV_H_
#define CONTAINERBUILDER_CLI_CSV_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Values of flags that are `key=value,key=value`, read as Go's encoding/csv
// does, without lazy quotes.
namespace containerbuilder::cli {

struct CsvField {
  std::size_t begin;  // in the record, with its quotes
  std::size_t end;
  std::string text;  // without
};

// The fields of one record, which may end in one newline; nothing where it
// does not parse.
std::optional<std::vector<CsvField>> SplitCsv(std::string_view record);

// As a field.
std::string CsvQuoted(const std::string& text);

struct Attribute {
  std::string key;  // in lower case
  std::string value;
};

// The record's `key=value`s; nothing where it does not parse, or a field is
// none.
std::optional<std::vector<Attribute>> ReadAttributes(std::string_view record);

}  // namespace containerbuilder::cli

#endif  // CONTAINERBUILDER_CLI_CSV_H_
