#include "blobs/directory.h"

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errors.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "base/utf8.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/util/time_util.h"
#include "google/protobuf/wire_format.h"
#include "google/protobuf/wire_format_lite.h"

namespace containerbuilder::service {
namespace {

constexpr std::size_t kMaxNameBytes = NAME_MAX;
constexpr std::size_t kMaxTargetBytes = PATH_MAX - 1;
constexpr std::uint32_t kPermissions = 0777;

// A path may be long, and the rule is to be read behind it.
std::string Shown(absl::string_view path) {
  constexpr std::size_t kMost = 300;
  const std::string cut =
      path.size() <= kMost
          ? std::string(path)
          : absl::StrCat("...", path.substr(path.size() - kMost));
  return ToUtf8(absl::Utf8SafeCEscape(cut));
}

// A target goes up again behind a name.
bool TurnsBack(absl::string_view target) {
  bool has_name = false;
  for (const absl::string_view part : absl::StrSplit(target, '/')) {
    if (part == "..") {
      if (has_name) return true;
    } else if (!part.empty() && part != ".") {
      has_name = true;
    }
  }
  return false;
}

enum class Shape { kKnown, kUnknown, kBroken };

// Whether all up to the stream's limit is fields that messages of this type
// have. `count`, where it is not null, becomes how many they are.
Shape ShapeOf(google::protobuf::io::CodedInputStream& stream,
              const google::protobuf::Descriptor& type, std::int64_t* count) {
  using google::protobuf::internal::WireFormat;
  using google::protobuf::internal::WireFormatLite;
  while (const std::uint32_t tag = stream.ReadTag()) {
    const google::protobuf::FieldDescriptor* const field =
        type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    if (field == nullptr || tag != WireFormat::MakeTag(field)) {
      return Shape::kUnknown;
    }
    if (count != nullptr) ++*count;
    if (field->message_type() == nullptr) {
      if (!WireFormatLite::SkipField(&stream, tag)) return Shape::kBroken;
      continue;
    }
    std::uint32_t size = 0;
    if (!stream.ReadVarint32(&size) || size > INT_MAX) return Shape::kBroken;
    const auto around = stream.PushLimit(static_cast<int>(size));
    const Shape shape = ShapeOf(stream, *field->message_type(), nullptr);
    if (shape != Shape::kKnown) return shape;
    stream.PopLimit(around);
  }
  return stream.ConsumedEntireMessage() ? Shape::kKnown : Shape::kBroken;
}

absl::Status NoDirectory(absl::string_view path) {
  return TreeInvalid(path, "its blob is no Directory");
}

class DirectoryRules {
 public:
  explicit DirectoryRules(absl::string_view path) : path_(path) {}

  absl::Status Check(const v1::Directory& directory) {
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckAll(directory.files()));
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckAll(directory.directories()));
    CONTAINERBUILDER_RETURN_IF_ERROR(CheckAll(directory.symlinks()));
    absl::c_sort(names_);
    const auto twice = absl::c_adjacent_find(names_);
    if (twice == names_.end()) return absl::OkStatus();
    return Invalid(*twice, "the folder has this name twice");
  }

 private:
  absl::Status Invalid(absl::string_view name, absl::string_view rule) const {
    return TreeInvalid(PathInTree(path_, name), rule);
  }

  template <typename Entries>
  absl::Status CheckAll(const Entries& entries) {
    const std::string* last = nullptr;
    for (const auto& entry : entries) {
      const std::string& name = entry.name();
      CONTAINERBUILDER_RETURN_IF_ERROR(CheckName(name));
      if (last != nullptr && *last >= name) {
        return Invalid(name,
                       "a folder's entries are sorted by the bytes of their "
                       "names, and each is there once");
      }
      last = &name;
      names_.emplace_back(name);
      if (entry.has_modify_time()) {
        CONTAINERBUILDER_RETURN_IF_ERROR(CheckTime(entry));
      }
      CONTAINERBUILDER_RETURN_IF_ERROR(CheckKind(entry));
    }
    return absl::OkStatus();
  }

