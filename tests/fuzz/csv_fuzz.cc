// The reader of CSV records: fields that make the record up again, and
// attributes that are read as they are written.

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "build/csv.h"
#include "fuzz/fuzz.h"

namespace containerbuilder::service {
namespace {

using fuzz::Check;

std::string WithoutNewline(absl::string_view record) {
  if (absl::EndsWith(record, "\n")) {
    record.remove_suffix(1);
    if (absl::EndsWith(record, "\r")) record.remove_suffix(1);
  }
  return std::string(record);
}

void CheckFields(absl::string_view record) {
  const std::optional<std::vector<CsvField>> fields = ReadCsv(record);
  if (!fields) return;
  Check(!fields->empty(), "a record has a field");
  std::vector<std::string> raw;
  for (const CsvField& field : *fields) {
    raw.emplace_back(field.raw);
    if (absl::StartsWith(field.raw, "\"")) {
      Check(
          raw.back() ==
              "\"" + absl::StrReplaceAll(field.value, {{"\"", "\"\""}}) + "\"",
          "a quoted field is its value in quotes");
    } else {
      Check(field.raw == field.value, "another is its value");
      Check(!absl::StrContains(field.value, ',') &&
                !absl::StrContains(field.value, '"'),
            "with nothing in it that parts");
    }
  }
  Check(absl::StrJoin(raw, ",") == WithoutNewline(record),
        "the fields are the record");
}

void CheckAttributes(absl::string_view record) {
  const std::optional<std::vector<Attribute>> attributes =
      ReadAttributes(record);
  if (!attributes) return;
  for (const Attribute& attribute : *attributes) {
    Check(LowerKey(attribute.key) == attribute.key, "keys are in lower case");
    Check(!absl::StrContains(attribute.key, '='), "keys end at the first =");
  }
  const std::string written = WriteAttributes(*attributes);
  const std::optional<std::vector<Attribute>> again = ReadAttributes(written);
  Check(again && again->size() == attributes->size(), "written and read again",
        written);
  for (std::size_t i = 0; i < again->size(); ++i) {
    Check((*again)[i].key == (*attributes)[i].key &&
              (*again)[i].value == (*attributes)[i].value,
          "they are the same", written);
  }
}

}  // namespace
}  // namespace containerbuilder::service

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  const absl::string_view record(reinterpret_cast<const char*>(data), size);
  containerbuilder::service::CheckFields(record);
  containerbuilder::service::CheckAttributes(record);
  return 0;
}
