#include "local_paths.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "csv.h"

namespace containerbuilder::cli {
namespace {

std::string MakeAttributesAbsolute(std::string_view folder,
                                   std::string_view value) {
  const auto fields = SplitCsv(value);
  if (!fields) return std::string(value);

  std::string result;
  std::size_t copied = 0;
  for (const CsvField& field : *fields) {
    const std::size_t equals = field.text.find('=');
    if (equals == std::string::npos) continue;
    const std::string key = absl::AsciiStrToLower(field.text.substr(0, equals));
    const std::string text = field.text.substr(equals + 1);
    // `src` of an environment secret is the variable's name.
    if (key == "type" && text == "env") return std::string(value);
    if (key != "src" && key != "source" && key != "dest") continue;
    if (text == "-" || text.empty() || text.front() == '/') continue;
    result.append(value, copied, field.begin - copied);
    result.append(CsvQuoted(field.text.substr(0, equals + 1) +
                            MakeAbsolute(folder, text)));
    copied = field.end;
  }
  return result.append(value, copied);
}

// `--output DIR`: nerdctl reads a value without `type=` as
// `type=local,dest=DIR`.
std::string MakeOutputFolderAbsolute(std::string_view folder,
                                     std::string_view value) {
  if (value.empty() || value == "-" || value.front() == '/') {
    return std::string(value);
  }
  std::string path = MakeAbsolute(folder, value);
  // Written out where the folder's name would break that reading.
  if (CsvQuoted(path) != path || path.find("type=") != std::string::npos) {
    return "type=local," + CsvQuoted("dest=" + path);
  }
  return path;
}

// `--ssh ID=PATH,PATH`.
std::string MakeEachAbsolute(std::string_view folder, std::string_view paths) {
  std::string result;
  while (true) {
    const std::string_view path = paths.substr(0, paths.find(','));
    result += path.starts_with("raw=") ? std::string(path)
                                       : MakeAbsolute(folder, path);
    if (path.size() == paths.size()) return result;
    result += ',';
    paths.remove_prefix(path.size() + 1);
  }
}

// `--build-context NAME=PATH`, where PATH may also be a URL.
std::string MakeContextAbsolute(std::string_view folder,
                                std::string_view context) {
  constexpr std::string_view kLayout = "oci-layout://";
  if (context.starts_with(kLayout)) {
    return std::string(kLayout) +
           MakeAbsolute(folder, context.substr(kLayout.size()));
  }
  for (const std::string_view scheme :
       {"docker-image:", "target:", "oci-layout:"}) {
    if (context.starts_with(scheme)) return std::string(context);
  }
  if (context.find("://") != std::string_view::npos) {
    return std::string(context);
  }
  return MakeAbsolute(folder, context);
}

}  // namespace

std::string MakeAbsolute(std::string_view folder, std::string_view path) {
  if (path.empty() || path.front() == '/') return std::string(path);
  while (path.starts_with("./")) {
    path.remove_prefix(std::min(path.find_first_not_of('/', 1), path.size()));
  }
  if (path.empty() || path == ".") return std::string(folder);
  std::string result(folder);
  if (!result.ends_with('/')) result += '/';
  return result.append(path);
}

std::string MakePathsAbsolute(const NerdctlBuildFlag& flag,
                              std::string_view folder, std::string_view value) {
  switch (flag.path) {
    case NerdctlBuildFlag::Path::kNone:
      break;
    case NerdctlBuildFlag::Path::kWhole:
      return MakeAbsolute(folder, value);
    case NerdctlBuildFlag::Path::kAttributes:
      if (flag.name == "secret" ||
          value.find("type=") != std::string_view::npos) {
        return MakeAttributesAbsolute(folder, value);
      }
      if (flag.name == "output") return MakeOutputFolderAbsolute(folder, value);
      break;  // an image to cache in
    case NerdctlBuildFlag::Path::kNamed: {
      const std::size_t equals = value.find('=');
      if (equals == std::string_view::npos) break;
      const std::string_view paths = value.substr(equals + 1);
      return std::string(value.substr(0, equals + 1)) +
             (flag.name == "ssh" ? MakeEachAbsolute(folder, paths)
                                 : MakeContextAbsolute(folder, paths));
    }
  }
  return std::string(value);
}

}  // namespace containerbuilder::cli
