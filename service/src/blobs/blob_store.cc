#include "blobs/blob_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/failpoint.h"
#include "base/file_error.h"
#include "base/limits.h"
#include "base/status_macros.h"

namespace containerbuilder::service {
namespace {

// A blob takes whole blocks of a disk, and an entry in memory.
std::int64_t CostOf(std::int64_t size) {
  constexpr std::int64_t kBlock = 4096;
  return (size / kBlock + 1) * kBlock;
}

// Has a part in a sum for as long as it is there.
class CountedBytes {
 public:
  CountedBytes(std::atomic<std::int64_t>& sum, std::int64_t bytes)
      : sum_(sum), bytes_(bytes) {
    sum_ += bytes_;
  }
  CountedBytes(const CountedBytes&) = delete;
  CountedBytes& operator=(const CountedBytes&) = delete;
  ~CountedBytes() { sum_ -= bytes_; }

 private:
  std::atomic<std::int64_t>& sum_;
  const std::int64_t bytes_;
};

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

// Calls `visit` with the name of each entry and the descriptor of the folder;
// a folder that is not there has none.
absl::Status ForEachEntry(
    const std::string& path,
    const std::function<absl::Status(int, const std::string&)>& visit) {
  const std::unique_ptr<DIR, CloseFolder> folder(opendir(path.c_str()));
  if (folder == nullptr) {
    return errno == ENOENT ? absl::OkStatus()
                           : absl::ErrnoToStatus(errno, path);
  }
  while (true) {
    errno = 0;
    const dirent* entry = readdir(folder.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    CONTAINERBUILDER_RETURN_IF_ERROR(visit(dirfd(folder.get()), name));
  }
  return errno == 0 ? absl::OkStatus() : absl::ErrnoToStatus(errno, path);
}

// The regular files of a folder that are named by digests.
absl::Status ForEachFile(
    const std::string& path,
    const std::function<void(const Digest&, const struct stat&)>& visit) {
  return ForEachEntry(path, [&](int folder, const std::string& name) {
    struct stat info;
    const std::optional<Digest> digest = Digest::FromHex(name);
    if (digest &&
        fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(info.st_mode)) {
      visit(*digest, info);
    }
    return absl::OkStatus();
  });
}

// Of the disk, as callers are told it.
absl::Status ForCaller(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) {
    return errors::NoSpace(status.message());
  }
  return errors::Internal(status.message());
}

absl::Status DiskIsFull() { return errors::NoSpace(kDiskIsFull); }

}  // namespace

absl::StatusOr<Digest> ReadBlobDigest(const v1::BlobDigest& blob,
                                      absl::string_view field) {
  const std::optional<Digest> digest = Digest::Parse(blob.digest());
  if (!digest) {
    return errors::OptionInvalid(
        absl::StrCat(field, ".digest"),
        "a digest is written sha256: and 64 hex digits in lower case");
  }
  if (blob.size_bytes() < 0) {
    return errors::OptionInvalid(absl::StrCat(field, ".size_bytes"),
                                 "a size is not negative");
  }
  return *digest;
}

BlobStore::BlobStore(Options options)
    : options_(std::move(options)), limits_(options_.limits) {}

absl::StatusOr<std::unique_ptr<BlobStore>> BlobStore::Open(Options options) {
  std::unique_ptr<BlobStore> store(new BlobStore(std::move(options)));
  CONTAINERBUILDER_RETURN_IF_ERROR(store->Load());
  return store;
}

absl::Status BlobStore::Load() {
  std::vector<std::string> owners;
  for (const char* kind : {"/blobs", "/uploads"}) {
    const std::string path = options_.folder + kind;
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return absl::ErrnoToStatus(error.value(), path);
    CONTAINERBUILDER_RETURN_IF_ERROR(
        ForEachEntry(path, [&](int, const std::string& name) {
          if (Digest::FromHex(name)) owners.push_back(name);
          return absl::OkStatus();
        }));
  }
  absl::c_sort(owners);
  owners.erase(std::unique(owners.begin(), owners.end()), owners.end());
  for (const std::string& owner : owners) {
    CONTAINERBUILDER_RETURN_IF_ERROR(LoadOwner(owner));
  }
  return absl::OkStatus();
}

absl::Status BlobStore::LoadOwner(const std::string& owner) {
  struct Found {
    Digest digest;
    std::int64_t size;
    absl::Time used;
  };
  std::vector<Found> blobs;
  const std::string folder = absl::StrCat(options_.folder, "/blobs/", owner);
  CONTAINERBUILDER_RETURN_IF_ERROR(
      ForEachEntry(folder, [&](int, const std::string& shard) {
        return ForEachFile(
            absl::StrCat(folder, "/", shard),
            [&](const Digest& digest, const struct stat& info) {
              blobs.push_back(
                  {digest, info.st_size, absl::TimeFromTimespec(info.st_mtim)});
            });
      }));
  absl::c_sort(blobs,
               [](const Found& a, const Found& b) { return a.used < b.used; });
  absl::MutexLock lock(&mutex_);
  Owner& here = OwnerAt(owner);
  for (const Found& blob : blobs) {
    Insert(here, blob.digest, blob.size, blob.used);
  }
  return ForEachFile(absl::StrCat(options_.folder, "/uploads/", owner),
                     [&](const Digest& digest, const struct stat& info)
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                           Part& part = here.parts[digest];
                           part.committed = info.st_size;
                           part.reserved = CostOf(info.st_size);
                           part.written = absl::TimeFromTimespec(info.st_mtim);
                           AddBytes(here, part.reserved);
                         });
}

