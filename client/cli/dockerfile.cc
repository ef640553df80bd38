#include "dockerfile.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "go_text.h"
#include "local_files.h"

namespace containerbuilder::cli {
namespace {

// Of BuildSpec.dockerfile and .dockerignore.
constexpr std::size_t kMaxBytes = 1024 * 1024;

absl::Status Check(const std::string& text, const std::string& name) {
  if (text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is empty"));
  }
  if (client::ToValidUtf8(text) != text) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is not UTF-8, and cannot be sent"));
  }
  return absl::OkStatus();
}

bool IsThere(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::symlink_status(path, ignored).type() !=
         std::filesystem::file_type::not_found;
}

std::string DefaultFile(const std::string& context) {
  const std::string dockerfile = absl::StrCat(context, "/Dockerfile");
  const std::string containerfile = absl::StrCat(context, "/Containerfile");
  return !IsThere(dockerfile) && IsThere(containerfile) ? containerfile
                                                        : dockerfile;
}

}  // namespace

absl::StatusOr<Dockerfile> ReadDockerfile(const std::string& file,
                                          const std::string& context) {
  const std::string path = file.empty() ? DefaultFile(context) : file;
  auto text = ReadLocalFile(path, "the Dockerfile", kMaxBytes);
  if (!text.ok()) return text.status();
  absl::Status status =
      Check(*text, absl::StrCat("the Dockerfile \"", path, "\""));
  if (!status.ok()) return status;
  auto ignored = ReadLocalFile(absl::StrCat(path, ".dockerignore"),
                               "the ignore file", kMaxBytes);
  if (absl::IsNotFound(ignored.status())) {
    return Dockerfile{*std::move(text), std::nullopt};
  }
  if (!ignored.ok()) return ignored.status();
  return Dockerfile{*std::move(text), *std::move(ignored)};
}

absl::StatusOr<Dockerfile> ReadDockerfileFromStdin(
    const std::stop_token& stop) {
  auto text = ReadDescriptor(STDIN_FILENO, "the Dockerfile on standard input",
                             kMaxBytes, stop);
  if (!text.ok()) return text.status();
  const absl::Status status = Check(*text, "the Dockerfile on standard input");
  if (!status.ok()) return status;
  return Dockerfile{*std::move(text), std::nullopt};
}

}  // namespace containerbuilder::cli
