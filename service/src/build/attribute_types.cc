#include "build/attribute_types.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "build/command_line.h"

namespace containerbuilder::service {

const AttributeTypes& OutputTypes() {
  static const auto* const types = new AttributeTypes{
      {"local", {"dest", "platform-split"}},
      {"tar", {"dest", "platform-split"}},
      {"oci",
       {"dest", "name", "tar", "compression", "compression-level",
        "force-compression", "oci-mediatypes", "rewrite-timestamp"}},
      {"docker",
       {"dest", "name", "tar", "compression", "compression-level",
        "force-compression", "oci-mediatypes", "rewrite-timestamp"}},
      {"image",
       {"name", "push", "push-by-digest", "unpack", "store", "compression",
        "compression-level", "force-compression", "oci-mediatypes",
        "rewrite-timestamp", "dangling-name-prefix", "name-canonical"}}};
  return *types;
}

const AttributeTypes& CacheSourceTypes() {
  static const auto* const types = new AttributeTypes{
      {"local", {"src", "digest", "tag"}}, {"registry", {"ref"}}};
  return *types;
}

const AttributeTypes& CacheTargetTypes() {
  static const auto* const types = new AttributeTypes{
      {"local",
       {"dest", "mode", "tag", "compression", "compression-level",
        "force-compression", "oci-mediatypes", "image-manifest",
        "ignore-error"}},
      {"registry",
       {"ref", "mode", "compression", "compression-level", "force-compression",
        "oci-mediatypes", "image-manifest", "ignore-error"}},
      {"inline", {}}};
  return *types;
}

absl::StatusOr<std::vector<Attribute>> ReadUnambiguous(
    absl::string_view value, absl::string_view field) {
  auto attributes = ReadAttributes(value);
  if (!attributes) {
    return errors::OptionInvalid(
        field,
        "the value is no list of key=value,key=value, with quotes around "
        "those that have a comma");
  }
  absl::flat_hash_set<std::string> seen;
  for (const Attribute& attribute : *attributes) {
    if (!seen.insert(attribute.key).second) {
      return errors::OptionInvalid(
          field, absl::StrCat("\"", Shortened(attribute.key),
                              "\" is there twice; send it once"));
    }
  }
  return *std::move(attributes);
}

absl::StatusOr<std::string> ReadTyped(std::string& value,
                                      absl::string_view field,
                                      absl::string_view otherwise,
                                      const AttributeTypes& types,
                                      std::vector<Attribute>& attributes) {
  if (!absl::StrContains(value, "type=")) {
    // What that is depends on the program that reads it.
    if (absl::StrContains(value, '"') || absl::StrContains(value, ',')) {
      return errors::OptionInvalid(
          field, "a list of attributes needs type=TYPE in lower case");
    }
    value = absl::StrCat(otherwise, value);
  }
  CONTAINERBUILDER_ASSIGN_OR_RETURN(attributes, ReadUnambiguous(value, field));
  const std::string* type = FindAttribute(attributes, "type");
  const auto known = type == nullptr ? types.end() : types.find(*type);
  if (known == types.end()) {
    return errors::OptionNotAllowed(
        field,
        absl::StrCat("untrusted callers may use the types ",
                     absl::StrJoin(types, ", ",
                                   [](std::string* list, const auto& item) {
                                     absl::StrAppend(list, item.first);
                                   }),
                     type == nullptr
                         ? ""
                         : absl::StrCat(", not \"", Shortened(*type), "\"")),
        "");
  }
  for (const Attribute& attribute : attributes) {
    if (attribute.key == "type" ||
        absl::c_linear_search(known->second, attribute.key)) {
      continue;
    }
    return errors::OptionNotAllowed(
        field,
        absl::StrCat("untrusted callers may not use the attribute \"",
                     Shortened(attribute.key), "\" of type=", known->first,
                     "; they may use ",
                     known->second.empty()
                         ? "none"
                         : absl::StrJoin(known->second, ", ")),
        "");
  }
  return std::string(known->first);
}

std::string* FindAttribute(std::vector<Attribute>& attributes,
                           absl::string_view key) {
  const auto found = absl::c_find_if(
      attributes, [&](const Attribute& item) { return item.key == key; });
  return found == attributes.end() ? nullptr : &found->value;
}

}  // namespace containerbuilder::service
