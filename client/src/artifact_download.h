#ifndef CONTAINERBUILDER_CLIENT_ARTIFACT_DOWNLOAD_H_
#define CONTAINERBUILDER_CLIENT_ARTIFACT_DOWNLOAD_H_

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/transfer_options.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::client {

using ByteSink = std::function<absl::Status(std::string_view bytes)>;

// Passes an artifact's bytes on, in order, over as many calls as it takes.
// `limit` bounds the tries that bring none. DATA_LOSS, after all of them, where
// they are not what the build made.
absl::Status DownloadBytes(Connection& connection, Platform& platform,
                           absl::Duration limit, const v1::Artifact& artifact,
                           const ByteSink& sink,
                           const DownloadOptions& options);

// Into the file or folder `path`; Client::DownloadArtifact tells the rules.
absl::Status DownloadToPath(Connection& connection, Platform& platform,
                            absl::Duration limit, const v1::Artifact& artifact,
                            const std::string& path,
                            const DownloadOptions& options);

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_ARTIFACT_DOWNLOAD_H_
