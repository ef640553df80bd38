#include "output_places.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "containerbuilder/client/transfer_options.h"
#include "csv.h"
#include "local_files.h"
#include "local_paths.h"

namespace containerbuilder::cli {
namespace {

const v1::Artifact* Find(const v1::Build& build, bool is_image_id) {
  for (const v1::Artifact& artifact : build.artifacts()) {
    const bool is_output = artifact.kind() == v1::Artifact::KIND_FOLDER ||
                           artifact.kind() == v1::Artifact::KIND_FILE;
    if (is_image_id ? artifact.kind() == v1::Artifact::KIND_IMAGE_ID
                    : is_output) {
      return &artifact;
    }
  }
  return nullptr;
}

absl::Status Missing(absl::string_view flag) {
  return absl::InternalError(
      absl::StrCat("the service sent nothing back for ", flag));
}

}  // namespace

std::string OutputPlaces::SetOutput(std::string_view folder,
                                    const std::string& value) {
  output_.clear();
  if (value.find("type=") == std::string::npos) {
    output_ = MakeAbsolute(folder, value);
    if (value != "-") return value;
    output_ = "-";
    return "type=tar,dest=-";
  }
  const auto attributes = ReadAttributes(value);
  if (!attributes) return value;  // the service says what is wrong with it
  std::string type;
  std::string dest;
  for (const Attribute& attribute : *attributes) {
    if (attribute.key == "type") type = attribute.value;
    if (attribute.key == "dest") dest = attribute.value;
  }
  if (type == "tar" && dest.empty()) dest = "-";
  output_ = dest == "-" ? dest : MakeAbsolute(folder, dest);
  return value;
}

std::string OutputPlaces::Take(const NerdctlBuildFlag& flag,
                               std::string_view folder,
                               const std::string& value) {
  if (flag.name == "output") return SetOutput(folder, value);
  if (flag.name == "iidfile") SetImageIdFile(MakeAbsolute(folder, value));
  return value;
}

absl::Status OutputPlaces::Fetch(client::Client& client, const v1::Build& build,
                                 const std::stop_token& stop, Output& out,
                                 std::error_code& write_failed) const {
  const client::DownloadOptions options = {.stop = stop};
  const auto write_to_stdout = [&](std::string_view bytes) {
    write_failed = out.Write(bytes);
    return write_failed ? absl::AbortedError(write_failed.message())
                        : absl::OkStatus();
  };
  if (!output_.empty()) {
    const v1::Artifact* artifact = Find(build, /*is_image_id=*/false);
    if (artifact == nullptr) return Missing("--output");
    absl::Status status =
        output_ == "-"
            ? client.DownloadArtifact(*artifact, write_to_stdout, options)
            : client.DownloadArtifact(*artifact, output_, options);
    if (!status.ok()) return status;
  }
  if (image_id_.empty()) return absl::OkStatus();
  const v1::Artifact* artifact = Find(build, /*is_image_id=*/true);
  if (artifact == nullptr) return Missing("--iidfile");
  return client.DownloadArtifact(*artifact, image_id_, options);
}

}  // namespace containerbuilder::cli
