#ifndef CONTAINERBUILDER_CLIENT_TRANSFER_OPTIONS_H_
#define CONTAINERBUILDER_CLIENT_TRANSFER_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "containerbuilder/client/local_context.h"

namespace containerbuilder::client {

// How to upload a context.
struct UploadOptions {
  // Called for each piece, on the thread that uploads, with what is to be sent
  // as the whole; null: not wanted.
  std::function<void(const ContextProgress&)> progress = nullptr;
  // Ends it soon after with CANCELLED. What has been sent is kept.
  std::stop_token stop = {};
};

// What an upload did.
struct UploadedContext {
  // For BuildSpec.context_digest.
  std::string digest;
  // What the service did not have yet: contents of files and of folders.
  std::int64_t sent_blobs = 0;
  std::int64_t sent_bytes = 0;
};

// How to download an artifact.
struct DownloadOptions {
  // Called for each piece, on the caller's thread; null: not wanted.
  std::function<void(std::int64_t bytes, std::int64_t total_bytes)> progress =
      nullptr;
  // Ends it soon after with CANCELLED. Nothing unfinished has a name once
  // request_stop has returned, so that the process may end then; what was
  // unpacked of a folder stays.
  std::stop_token stop = {};
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_TRANSFER_OPTIONS_H_