std::string BlobStore::OwnerOf(absl::string_view caller) {
  return Digest::Of(caller).Hex();
}

std::string BlobStore::BlobFolder(const std::string& owner,
                                  const Digest& digest) const {
  return absl::StrCat(options_.folder, "/blobs/", owner, "/",
                      digest.Hex().substr(0, 2));
}

std::string BlobStore::BlobPath(const std::string& owner,
                                const Digest& digest) const {
  return absl::StrCat(BlobFolder(owner, digest), "/", digest.Hex());
}

std::string BlobStore::PartPath(const std::string& owner,
                                const Digest& digest) const {
  return absl::StrCat(options_.folder, "/uploads/", owner, "/", digest.Hex());
}

void BlobStore::SetLimits(const Limits& limits) {
  absl::MutexLock lock(&mutex_);
  limits_ = limits;
}

BlobStore::Owner& BlobStore::OwnerAt(const std::string& owner) {
  std::unique_ptr<Owner>& found = owners_[owner];
  if (found == nullptr) found = std::make_unique<Owner>();
  return *found;
}

void BlobStore::AddBytes(Owner& owner, std::int64_t bytes) {
  owner.bytes += bytes;
  bytes_ += bytes;
}

void BlobStore::Insert(Owner& owner, const Digest& digest, std::int64_t size,
                       absl::Time used) {
  owner.by_use.push_back(digest);
  owner.blobs[digest] = {.size = size,
                         .used = used,
                         .touched = used,
                         .place = std::prev(owner.by_use.end())};
  AddBytes(owner, CostOf(size));
}

void BlobStore::Touch(const std::string& name, Owner& owner,
                      const Digest& digest, Blob& blob) {
  blob.used = options_.now();
  owner.by_use.splice(owner.by_use.end(), owner.by_use, blob.place);
  // For the next start, which needs not know it to the second.
  if (blob.used - blob.touched < limits::kBlobTouchInterval) return;
  blob.touched = blob.used;
  const timespec times[] = {{0, UTIME_OMIT}, absl::ToTimespec(blob.used)};
  utimensat(AT_FDCWD, BlobPath(name, digest).c_str(), times,
            AT_SYMLINK_NOFOLLOW);
}

