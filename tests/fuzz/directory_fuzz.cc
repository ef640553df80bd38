// The reader of uploaded contexts: whatever a client sends for Directories,
// what is let through has names, links and totals that a plain walk agrees
// with.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "blobs/directory.h"
#include "blobs/tree.h"
#include "fuzz/fuzz.h"

namespace containerbuilder::service {
namespace {

using fuzz::Check;

constexpr std::int64_t kMaxFiles = 300;
constexpr std::int64_t kMaxBytes = 100'000;

// The blobs of an input: Directories one behind the other, each of which has
// those before it as folders: which one, the size says that the input has
// there. All files are there.
class Blobs {
 public:
  explicit Blobs(fuzz::Input input) {
    while (!input.empty()) Add(input.LongText());
  }

  const std::optional<Digest>& root() const { return root_; }

  TreeSource Source() const {
    return {[](const Digest&, std::int64_t) { return true; },
            [this](const Digest& digest) -> absl::StatusOr<std::string> {
              const auto found = contents_.find(digest.Hex());
              if (found == contents_.end()) return absl::NotFoundError("");
              return found->second;
            }};
  }

  const std::string& At(const std::string& digest) const {
    return contents_.at(Digest::Parse(digest)->Hex());
  }

 private:
  void Add(absl::string_view bytes) {
    std::string content(bytes);
    v1::Directory directory;
    if (fuzz::Parse(bytes, directory)) {
      for (auto& folder : *directory.mutable_directories()) {
        if (digests_.empty()) break;
        const auto which =
            static_cast<std::uint64_t>(folder.blob().size_bytes());
        folder.mutable_blob()->set_digest(
            digests_[which % digests_.size()].ToString());
      }
      content = directory.SerializeAsString();
    }
    root_ = Digest::Of(content);
    digests_.push_back(*root_);
    contents_[root_->Hex()] = content;
  }

  std::map<std::string, std::string> contents_;
  std::vector<Digest> digests_;
  std::optional<Digest> root_;
};

// Walks each folder as often as it is there.
void Walk(const Blobs& blobs, const std::string& bytes, int depth,
          TreeTotals& totals) {
  Check(depth <= limits::kMaxStagedDepth, "it is not too deep");
  v1::Directory directory;
  Check(fuzz::Parse(bytes, directory), "it is a Directory");
  const auto check_name = [&](const std::string& name) {
    ++totals.entries;
    Check(totals.entries <= kMaxFiles, "there are not too many files");
    Check(!name.empty() && name != "." && name != ".." && name.size() <= 255 &&
              !absl::StrContains(name, '/') && !absl::StrContains(name, '\0'),
          "a name is one component", name);
  };
  for (const v1::Directory::File& file : directory.files()) {
    check_name(file.name());
    Check((file.mode() & ~0777U) == 0, "modes have nine bits");
    totals.bytes += file.blob().size_bytes();
    Check(totals.bytes <= kMaxBytes, "there are not too many bytes");
  }
  for (const v1::Directory::Symlink& link : directory.symlinks()) {
    check_name(link.name());
    Check(!absl::StartsWith(link.target(), "/"), "links are relative");
    int level = depth;
    for (const absl::string_view part : absl::StrSplit(link.target(), '/')) {
      if (part.empty() || part == ".") continue;
      level += part == ".." ? -1 : 1;
      Check(level >= 0, "links stay within the root", link.target());
    }
  }
  for (const v1::Directory::Subdirectory& folder : directory.directories()) {
    check_name(folder.name());
    Walk(blobs, blobs.At(folder.blob().digest()), depth + 1, totals);
  }
}

}  // namespace
}  // namespace containerbuilder::service

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using containerbuilder::service::Blobs;
  using containerbuilder::service::CheckTree;
  using containerbuilder::service::TreeTotals;
  static const google::protobuf::LogSilencer silencer;
  const Blobs blobs(containerbuilder::fuzz::Input(data, size));
  if (!blobs.root()) return 0;
  containerbuilder::service::CopyLimits limits;
  limits.max_bytes = containerbuilder::service::kMaxBytes;
  limits.max_files = containerbuilder::service::kMaxFiles;
  const containerbuilder::service::TreeSource source = blobs.Source();
  const absl::StatusOr<TreeTotals> totals =
      CheckTree(source, *blobs.root(), limits);
  if (!totals.ok()) return 0;
  TreeTotals walked;
  Walk(blobs, *source.read(*blobs.root()), 0, walked);
  containerbuilder::fuzz::Check(
      walked.entries == totals->entries && walked.bytes == totals->bytes,
      "the totals are those of a walk");
  return 0;
}
