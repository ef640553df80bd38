#include "secret_values.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "csv.h"
#include "local_files.h"
#include "local_paths.h"

namespace containerbuilder::cli {
namespace {

// BuildKit's own.
constexpr std::size_t kMaxSecret = 500 * 1024;

struct Source {
  std::string id;
  std::string file;
  std::string env;
};

// Without the value: it may hold what is not to be shown.
absl::Status BadSecret(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("invalid --secret: ", what));
}

absl::StatusOr<Source> ReadSource(const std::string& value) {
  const auto attributes = ReadAttributes(value);
  if (!attributes) return BadSecret("it has to be key=value,key=value");
  Source source;
  std::string type;
  for (const auto& [key, text] : *attributes) {
    if (key == "type") {
      if (text != "file" && text != "env") {
        return BadSecret(
            absl::StrCat("unsupported secret type \"", text, "\""));
      }
      type = text;
    } else if (key == "id") {
      source.id = text;
    } else if (key == "src" || key == "source") {
      source.file = text;
    } else if (key == "env") {
      source.env = text;
    } else {
      return BadSecret(absl::StrCat("unexpected key \"", key, "\""));
    }
  }
  if (source.id.empty()) return BadSecret("secret missing ID");
  if (type == "env" && source.env.empty()) {
    source.env = std::exchange(source.file, "");
  }
  return source;
}

v1::Secret& SecretOf(const std::string& id, v1::BuildSpec& spec) {
  for (v1::Secret& secret : *spec.mutable_secrets()) {
    if (secret.id() == id) return secret;
  }
  v1::Secret& secret = *spec.add_secrets();
  secret.set_id(id);
  return secret;
}

}  // namespace

absl::Status CheckSecret(const std::string& value) {
  return ReadSource(value).status();
}

absl::Status AddSecret(const std::string& value,
                       const Surroundings& surroundings, v1::BuildSpec& spec) {
  auto source = ReadSource(value);
  if (!source.ok()) return source.status();
  if (source->env.empty() && source->file.empty()) {
    (surroundings.environment(source->id) ? source->env : source->file) =
        source->id;
  }
  if (!source->env.empty()) {
    SecretOf(source->id, spec)
        .set_value(surroundings.environment(source->env).value_or(""));
    return absl::OkStatus();
  }
  auto bytes =
      ReadLocalFile(MakeAbsolute(surroundings.folder, source->file),
                    absl::StrCat("the secret ", source->id), kMaxSecret);
  if (!bytes.ok()) return bytes.status();
  SecretOf(source->id, spec).set_value(*std::move(bytes));
  return absl::OkStatus();
}

}  // namespace containerbuilder::cli