absl::StatusOr<v1::FindMissingBlobsResponse> BlobStore::FindMissing(
    const v1::FindMissingBlobsRequest& request, absl::string_view caller) {
  if (request.blobs_size() > limits::kMaxFoundBlobs) {
    return errors::TooLarge(
        "blobs",
        absl::StrCat("at most ", limits::kMaxFoundBlobs,
                     " blobs are looked for at once; ask in several calls"),
        "");
  }
  v1::FindMissingBlobsResponse response;
  const std::string name = OwnerOf(caller);
  absl::MutexLock lock(&mutex_);
  Owner& owner = OwnerAt(name);
  for (int i = 0; i < request.blobs_size(); ++i) {
    const v1::BlobDigest& blob = request.blobs(i);
    CONTAINERBUILDER_ASSIGN_OR_RETURN(
        const Digest digest,
        ReadBlobDigest(blob, absl::StrCat("blobs[", i, "]")));
    const auto found = owner.blobs.find(digest);
    if (found != owner.blobs.end() && found->second.size == blob.size_bytes()) {
      Touch(name, owner, digest, found->second);
      continue;
    }
    v1::FindMissingBlobsResponse::MissingBlob& missing =
        *response.add_missing_blobs();
    *missing.mutable_blob() = blob;
    const auto part = owner.parts.find(digest);
    // One that is as long, and yet is no blob, is begun anew.
    if (part != owner.parts.end() &&
        part->second.committed < blob.size_bytes()) {
      missing.set_committed_bytes(part->second.committed);
    }
  }
  return response;
}

absl::Status BlobStore::BeginUpload(absl::string_view counted_as) {
  absl::MutexLock lock(&mutex_);
  if (closed_) return errors::Draining();
  int& count = uploads_[counted_as];
  if (count >= limits::kMaxOpenUploads) {
    return errors::TooManyUploads(limits::kMaxOpenUploads);
  }
  ++count;
  return absl::OkStatus();
}

void BlobStore::EndUpload(absl::string_view counted_as) {
  absl::MutexLock lock(&mutex_);
  const auto found = uploads_.find(counted_as);
  if (--found->second == 0) uploads_.erase(found);
}

absl::StatusOr<bool> BlobStore::Reserve(const std::string& name,
                                        const Digest& digest, std::int64_t size,
                                        std::int64_t offset, Place& place,
                                        Evicted& evicted) {
  absl::MutexLock lock(&mutex_);
  if (closed_) return errors::Draining();
  Owner& owner = OwnerAt(name);
  auto found = owner.blobs.find(digest);
  // One that a crash of the machine cut short has a size of its own.
  if (found != owner.blobs.end() && found->second.size != size &&
      !found->second.is_held()) {
    Erase(name, owner, digest);
    found = owner.blobs.end();
  }
  if (found != owner.blobs.end()) {
    if (found->second.size != size) {
      return errors::OptionInvalid(
          "blob.size_bytes",
          absl::StrCat("the content of this digest has ", found->second.size,
                       " bytes, not ", size));
    }
    Touch(name, owner, digest, found->second);
    place.is_whole = true;
    return true;
  }
  if (size > limits_.max_blob_bytes) {
    return errors::TooLarge(
        "blob.size_bytes",
        absl::StrCat("one content has at most ", limits_.max_blob_bytes,
                     " bytes (--max_blob_bytes)"),
        "--max_blob_bytes");
  }
  const auto earlier = owner.parts.find(digest);
  place.committed = 0;
  if (earlier != owner.parts.end()) {
    if (earlier->second.open) return errors::UploadInProgress();
    place.committed = earlier->second.committed;
  }
  if (offset != 0 && offset != place.committed) {
    return errors::OptionInvalid(
        "offset",
        absl::StrCat("of this blob there are ", place.committed, " bytes, not ",
                     offset, "; go on there, or begin anew at 0"));
  }
  if (offset == 0) place.committed = 0;
  // What it will have is taken now, so that it does not fail in its middle.
  if (earlier != owner.parts.end()) {
    AddBytes(owner, -std::exchange(earlier->second.reserved, 0));
    earlier->second.open = true;  // not to be dropped for room
  }
  absl::StatusOr<bool> room = MakeRoom(name, CostOf(size), evicted);
  if (!room.ok() || !*room) {
    if (earlier != owner.parts.end()) {
      earlier->second.open = false;
      earlier->second.reserved = CostOf(earlier->second.committed);
      AddBytes(owner, earlier->second.reserved);
    }
    return room;
  }
  Part& part = owner.parts[digest];
  part.open = true;
  part.reserved = CostOf(size);
  part.committed = place.committed;
  part.written = options_.now();
  AddBytes(owner, part.reserved);
  return true;
}

