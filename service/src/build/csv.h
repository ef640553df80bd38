#ifndef CONTAINERBUILDER_BUILD_CSV_H_
#define CONTAINERBUILDER_BUILD_CSV_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace containerbuilder::service {

// A field of a CSV record.
struct CsvField {
  absl::string_view raw;  // as it stands in the record, in its quotes
  std::string value;      // as it is meant
};

// The fields of one record by buildctl's rules, those of Go's encoding/csv for
// one line: a field that begins with a quote ends with the next one that is not
// doubled, a quote elsewhere is an error, blanks count, a newline at the end
// does not. Nothing where buildctl would not parse it. Views are of `record`.
std::optional<std::vector<CsvField>> ReadCsv(absl::string_view record);

// One `key=value` of a record.
struct Attribute {
  std::string key;
  std::string value;
};

// The attributes of one record, in order, keys in lower case. Of two with one
// key buildctl takes the last. Nothing where buildctl would not take it: it is
// no CSV, or a field has no `=`.
std::optional<std::vector<Attribute>> ReadAttributes(absl::string_view record);

// The record that reads as these attributes.
std::string WriteAttributes(absl::Span<const Attribute> attributes);

// A key as buildctl compares it: Go's strings.ToLower, of which ASCII and the
// two other characters are done that become ASCII.
std::string LowerKey(absl::string_view key);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_CSV_H_
