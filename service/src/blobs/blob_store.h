#ifndef CONTAINERBUILDER_BLOBS_BLOB_STORE_H_
#define CONTAINERBUILDER_BLOBS_BLOB_STORE_H_

#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/sha256.h"
#include "base/unique_fd.h"
#include "containerbuilder/v1/container_builder.pb.h"

namespace containerbuilder::service {

// Contents that callers sent, each under its SHA-256, and of those that broke
// off what had come. Every caller has his own: what another one sent is not
// there for him, so a digest gives no right to a content.
//
// In its folder are `blobs/OWNER/XX/HEX` and `uploads/OWNER/HEX`, where OWNER
// is the SHA-256 of the caller's name. Nothing is synced: a crash may leave a
// blob torn, so whoever reads one hashes it again and, where it is not itself,
// calls Remove. What is not used for the longest time goes where room is
// needed; what is held stays. Thread-safe; calls block for the disk.
class BlobStore {
 public:
  // Errors of callers name these as settings.
  struct Limits {
    std::int64_t max_bytes = 0;             // --max_blob_store_bytes
    std::int64_t max_bytes_per_caller = 0;  // --max_blob_store_bytes_per_caller
    std::int64_t max_blob_bytes = 0;        // --max_blob_bytes
    absl::Duration upload_ttl;              // --upload_ttl
  };
  struct Options {
    std::string folder;
    Limits limits;
    std::function<absl::Time()> now;
    // What is to become free of the disk before it may take more; 0 where it
    // may.
    std::function<std::int64_t()> lacking_bytes;
    // Takes away the file of a blob that went for room.
    std::function<void(const std::string& path)> remove =
        [](const std::string& path) { unlink(path.c_str()); };
  };
  // Reads what is there.
  static absl::StatusOr<std::unique_ptr<BlobStore>> Open(Options options);
  BlobStore(const BlobStore&) = delete;
  BlobStore& operator=(const BlobStore&) = delete;

  // For calls to come.
  void SetLimits(const Limits& limits) ABSL_LOCKS_EXCLUDED(mutex_);

  // The answer of the RPC.
  absl::StatusOr<v1::FindMissingBlobsResponse> FindMissing(
      const v1::FindMissingBlobsRequest& request, absl::string_view caller)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // --- For BlobUpload

  // Counts a call in; RATE_LIMITED where there are many that are counted as
  // this, and then EndUpload is not to be called.
  absl::Status BeginUpload(absl::string_view counted_as)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void EndUpload(absl::string_view counted_as) ABSL_LOCKS_EXCLUDED(mutex_);

  // A place that one upload alone writes to.
  struct Place {
    bool is_whole = false;  // there is nothing to write
    UniqueFd file;          // else the part, with `committed` bytes
    std::int64_t committed = 0;
  };
  // `offset` is where the caller goes on; 0 drops what had come. The errors
  // are those of UploadBlobs.
  absl::StatusOr<Place> BeginPart(absl::string_view caller,
                                  const Digest& digest, std::int64_t size,
                                  std::int64_t offset)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // What has been written stays for the next upload.
  void LeavePart(absl::string_view caller, const Digest& digest,
                 std::int64_t committed) ABSL_LOCKS_EXCLUDED(mutex_);
  // It is not what it says it is.
  void DropPart(absl::string_view caller, const Digest& digest)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // It is whole and its hash was checked.
  absl::Status CommitPart(absl::string_view caller, const Digest& digest)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // UNAVAILABLE once the service stops; NO_SPACE.
  absl::Status MayGoOn() const ABSL_LOCKS_EXCLUDED(mutex_);

  // --- For readers

  // Keeps the blobs that it was told of where they are, until it goes.
  class Hold {
   public:
    Hold(BlobStore* store, absl::string_view caller);
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

    // Whether the caller has this blob; it is held then. `size`, where it is
    // not negative, is to be the blob's.
    bool Add(const Digest& digest, std::int64_t size = -1);
    // NOT_FOUND where it has vanished.
    absl::StatusOr<UniqueFd> Open(const Digest& digest) const;
    // It is not itself any more. Where it was sent again since it was added,
    // that one stays.
    void Remove(const Digest& digest);

