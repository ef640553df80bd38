#ifndef CONTAINERBUILDER_DAEMON_FIELD_H_
#define CONTAINERBUILDER_DAEMON_FIELD_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace containerbuilder::daemon {

// A number of bytes, which may be written as 512MiB.
struct Bytes {
  std::int64_t* count;
};

// Where a setting's value is kept. Its type says how it is written.
using Field = std::variant<bool*, int*, std::int64_t*, Bytes, absl::Duration*,
                           std::string*, std::vector<std::string>*>;

// What a field takes, in a word: NUMBER, BYTES, LIST and so on.
absl::string_view TypeName(const Field& field);

// Sets the field to what a flag or a variable says. Members of lists are
// parted by commas, and empty ones left out. The error is the rule that the
// text breaks; the field is as it was then.
absl::Status ParseText(absl::string_view text, const Field& field);

// The value as a flag would say it.
std::string ToText(const Field& field);

// The value as the file would say it.
std::string ToToml(const Field& field);

// Sets `field` to what `other` is, which has the same type.
void Copy(const Field& other, const Field& field);

}  // namespace containerbuilder::daemon

#endif  // CONTAINERBUILDER_DAEMON_FIELD_H_
