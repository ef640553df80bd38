#ifndef CONTAINERBUILDER_CLIENT_CONTEXT_UPLOADER_H_
#define CONTAINERBUILDER_CLIENT_CONTEXT_UPLOADER_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client/local_context.h"
#include "containerbuilder/client/transfer_options.h"

namespace containerbuilder::client {

// How often contents are sent that a build turns out to miss.
inline constexpr int kMaxUploads = 3;

// Sends what the service lacks; Client::UploadContext tells the rules. `limit`
// bounds the tries that bring nothing forward.
absl::StatusOr<UploadedContext> UploadContext(Connection& connection,
                                              Platform& platform,
                                              absl::Duration limit,
                                              const LocalContext& context,
                                              const UploadOptions& options);

// Whether a build was refused because contents of its context are missing.
bool IsBlobsMissing(const absl::Status& status);

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_CONTEXT_UPLOADER_H_