  absl::Status CheckName(const std::string& name) const {
    if (name.empty() || name == "." || name == ".." ||
        name.size() > kMaxNameBytes || absl::StrContains(name, '/') ||
        absl::StrContains(name, '\0')) {
      return Invalid(name,
                     "a name is one component of a path: not empty, not \".\" "
                     "or \"..\", at most 255 bytes, and without \"/\" and NUL");
    }
    return absl::OkStatus();
  }

  template <typename Entry>
  absl::Status CheckTime(const Entry& entry) const {
    using google::protobuf::util::TimeUtil;
    const google::protobuf::Timestamp& time = entry.modify_time();
    if (time.seconds() < TimeUtil::kTimestampMinSeconds ||
        time.seconds() > TimeUtil::kTimestampMaxSeconds || time.nanos() < 0 ||
        time.nanos() > 999'999'999) {
      return Invalid(entry.name(),
                     "modify_time is within the years 1 to 9999, with 0 to "
                     "999999999 nanoseconds");
    }
    return absl::OkStatus();
  }

  // Files and folders.
  template <typename Entry>
  absl::Status CheckKind(const Entry& entry) const {
    if ((entry.mode() & ~kPermissions) != 0) {
      return Invalid(entry.name(),
                     "mode has the nine bits of permissions alone; leave out "
                     "set-uid, set-gid, sticky and the bits of the type");
    }
    if (!Digest::Parse(entry.blob().digest()) ||
        entry.blob().size_bytes() < 0) {
      return Invalid(entry.name(),
                     "blob has a digest, sha256: and 64 hex digits in lower "
                     "case, and a size that is not negative");
    }
    return absl::OkStatus();
  }

  absl::Status CheckKind(const v1::Directory::Symlink& link) const {
    const std::string& target = link.target();
    if (target.empty() || target.size() > kMaxTargetBytes ||
        absl::StrContains(target, '\0')) {
      return Invalid(link.name(),
                     "a link's target has 1 to 4095 bytes, and no NUL");
    }
    if (absl::StartsWith(target, "/")) {
      return Invalid(link.name(),
                     "a link of a context is relative; this one leads to a "
                     "place of the machine");
    }
    if (TurnsBack(target)) {
      return Invalid(link.name(),
                     "a link's target has \"..\" only at its beginning: behind "
                     "a name, which may be a link itself, nobody can tell from "
                     "the text where it leads");
    }
    return absl::OkStatus();
  }

  const absl::string_view path_;
  std::vector<absl::string_view> names_;
};

}  // namespace

absl::Status TreeInvalid(absl::string_view path, absl::string_view rule) {
  return errors::OptionInvalid(
      "spec.context_digest",
      path.empty() ? absl::StrCat("the context's root: ", rule)
                   : absl::StrCat("\"", Shown(path), "\": ", rule));
}

std::string PathInTree(absl::string_view path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, "/", name);
}

int ClimbOf(absl::string_view target) {
  const std::vector<absl::string_view> parts = absl::StrSplit(target, '/');
  return static_cast<int>(absl::c_count(parts, ".."));
}

absl::StatusOr<std::int64_t> CountEntries(absl::string_view bytes,
                                          absl::string_view path) {
  google::protobuf::io::CodedInputStream stream(
      reinterpret_cast<const std::uint8_t*>(bytes.data()),
      static_cast<int>(bytes.size()));
  std::int64_t entries = 0;
  switch (ShapeOf(stream, *v1::Directory::descriptor(), &entries)) {
    case Shape::kKnown:
      return entries;
    case Shape::kUnknown:
      return TreeInvalid(path,
                         "it or an entry of it has fields that this service "
                         "does not know");
    case Shape::kBroken:
      break;
  }
  return NoDirectory(path);
}

absl::StatusOr<v1::Directory> ReadDirectory(absl::string_view bytes,
                                            absl::string_view path) {
  v1::Directory directory;
  if (!directory.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return NoDirectory(path);
  }
  CONTAINERBUILDER_RETURN_IF_ERROR(DirectoryRules(path).Check(directory));
  return directory;
}

}  // namespace containerbuilder::service
