#ifndef CONTAINERBUILDER_TESTS_SUPPORT_CONTEXT_TREE_H_
#define CONTAINERBUILDER_TESTS_SUPPORT_CONTEXT_TREE_H_

#include <cstdint>
#include <map>
#include <string>

#include "base/sha256.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::test_support {

inline v1::BlobDigest DigestOf(const std::string& content) {
  v1::BlobDigest blob;
  blob.set_digest(service::Digest::Of(content).ToString());
  blob.set_size_bytes(static_cast<std::int64_t>(content.size()));
  return blob;
}

// Contents of a context by digest, as a client has them.
class ContextTree {
 public:
  v1::BlobDigest Add(const std::string& content) {
    v1::BlobDigest blob = DigestOf(content);
    blobs_[blob.digest()] = content;
    return blob;
  }
  v1::BlobDigest Add(const v1::Directory& directory) {
    return Add(directory.SerializeAsString());
  }

  // In the order of their names.
  void AddFile(v1::Directory& directory, const std::string& name,
               const std::string& content, std::uint32_t mode = 0644) {
    v1::Directory::File& file = *directory.add_files();
    file.set_name(name);
    *file.mutable_blob() = Add(content);
    file.set_mode(mode);
  }
  void AddFolder(v1::Directory& directory, const std::string& name,
                 const v1::Directory& folder, std::uint32_t mode = 0755) {
    v1::Directory::Subdirectory& entry = *directory.add_directories();
    entry.set_name(name);
    *entry.mutable_blob() = Add(folder);
    entry.set_mode(mode);
  }
  static void AddLink(v1::Directory& directory, const std::string& name,
                      const std::string& target) {
    v1::Directory::Symlink& link = *directory.add_symlinks();
    link.set_name(name);
    link.set_target(target);
  }

  const std::map<std::string, std::string>& blobs() const { return blobs_; }

 private:
  std::map<std::string, std::string> blobs_;
};

}  // namespace containerbuilder::test_support

#endif  // CONTAINERBUILDER_TESTS_SUPPORT_CONTEXT_TREE_H_