absl::StatusOr<BlobStore::Place> BlobStore::BeginPart(absl::string_view caller,
                                                      const Digest& digest,
                                                      std::int64_t size,
                                                      std::int64_t offset) {
  const std::string name = OwnerOf(caller);
  Place place;
  for (bool reserved = false; !reserved;) {
    Evicted evicted;
    const absl::StatusOr<bool> result =
        Reserve(name, digest, size, offset, place, evicted);
    RemoveFiles(evicted);
    if (!result.ok()) return result.status();
    reserved = *result;
  }
  if (place.is_whole) return place;
  const std::string path = PartPath(name, digest);
  const auto open_part = [&] {
    return UniqueFd(open(path.c_str(),
                         O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC |
                             (place.committed == 0 ? O_TRUNC : 0),
                         S_IRUSR | S_IWUSR));
  };
  place.file = open_part();
  if (!place.file.valid() && errno == ENOENT) {
    std::error_code ignored;
    std::filesystem::create_directory(
        absl::StrCat(options_.folder, "/uploads/", name), ignored);
    place.file = open_part();
  }
  struct stat info;
  if (!place.file.valid() || fstat(place.file.get(), &info) != 0) {
    const absl::Status error = FileError(errno, "an upload's file");
    LeavePart(caller, digest, place.committed);
    return ForCaller(error);
  }
  if (info.st_size != place.committed) {
    // Somebody else had a hand in it.
    DropPart(caller, digest);
    return errors::OptionInvalid("offset",
                                 "what had come of this blob is gone; begin "
                                 "anew at 0");
  }
  return place;
}

void BlobStore::LeavePart(absl::string_view caller, const Digest& digest,
                          std::int64_t committed) {
  const std::string name = OwnerOf(caller);
  absl::MutexLock lock(&mutex_);
  Owner& owner = OwnerAt(name);
  const auto part = owner.parts.find(digest);
  if (part == owner.parts.end()) return;
  AddBytes(owner, CostOf(committed) - part->second.reserved);
  part->second.reserved = CostOf(committed);
  part->second.committed = committed;
  part->second.written = options_.now();
  part->second.open = false;
  if (committed == 0) {
    ErasePart(name, owner, digest);
    return;
  }
  if (owner.parts.size() > limits::kMaxLeftUploads) {
    DropOldestPart(name, owner);
  }
}

void BlobStore::DropPart(absl::string_view caller, const Digest& digest) {
  LeavePart(caller, digest, 0);
}

absl::Status BlobStore::CommitPart(absl::string_view caller,
                                   const Digest& digest) {
  const std::string name = OwnerOf(caller);
  const std::string part_path = PartPath(name, digest);
  const std::string path = BlobPath(name, digest);
  CONTAINERBUILDER_FAILPOINT("blob-written");
  absl::MutexLock lock(&mutex_);
  // One that was evicted is about to be removed by this name.
  const auto is_free = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !leaving_.contains(path);
  };
  mutex_.Await(absl::Condition(&is_free));
  Owner& owner = OwnerAt(name);
  const auto put = [&] {
    return std::rename(part_path.c_str(), path.c_str()) == 0;
  };
  bool done = put();
  if (!done && errno == ENOENT) {
    std::error_code ignored;
    std::filesystem::create_directories(BlobFolder(name, digest), ignored);
    done = put();
  }
  struct stat info;
  if (!done || lstat(path.c_str(), &info) != 0) {
    return ForCaller(FileError(errno, "keeping a blob"));
  }
  const auto part = owner.parts.find(digest);
  AddBytes(owner, -part->second.reserved);
  owner.parts.erase(part);
  Insert(owner, digest, info.st_size, options_.now());
  CONTAINERBUILDER_FAILPOINT("blob-committed");
  return absl::OkStatus();
}

