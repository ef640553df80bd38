#include "daemon/settings_file.h"

#include <toml++/toml.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>
#include <variant>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/field.h"
#include "daemon/settings_table.h"

namespace containerbuilder::daemon {
namespace {

// The text of a flag for a value that is not a list.
std::optional<std::string> AsText(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) {
    return absl::StrCat(number->get());
  }
  if (const auto* truth = node.as_boolean()) {
    return truth->get() ? "true" : "false";
  }
  return std::nullopt;
}

struct Rule {
  // The value has one of these types.
  std::vector<toml::node_type> types;
  absl::string_view text;
};

Rule RuleOf(const Field& field) {
  using toml::node_type;
  if (std::holds_alternative<bool*>(field)) {
    return {{node_type::boolean}, "must be true or false, without quotes"};
  }
  if (std::holds_alternative<Bytes>(field)) {
    return {{node_type::integer, node_type::string},
            "must be a number of bytes, or text such as \"512MiB\""};
  }
  if (std::holds_alternative<absl::Duration*>(field)) {
    return {{node_type::string},
            "must be a duration in quotes, such as \"30s\""};
  }
  if (std::holds_alternative<std::string*>(field)) {
    return {{node_type::string}, "must be text in quotes"};
  }
  if (std::holds_alternative<std::vector<std::string>*>(field)) {
    return {{node_type::array},
            R"(must be a list of texts, such as ["one", "two"])"};
  }
  return {{node_type::integer}, "must be a whole number, without quotes"};
}

absl::Status Take(const toml::node& node, const Field& field) {
  const Rule rule = RuleOf(field);
  if (!absl::c_linear_search(rule.types, node.type())) {
    return absl::InvalidArgumentError(rule.text);
  }
  const toml::array* members = node.as_array();
  if (members == nullptr) return ParseText(*AsText(node), field);
  std::vector<std::string> texts;
  for (const toml::node& member : *members) {
    if (!member.is_string()) return absl::InvalidArgumentError(rule.text);
    texts.push_back(member.as_string()->get());
  }
  *std::get<std::vector<std::string>*>(field) = std::move(texts);
  return absl::OkStatus();
}

// toml++ throws; what it says stays here.
std::optional<toml::table> Parse(const std::string& path,
                                 std::vector<std::string>& problems) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  // Unlike an iterator over it, this does not throw.
  for (char chunk[4096]; file;) {
    file.read(chunk, sizeof(chunk));
    text.append(chunk, static_cast<std::size_t>(file.gcount()));
  }
  if (!file.is_open() || file.bad()) {
    problems.push_back(absl::StrCat(
        path, ": cannot be read: ", std::strerror(errno),
        "; --config or CONTAINER_BUILDERD_CONFIG names the file of settings"));
    return std::nullopt;
  }
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    problems.push_back(
        absl::StrCat(path, ":", error.source().begin.line,
                     ": this is no TOML: ", std::string(error.description())));
    return std::nullopt;
  }
}

}  // namespace

void ReadSettingsFile(const std::string& path, DaemonOptions& options,
                      std::map<std::string, std::string>& sources,
                      std::vector<std::string>& problems) {
  const std::optional<toml::table> table = Parse(path, problems);
  if (!table) return;
  for (const auto& [toml_key, node] : *table) {
    const absl::string_view key(toml_key.str().data(), toml_key.str().size());
    const std::string place =
        absl::StrCat(path, ":", toml_key.source().begin.line);
    const Setting* setting = FindSetting(key);
    if (setting == nullptr) {
      problems.push_back(absl::StrCat(
          place, ": ", key,
          ": there is no such setting; `container-builderd config default` "
          "lists them"));
      continue;
    }
    const absl::Status taken = Take(node, setting->field(options));
    if (!taken.ok()) {
      problems.push_back(absl::StrCat(place, ": ", key, ": ", taken.message()));
      continue;
    }
    sources[std::string(key)] = place;
  }
}

}  // namespace containerbuilder::daemon
