#ifndef CONTAINERBUILDER_BUILD_ATTRIBUTE_TYPES_H_
#define CONTAINERBUILDER_BUILD_ATTRIBUTE_TYPES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "build/csv.h"

// The lists of attributes that callers who are not trusted may send: those of
// which every reader makes the same, with known types and keys.
namespace containerbuilder::service {

// The keys of each type besides `type`.
using AttributeTypes =
    std::map<absl::string_view, std::vector<absl::string_view>>;
const AttributeTypes& OutputTypes();
const AttributeTypes& CacheSourceTypes();
const AttributeTypes& CacheTargetTypes();

// What buildctl reads of the value; an error where that depends on who reads.
absl::StatusOr<std::vector<Attribute>> ReadUnambiguous(absl::string_view value,
                                                       absl::string_view field);

// The type, and in `attributes` all attributes, of which `types` has each.
// nerdctl looks for `type=` anywhere in the value, and writes `otherwise` in
// front where there is none; so does this.
absl::StatusOr<std::string> ReadTyped(std::string& value,
                                      absl::string_view field,
                                      absl::string_view otherwise,
                                      const AttributeTypes& types,
                                      std::vector<Attribute>& attributes);

// The value of that key; null where there is none.
std::string* FindAttribute(std::vector<Attribute>& attributes,
                           absl::string_view key);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_ATTRIBUTE_TYPES_H_