absl::Status BlobStore::MayGoOn() const {
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) return errors::Draining();
  }
  return options_.lacking_bytes() == 0 ? absl::OkStatus() : DiskIsFull();
}

absl::StatusOr<bool> BlobStore::MakeRoom(const std::string& name,
                                         std::int64_t bytes, Evicted& evicted) {
  if (const std::int64_t lacking = options_.lacking_bytes(); lacking > 0) {
    if (!EvictForDisk(lacking, evicted)) return DiskIsFull();
    return false;  // what that gained is known when the file is gone
  }
  const Owner& owner = OwnerAt(name);
  const std::int64_t per_caller =
      std::min(limits_.max_bytes_per_caller, limits_.max_bytes);
  while (bytes > per_caller - owner.bytes ||
         owner.blobs.size() + owner.parts.size() >=
             limits::kMaxBlobsPerCaller) {
    if (evicted.count >= limits::kEvictSlice) return false;
    if (EvictFrom(name, evicted)) continue;
    return errors::NoSpace(
        absl::StrCat("you may have ", per_caller,
                     " bytes of uploads (--max_blob_store_bytes_per_caller), "
                     "and what is in use and this are more"),
        "--max_blob_store_bytes_per_caller");
  }
  while (bytes > limits_.max_bytes - bytes_) {
    if (evicted.count >= limits::kEvictSlice) return false;
    if (EvictFromAnybody(evicted)) continue;
    return errors::NoSpace(
        absl::StrCat("the service keeps ", limits_.max_bytes,
                     " bytes of uploads (--max_blob_store_bytes), and what is "
                     "in use and this are more"),
        "--max_blob_store_bytes");
  }
  return true;
}

std::int64_t BlobStore::EvictableBytes() const {
  std::int64_t bytes = bytes_ - held_bytes_;
  for (const auto& [name, owner] : owners_) {
    for (const auto& [digest, part] : owner->parts) {
      if (part.open) bytes -= part.reserved;
    }
  }
  return bytes;
}

bool BlobStore::EvictForDisk(std::int64_t lacking, Evicted& evicted) {
  return lacking <= EvictableBytes() && EvictFromAnybody(evicted);
}

bool BlobStore::EvictFrom(const std::string& name, Evicted& evicted) {
  Owner& owner = OwnerAt(name);
  for (const Digest& digest : owner.by_use) {
    if (owner.blobs.at(digest).is_held()) continue;
    evicted.files.push_back(BlobPath(name, digest));
    leaving_.insert(evicted.files.back());
    ++evicted.count;
    return Forget(owner, Digest(digest));
  }
  const std::size_t parts = owner.parts.size();
  DropOldestPart(name, owner);
  if (owner.parts.size() == parts) return false;
  ++evicted.count;
  return true;
}

bool BlobStore::EvictFromAnybody(Evicted& evicted) {
  const std::string* oldest = nullptr;
  absl::Time used = absl::InfiniteFuture();
  for (const auto& [name, owner] : owners_) {
    for (const Digest& digest : owner->by_use) {
      const Blob& blob = owner->blobs.at(digest);
      if (blob.is_held()) continue;
      if (blob.used < used) {
        used = blob.used;
        oldest = &name;
      }
      break;
    }
    for (const auto& [digest, part] : owner->parts) {
      if (!part.open && part.written < used) {
        used = part.written;
        oldest = &name;
      }
    }
  }
  return oldest != nullptr && EvictFrom(*oldest, evicted);
}