   private:
    BlobStore* const store_;
    const std::string owner_;
    absl::flat_hash_map<Digest, std::shared_ptr<const void>> held_;
  };

  // Drops parts that nobody went on with, and blobs where the disk is full and
  // they are enough for it.
  void Sweep() ABSL_LOCKS_EXCLUDED(mutex_);

  // No uploads any more.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Blob {
    std::int64_t size = 0;
    absl::Time used;
    absl::Time touched;  // what its file says
    // What each Hold of it keeps alive. It is this blob's alone: a Hold of one
    // that was removed has no part in what was sent again since.
    std::weak_ptr<const void> holds = {};
    std::list<Digest>::iterator place;  // in by_use

    bool is_held() const { return !holds.expired(); }
  };
  struct Part {
    std::int64_t committed = 0;
    std::int64_t reserved = 0;  // what it is counted as
    absl::Time written;
    bool open = false;
  };
  struct Owner {
    absl::flat_hash_map<Digest, Blob> blobs;
    std::list<Digest> by_use;  // the longest unused first
    absl::flat_hash_map<Digest, Part> parts;
    std::int64_t bytes = 0;
  };
  // What went for room under one lock. The blobs are known no more, and their
  // files are to go once it is released: there may be very many.
  struct Evicted {
    std::vector<std::string> files;
    std::size_t count = 0;  // with parts, which are gone
  };

  explicit BlobStore(Options options);

  static std::string OwnerOf(absl::string_view caller);
  std::string BlobFolder(const std::string& owner, const Digest& digest) const;
  std::string BlobPath(const std::string& owner, const Digest& digest) const;
  std::string PartPath(const std::string& owner, const Digest& digest) const;

  absl::Status Load();
  absl::Status LoadOwner(const std::string& owner);
  Owner& OwnerAt(const std::string& owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddBytes(Owner& owner, std::int64_t bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Insert(Owner& owner, const Digest& digest, std::int64_t size,
              absl::Time used) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Touch(const std::string& name, Owner& owner, const Digest& digest,
             Blob& blob) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the place of an upload. False where others are to have their turn
  // first: it is to be called again after RemoveFiles.
  absl::StatusOr<bool> Reserve(const std::string& name, const Digest& digest,
                               std::int64_t size, std::int64_t offset,
                               Place& place, Evicted& evicted)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes away what has been unused for the longest time until there is room;
  // false as of Reserve.
  absl::StatusOr<bool> MakeRoom(const std::string& name, std::int64_t bytes,
                                Evicted& evicted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What could go in all.
  std::int64_t EvictableBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes away one thing for a disk that lacks so much; false where there is
  // nothing, or all together would not be enough.
  bool EvictForDisk(std::int64_t lacking, Evicted& evicted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // False where the owner has nothing that may go.
  bool EvictFrom(const std::string& name, Evicted& evicted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool EvictFromAnybody(Evicted& evicted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveFiles(const Evicted& evicted) ABSL_LOCKS_EXCLUDED(mutex_);
  // False where there is no such blob.
  bool Forget(Owner& owner, const Digest& digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Erase(const std::string& name, Owner& owner, const Digest& digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ErasePart(const std::string& name, Owner& owner, const Digest& digest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes away the part of this owner that was left for the longest time.
  void DropOldestPart(const std::string& name, Owner& owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  mutable absl::Mutex mutex_;
  Limits limits_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, std::unique_ptr<Owner>> owners_
      ABSL_GUARDED_BY(mutex_);
  std::int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // Of it, what a Hold keeps.
  std::atomic<std::int64_t> held_bytes_ = 0;
  // Files that RemoveFiles is about to remove.
  absl::flat_hash_set<std::string> leaving_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  // What calls under way are counted as -> how many.
  absl::flat_hash_map<std::string, int> uploads_ ABSL_GUARDED_BY(mutex_);
};

// What a BlobDigest names; OPTION_INVALID about `field` where it is none.
absl::StatusOr<Digest> ReadBlobDigest(const v1::BlobDigest& blob,
                                      absl::string_view field);

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_BLOBS_BLOB_STORE_H_
