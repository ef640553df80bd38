#ifndef CONTAINERBUILDER_BLOBS_DIRECTORY_H_
#define CONTAINERBUILDER_BLOBS_DIRECTORY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// How many entries a Directory has, by its bytes alone, and whether it has no
// fields but those that are known: a few bytes make a message of many times
// their size. OPTION_INVALID as of ReadDirectory.
absl::StatusOr<std::int64_t> CountEntries(absl::string_view bytes,
                                          absl::string_view path);

// Reads one folder of a context that CountEntries took, and holds it to the
// rules of Directory: names, their order, digests, modes and times, and that no
// link is absolute. Where it breaks one, OPTION_INVALID about
// spec.context_digest names the entry by its path; `path` is the folder's,
// empty for the root.
absl::StatusOr<v1::Directory> ReadDirectory(absl::string_view bytes,
                                            absl::string_view path);

// The error of a rule that what is at `path` breaks.
absl::Status TreeInvalid(absl::string_view path, absl::string_view rule);

// `name` in the folder `path`.
std::string PathInTree(absl::string_view path, absl::string_view name);

// How many folders above that of the link its target leads; 0 where it stays
// beneath. Of a target that ReadDirectory took.
int ClimbOf(absl::string_view target);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BLOBS_DIRECTORY_H_