void BlobStore::RemoveFiles(const Evicted& evicted) {
  if (evicted.files.empty()) return;
  for (const std::string& file : evicted.files) options_.remove(file);
  absl::MutexLock lock(&mutex_);
  for (const std::string& file : evicted.files) leaving_.erase(file);
}

bool BlobStore::Forget(Owner& owner, const Digest& digest) {
  const auto found = owner.blobs.find(digest);
  if (found == owner.blobs.end()) return false;
  AddBytes(owner, -CostOf(found->second.size));
  owner.by_use.erase(found->second.place);
  owner.blobs.erase(found);
  return true;
}

void BlobStore::Erase(const std::string& name, Owner& owner,
                      const Digest& digest) {
  if (Forget(owner, digest)) unlink(BlobPath(name, digest).c_str());
}

void BlobStore::ErasePart(const std::string& name, Owner& owner,
                          const Digest& digest) {
  const auto found = owner.parts.find(digest);
  if (found == owner.parts.end()) return;
  AddBytes(owner, -found->second.reserved);
  owner.parts.erase(found);
  unlink(PartPath(name, digest).c_str());
}

void BlobStore::DropOldestPart(const std::string& name, Owner& owner) {
  const std::pair<const Digest, Part>* oldest = nullptr;
  for (const auto& part : owner.parts) {
    if (part.second.open) continue;
    if (oldest == nullptr || part.second.written < oldest->second.written) {
      oldest = &part;
    }
  }
  if (oldest != nullptr) ErasePart(name, owner, Digest(oldest->first));
}

void BlobStore::Sweep() {
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time oldest = options_.now() - limits_.upload_ttl;
    for (auto& [name, owner] : owners_) {
      std::vector<Digest> over;
      for (const auto& [digest, part] : owner->parts) {
        if (!part.open && part.written < oldest) over.push_back(digest);
      }
      for (const Digest& digest : over) ErasePart(name, *owner, digest);
    }
  }
  // A disk with room for builds is worth more than what may be sent again.
  while (const std::int64_t lacking = options_.lacking_bytes()) {
    Evicted evicted;
    {
      absl::MutexLock lock(&mutex_);
      if (!EvictForDisk(lacking, evicted)) return;
    }
    RemoveFiles(evicted);
  }
}

void BlobStore::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
}

BlobStore::Hold::Hold(BlobStore* store, absl::string_view caller)
    : store_(store), owner_(OwnerOf(caller)) {}

bool BlobStore::Hold::Add(const Digest& digest, std::int64_t size) {
  absl::MutexLock lock(&store_->mutex_);
  Owner& owner = store_->OwnerAt(owner_);
  const auto found = owner.blobs.find(digest);
  if (found == owner.blobs.end() || (size >= 0 && found->second.size != size)) {
    return false;
  }
  std::shared_ptr<const void> hold = found->second.holds.lock();
  if (hold == nullptr) {
    hold = std::make_shared<CountedBytes>(store_->held_bytes_,
                                          CostOf(found->second.size));
    found->second.holds = hold;
  }
  held_.insert_or_assign(digest, std::move(hold));
  store_->Touch(owner_, owner, digest, found->second);
  return true;
}

absl::StatusOr<UniqueFd> BlobStore::Hold::Open(const Digest& digest) const {
  UniqueFd file(open(store_->BlobPath(owner_, digest).c_str(),
                     O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid()) return FileError(errno, "opening a blob");
  return file;
}

void BlobStore::Hold::Remove(const Digest& digest) {
  absl::MutexLock lock(&store_->mutex_);
  Owner& owner = store_->OwnerAt(owner_);
  const auto found = owner.blobs.find(digest);
  const auto held = held_.find(digest);
  if (found == owner.blobs.end() || held == held_.end() ||
      found->second.holds.lock() != held->second) {
    return;
  }
  store_->Erase(owner_, owner, digest);
}

}  // namespace containerbuilder::service
