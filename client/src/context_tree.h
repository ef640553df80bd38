#ifndef CONTAINERBUILDER_CLIENT_CONTEXT_TREE_H_
#define CONTAINERBUILDER_CLIENT_CONTEXT_TREE_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "containerbuilder/client/local_context.h"

namespace containerbuilder::client {

// By which it is seen that a file changed.
struct FileStamp {
  static FileStamp Of(const struct stat& file);
  bool operator==(const FileStamp&) const = default;

  dev_t device;
  ino_t inode;
  off_t size;
  std::int64_t modified_ns;
  std::int64_t changed_ns;
};

// A content of the context: a Directory, in memory, or a file's.
struct ContextBlob {
  std::int64_t size = 0;
  std::string path;  // of the file; empty: `bytes` are it
  FileStamp stamp = {};
  std::string bytes;
};

struct LocalContext::Tree {
  std::string root_digest;
  std::int64_t files = 0;
  std::int64_t bytes = 0;
  std::unordered_map<std::string, ContextBlob> blobs;  // by digest
};

// ABORTED.
absl::Status FileChanged(const std::string& path);

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_CONTEXT_TREE_H_
