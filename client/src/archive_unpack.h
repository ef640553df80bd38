#ifndef CONTAINERBUILDER_CLIENT_ARCHIVE_UNPACK_H_
#define CONTAINERBUILDER_CLIENT_ARCHIVE_UNPACK_H_

#include <cstdint>
#include <limits>
#include <stop_token>
#include <string>

#include "absl/status/status.h"

namespace containerbuilder::client {

// What an archive may hold, and what it may be.
struct UnpackOptions {
  // Compressed by gzip, bzip2, xz or zstd, too.
  bool allow_compressed = false;
  std::int64_t max_entries = std::numeric_limits<std::int64_t>::max();
  std::int64_t max_bytes = std::numeric_limits<std::int64_t>::max();
  std::stop_token stop = {};
};

// Unpacks a tar archive into a folder that exists, reading `archive` from where
// it is to its end. What is there already is replaced; nothing outside of the
// folder is written, and no link on the way is followed. Owners, set-id bits
// and extended attributes stay behind.
//
// INVALID_ARGUMENT: it is no archive, is cut off, or has an entry that leads
// out of the folder or is a device or pipe. RESOURCE_EXHAUSTED: it is over a
// limit. What was unpacked until then stays.
absl::Status UnpackArchive(int archive, const std::string& folder,
                           const UnpackOptions& options);

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_ARCHIVE_UNPACK_H_
