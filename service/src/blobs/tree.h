#ifndef CONTAINERBUILDER_BLOBS_TREE_H_
#define CONTAINERBUILDER_BLOBS_TREE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/copy_budget.h"
#include "base/sha256.h"
#include "blobs/blob_store.h"

namespace containerbuilder::service {

// Where the contents of a tree are.
struct TreeSource {
  // Whether it has this content. A negative size is any.
  std::function<bool(const Digest&, std::int64_t size)> has;
  // The bytes of one that it has, whose hash is theirs. NOT_FOUND where they
  // turn out not to be.
  std::function<absl::StatusOr<std::string>(const Digest&)> read;
};

// What a tree becomes when it is unpacked.
struct TreeTotals {
  std::int64_t entries = 0;
  std::int64_t bytes = 0;
};

// Looks at all of a tree before anything is made of it. Each Directory is read
// once, however often it is there. Errors are those of Build about
// spec.context_digest: OPTION_INVALID, TOO_LARGE, BLOBS_MISSING.
absl::StatusOr<TreeTotals> CheckTree(const TreeSource& source,
                                     const Digest& root,
                                     const CopyLimits& limits);

// Unpacks a caller's tree into `folder`, open and empty, after CheckTree; the
// contents are hashed while they are copied. The errors are besides NO_SPACE,
// DRAINING and INTERNAL; what was made stays then.
absl::Status UnpackTree(BlobStore& store, absl::string_view caller,
                        const Digest& root, int folder,
                        const CopyLimits& limits);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BLOBS_TREE_H_
