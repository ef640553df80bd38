#ifndef CONTAINERBUILDER_CLIENT_LOCAL_CONTEXT_H_
#define CONTAINERBUILDER_CLIENT_LOCAL_CONTEXT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"

namespace containerbuilder::client {

// How far the reading or the upload of a context is.
struct ContextProgress {
  std::int64_t files = 0;
  std::int64_t bytes = 0;
  // Of the whole; 0 while it is not known.
  std::int64_t total_files = 0;
  std::int64_t total_bytes = 0;
};

// How to read a context.
struct ContextOptions {
  // The text of the ignore file that counts, in place of the folder's own
  // `.dockerignore`; empty: nothing is ignored.
  std::optional<std::string> dockerignore = std::nullopt;
  // Called often, on the caller's thread; null: not wanted.
  std::function<void(const ContextProgress&)> progress = nullptr;
  // Ends it soon after with CANCELLED.
  std::stop_token stop = {};
};

// A folder of this machine as a build context: what is in it, by content. It
// is read once, to hash it; its files are read once more when they are
// uploaded, and must not change in between. Memory grows with the number of
// files and not with their sizes.
//
// What `.dockerignore` leaves out is left out exactly as BuildKit does it. Of
// modes the nine bits of permissions travel: set-id and sticky bits do not, nor
// do owners and extended attributes. A hard link becomes a file of its own, and
// a socket an empty file, as in BuildKit.
//
// Immutable, so usable from many threads.
class LocalContext {
 public:
  // INVALID_ARGUMENT: the folder is none, `.dockerignore` has a pattern that is
  // none, or something in the folder cannot travel: a device, a named pipe, a
  // link that is absolute or leads out of the context, too deep a folder. The
  // message names it and the way out.
  // PERMISSION_DENIED: something may not be read.
  // ABORTED: a file changed while it was read.
  static absl::StatusOr<LocalContext> Read(const std::string& folder,
                                           const ContextOptions& options = {});

  LocalContext(LocalContext&&) noexcept;
  LocalContext& operator=(LocalContext&&) noexcept;
  ~LocalContext();

  // For BuildSpec.context_digest.
  const std::string& digest() const;
  // Regular files, and their bytes.
  std::int64_t files() const;
  std::int64_t bytes() const;

  // What it is made of; internal.
  struct Tree;
  const Tree& tree() const { return *tree_; }

 private:
  explicit LocalContext(std::unique_ptr<const Tree> tree);

  std::unique_ptr<const Tree> tree_;
};

}  // namespace containerbuilder::client

#endif  // CONTAINERBUILDER_CLIENT_LOCAL_CONTEXT_H_
