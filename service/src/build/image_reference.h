#ifndef CONTAINERBUILDER_BUILD_IMAGE_REFERENCE_H_
#define CONTAINERBUILDER_BUILD_IMAGE_REFERENCE_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace containerbuilder::service {

// The name of an image as nerdctl and BuildKit read it: no host means
// docker.io, one part there means docker.io/library, no tag means latest.
struct ImageReference {
  std::string host;    // with its port; docker.io for its other names
  std::string path;    // `library/alpine`
  std::string tag;     // `latest`; empty where there is a digest and no tag
  std::string digest;  // `sha256:...`; may be empty

  // One spelling for all that mean the same image: without docker.io/ and
  // library/, with the tag.
  std::string Short() const;
};

// By the grammar of distribution/reference; nothing for what is no reference.
std::optional<ImageReference> ReadImageReference(absl::string_view text);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BUILD_IMAGE_REFERENCE_H_
