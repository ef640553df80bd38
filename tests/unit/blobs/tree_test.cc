#include "blobs/tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "base/unique_fd.h"
#include "blobs/blob_upload.h"
#include "blobs/directory.h"
#include "containerbuilder/errors/v1/error_details.pb.h"
#include "gmock/gmock.h"
#include "support/context_tree.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

namespace fs = std::filesystem;
using ::containerbuilder::test_support::ContextTree;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::IsOkAndHolds;
using ::containerbuilder::test_support::StatusIs;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

// All that is in a folder: path, type, mode, size or target, and time.
std::string Listing(const std::string& folder) {
  std::vector<std::string> lines;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    struct stat info;
    EXPECT_EQ(lstat(entry.path().c_str(), &info), 0);
    lines.push_back(absl::StrCat(
        entry.path().string(), " ", info.st_mode, " ", info.st_size, " ",
        info.st_mtim.tv_sec, " ",
        entry.is_symlink() ? fs::read_symlink(entry.path()).string() : ""));
  }
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) absl::StrAppend(&all, line, "\n");
  return all;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class TreeTest : public testing::Test {
 protected:
  TreeTest() {
    absl::StatusOr<std::unique_ptr<BlobStore>> store = BlobStore::Open(
        {.folder = folder_.MakeDir("state"),
         .limits = {.max_bytes = std::int64_t{1} << 40,
                    .max_bytes_per_caller = std::int64_t{1} << 40,
                    .max_blob_bytes = std::int64_t{1} << 40,
                    .upload_ttl = absl::Hours(1)},
         .now = absl::Now,
         .lacking_bytes = [] { return 0; }});
    EXPECT_THAT(store, IsOk());
    store_ = *std::move(store);
    limits_.max_bytes = 1 << 20;
    limits_.max_files = 1000;
    // What lies around the place where trees are unpacked.
    folder_.WriteFile("canary/passwd", "root", 0600);
    folder_.WriteFile("staging/canary", "text");
  }

  void Upload() {
    const auto upload = BlobUpload::Begin(store_.get(), "me", "me");
    ASSERT_THAT(upload, IsOk());
    BlobStore::Hold there(store_.get(), "me");
    for (const auto& [digest, content] : tree_.blobs()) {
      if (there.Add(*Digest::Parse(digest))) continue;
      std::size_t offset = 0;
      do {
        v1::UploadBlobsRequest piece;
        if (offset == 0)
          *piece.mutable_blob() = test_support::DigestOf(content);
        piece.set_offset(static_cast<std::int64_t>(offset));
        piece.set_data(content.substr(offset, limits::kMaxPieceBytes));
        ASSERT_THAT((*upload)->Take(piece), IsOk());
        offset += piece.data().size();
      } while (offset < content.size());
    }
  }

  // Unpacks it with this root.
  absl::Status Unpack(const v1::Directory& root) {
    const Digest digest = *Digest::Parse(tree_.Add(root).digest());
    Upload();
    return Unpack(digest);
  }
  absl::Status Unpack(const Digest& root) {
    fs::remove_all(Target());
    MakeTarget();
    const UniqueFd target(
        open(Target().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return UnpackTree(*store_, "me", root, target.get(), limits_);
  }
  // Whatever is done to it shows in its time.
  void MakeTarget() {
    fs::create_directory(Target());
    const timespec times[] = {{1, 0}, {1, 0}};
    utimensat(AT_FDCWD, Target().c_str(), times, 0);
  }
  std::string Target() { return folder_.Path("staging/context"); }
  std::string BlobPath(const std::string& content) {
    const std::string hex = Digest::Of(content).Hex();
    return absl::StrCat(folder_.path(), "/state/blobs/", Digest::Of("me").Hex(),
                        "/", hex.substr(0, 2), "/", hex);
  }

  const test_support::TempDir folder_;
  std::unique_ptr<BlobStore> store_;
  CopyLimits limits_;
  ContextTree tree_;
};

TEST_F(TreeTest, MakesWhatItSays) {
  v1::Directory deep;
  tree_.AddFile(deep, "file", "far down", 0640);
  deep.mutable_files(0)->mutable_modify_time()->set_seconds(1'000'000'000);
  deep.mutable_files(0)->mutable_modify_time()->set_nanos(5);
  v1::Directory root;
  tree_.AddFile(root, " odd\n\xff name", "", 0);
  tree_.AddFile(root, "large", std::string(3 << 18, 'x'), 0755);
  tree_.AddFolder(root, "deep", deep, 0555);
  tree_.AddFolder(root, "empty", {}, 0700);
  ContextTree::AddLink(root, "link", "./deep//file");
  ContextTree::AddLink(root, "nowhere", "not/there");
  ASSERT_THAT(Unpack(root), IsOk());
  EXPECT_EQ(ReadFile(Target() + "/deep/file"), "far down");
  EXPECT_EQ(ReadFile(Target() + "/large"), std::string(3 << 18, 'x'));
  struct stat info;
  ASSERT_EQ(lstat((Target() + "/deep/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode, S_IFREG | 0640);
  EXPECT_EQ(info.st_mtim.tv_sec, 1'000'000'000);
  EXPECT_EQ(info.st_mtim.tv_nsec, 5);
  ASSERT_EQ(lstat((Target() + "/deep").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode, S_IFDIR | 0555);
  EXPECT_EQ(info.st_mtim.tv_sec, 0);
  ASSERT_EQ(lstat((Target() + "/ odd\n\xff name").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode, S_IFREG | 0);
  EXPECT_EQ(fs::read_symlink(Target() + "/link"), "./deep//file");
  EXPECT_EQ(fs::read_symlink(Target() + "/nowhere"), "not/there");
  EXPECT_TRUE(fs::is_empty(Target() + "/empty"));
  chmod((Target() + "/deep").c_str(), 0755);
}

// BuildKit would take one for the other, whoever sent it.
TEST_F(TreeTest, DatesContentsApartThatHaveNoTime) {
  const auto time_of = [this](const std::string& content, bool has_time) {
    v1::Directory root;
    tree_.AddFile(root, "f", content);
    if (has_time) root.mutable_files(0)->mutable_modify_time();
    EXPECT_THAT(Unpack(root), IsOk());
    struct stat info = {};
    EXPECT_EQ(lstat((Target() + "/f").c_str(), &info), 0);
    EXPECT_EQ(info.st_mtim.tv_sec, 0);
    return info.st_mtim.tv_nsec;
  };
  const auto evil = time_of("RUN evil", false);
  const auto good = time_of("RUN good", false);
  EXPECT_NE(evil, good);
  EXPECT_EQ(time_of("RUN evil", false), evil);
  // Rounded it is 1970, too.
  EXPECT_LT(evil, 500'000'000);
  EXPECT_LT(good, 500'000'000);
  // As it was sent, where it was.
  EXPECT_EQ(time_of("RUN evil", true), 0);
}

// S16, S17, S18, S20: each entry that breaks a rule, by what it is.
TEST_F(TreeTest, RefusesHostileEntriesAndTouchesNothing) {
  struct Attack {
    std::string description;
    std::function<void(v1::Directory&)> add;
    std::string shown;  // what the message has of it
  };
  std::vector<Attack> attacks;
  const auto named = [](const std::string& name) {
    return
        [name](v1::Directory& root) { ContextTree().AddFile(root, name, "a"); };
  };
  for (const std::string& name :
       {std::string("../x"), std::string("/x"), std::string("a/../../x"),
        std::string(), std::string("."), std::string(".."),
        std::string("a\0b", 3), std::string("/"), std::string("a/b"),
        std::string(5000, 'n'), std::string(300, 'n')}) {
    attacks.push_back({"file " + name, named(name), "a name is one component"});
    attacks.push_back({"folder " + name,
                       [name](v1::Directory& root) {
                         ContextTree().AddFolder(root, name, {});
                       },
                       "a name is one component"});
    attacks.push_back(
        {"link " + name,
         [name](v1::Directory& root) { ContextTree::AddLink(root, name, "a"); },
         "a name is one component"});
  }
  const auto link = [](const std::string& target) {
    return [target](v1::Directory& root) {
      ContextTree::AddLink(root, "l", target);
    };
  };
  for (const char* target :
       {"..", "../canary", "./../x", "..//../x", "../staging/context"}) {
    attacks.push_back({target, link(target), "\"l\": the link leads out"});
  }
  // Where `a` is a link to a folder further up, it leads out after all.
  for (const char* target : {"a/..", "a/../b", "a/../../canary",
                             "a/b/../../../x", "../x/..", "x/..//../"}) {
    attacks.push_back({target, link(target), "\"..\" only at its beginning"});
  }
  for (const char* target : {"/", "/etc", "//etc"}) {
    attacks.push_back({target, link(target), "\"l\": a link of a context is"});
  }
  for (const std::string& target :
       {std::string(), std::string("a\0b", 3), std::string(4096, 'x')}) {
    attacks.push_back({"target", link(target), "a link's target has"});
  }
  for (const std::uint32_t mode :
       {04755U, 02755U, 01777U, 0100644U, 020644U, 010644U, 0x80000000U}) {
    attacks.push_back({absl::StrCat("mode ", mode),
                       [mode](v1::Directory& root) {
                         ContextTree().AddFile(root, "f", "a", mode);
                       },
                       "\"f\": mode has the nine bits"});
    attacks.push_back({absl::StrCat("folder's mode ", mode),
                       [mode](v1::Directory& root) {
                         ContextTree().AddFolder(root, "d", {}, mode);
                       },
                       "\"d\": mode has the nine bits"});
  }
  for (const std::int64_t seconds :
       {std::numeric_limits<std::int64_t>::min(),
        std::numeric_limits<std::int64_t>::max()}) {
    attacks.push_back(
        {absl::StrCat("time ", seconds),
         [seconds](v1::Directory& root) {
           ContextTree().AddFile(root, "f", "a");
           root.mutable_files(0)->mutable_modify_time()->set_seconds(seconds);
         },
         "\"f\": modify_time"});
  }
  for (const char* digest : {"", "sha256:", "md5:00", "../../etc/passwd",
                             "sha256:00000000000000000000000000000000000000000"
                             "0000000000000000000000G"}) {
    attacks.push_back({absl::StrCat("digest ", digest),
                       [digest](v1::Directory& root) {
                         ContextTree().AddFile(root, "f", "a");
                         root.mutable_files(0)->mutable_blob()->set_digest(
                             digest);
                       },
                       "\"f\": blob has a digest"});
  }
  attacks.push_back({"negative size",
                     [](v1::Directory& root) {
                       ContextTree().AddFile(root, "f", "a");
                       root.mutable_files(0)->mutable_blob()->set_size_bytes(
                           -1);
                     },
                     "\"f\": blob has a digest"});
  attacks.push_back({"twice",
                     [](v1::Directory& root) {
                       ContextTree().AddFile(root, "f", "a");
                       ContextTree().AddFile(root, "f", "b");
                     },
                     "\"f\": a folder's entries are sorted"});
  attacks.push_back({"unsorted",
                     [](v1::Directory& root) {
                       ContextTree().AddFile(root, "g", "a");
                       ContextTree().AddFile(root, "f", "b");
                     },
                     "\"f\": a folder's entries are sorted"});
  // A link that a folder of the same name would be written through.
  attacks.push_back({"link and folder",
                     [](v1::Directory& root) {
                       ContextTree::AddLink(root, "d", "x");
                       ContextTree().AddFolder(root, "d", {});
                     },
                     "\"d\": the folder has this name twice"});
  attacks.push_back({"file and link",
                     [](v1::Directory& root) {
                       ContextTree().AddFile(root, "d", "a");
                       ContextTree::AddLink(root, "d", "x");
                     },
                     "\"d\": the folder has this name twice"});
  attacks.push_back(
      {"unknown field",
       [](v1::Directory& root) {
         root.GetReflection()->MutableUnknownFields(&root)->AddVarint(99, 1);
       },
       "fields that this service does not know"});
  tree_.Add("a");
  tree_.Add("b");
  tree_.Add(v1::Directory());
  const auto canary = [this] {
    return Listing(folder_.Path("canary")) + Listing(folder_.Path("staging"));
  };
  MakeTarget();
  const std::string before = canary();
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.description);
    v1::Directory root;
    attack.add(root);
    EXPECT_THAT(Unpack(root),
                AllOf(StatusIs(absl::StatusCode::kInvalidArgument,
                               AllOf(HasSubstr("spec.context_digest: "),
                                     HasSubstr(attack.shown))),
                      HasReason("OPTION_INVALID")));
    EXPECT_EQ(canary(), before);
    // The same further down.
    v1::Directory above;
    tree_.AddFolder(above, "sub", root);
    EXPECT_THAT(Unpack(above),
                AnyOf(HasReason("OPTION_INVALID"),
                      // One folder more is one that it may climb.
                      IsOk()));
    fs::remove_all(Target());
    MakeTarget();
  }
}

TEST_F(TreeTest, LinksStayWithinTheRootWhereverTheirFolderIs) {
  v1::Directory folder;
  ContextTree::AddLink(folder, "up", "../x");
  v1::Directory root;
  tree_.AddFolder(root, "a", folder);
  EXPECT_THAT(Unpack(root), IsOk());
  // The same folder once more, where its link leads out.
  v1::Directory nested;
  tree_.AddFolder(nested, "b", root);
  ContextTree::AddLink(nested, "up", "../x");
  EXPECT_THAT(Unpack(nested), HasReason("OPTION_INVALID"));
  ContextTree::AddLink(folder, "upper", "../../x");
  v1::Directory twice;
  tree_.AddFolder(twice, "a", folder);
  EXPECT_THAT(Unpack(twice), StatusIs(absl::StatusCode::kInvalidArgument,
                                      HasSubstr("\"a/upper\"")));
  v1::Directory deep;
  tree_.AddFolder(deep, "d", twice);
  EXPECT_THAT(Unpack(deep), IsOk());
}

TEST_F(TreeTest, NamesAreShownEscaped) {
  v1::Directory folder;
  tree_.AddFile(folder, "bad\n\xff\x1b[31m", "a", 04755);
  v1::Directory root;
  tree_.AddFolder(root, "sub", folder);
  EXPECT_THAT(Unpack(root),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"sub/bad\\n"), Not(HasSubstr("\n")),
                             Not(HasSubstr("\x1b")))));
}

// S19: what is the same is there once, and counts as often as it is made.
TEST_F(TreeTest, CountsATreeThatIsItselfManyTimes) {
  v1::Directory folder;
  tree_.AddFile(folder, "f", "a");
  for (int level = 0; level < 100; ++level) {
    v1::Directory above;
    tree_.AddFolder(above, "a", folder);
    tree_.AddFolder(above, "b", folder);
    folder = above;
  }
  limits_.max_files = std::numeric_limits<std::int64_t>::max();
  limits_.max_bytes = 1000;
  EXPECT_THAT(Unpack(folder), HasReason("TOO_LARGE"));
  limits_.max_bytes = std::numeric_limits<std::int64_t>::max() - 1;
  EXPECT_THAT(Unpack(folder), HasReason("TOO_LARGE"));
  limits_.max_files = 1000;
  EXPECT_THAT(Unpack(folder),
              AllOf(StatusIs(absl::StatusCode::kResourceExhausted,
                             HasSubstr("--max_staged_files")),
                    HasReason("TOO_LARGE")));
  EXPECT_TRUE(fs::is_empty(Target()));
}

TEST_F(TreeTest, LimitsAreCheckedBeforeAByteIsWritten) {
  v1::Directory root;
  tree_.AddFile(root, "a", "12345");
  tree_.AddFile(root, "b", "12345");
  limits_.max_bytes = 9;
  EXPECT_THAT(Unpack(root), StatusIs(absl::StatusCode::kResourceExhausted,
                                     HasSubstr("--max_staged_bytes")));
  EXPECT_TRUE(fs::is_empty(Target()));
  limits_.max_bytes = 10;
  EXPECT_THAT(Unpack(root), IsOk());
  limits_.max_files = 1;
  EXPECT_THAT(Unpack(root), HasReason("TOO_LARGE"));
  EXPECT_TRUE(fs::is_empty(Target()));
}

TEST_F(TreeTest, BoundsItsDepth) {
  v1::Directory folder;
  for (int level = 0; level < limits::kMaxStagedDepth; ++level) {
    v1::Directory above;
    tree_.AddFolder(above, "d", folder);
    folder = above;
  }
  EXPECT_THAT(Unpack(folder), IsOk());
  // And what is known already counts where it is met again.
  v1::Directory above;
  tree_.AddFolder(above, "d", folder);
  EXPECT_THAT(Unpack(above), HasReason("TOO_LARGE"));
}

TEST_F(TreeTest, RefusesWhatIsNoDirectory) {
  const v1::BlobDigest blob = tree_.Add(std::string("\xff\xff\xff"));
  v1::Directory root;
  v1::Directory::Subdirectory& entry = *root.add_directories();
  entry.set_name("d");
  *entry.mutable_blob() = blob;
  EXPECT_THAT(Unpack(root), StatusIs(absl::StatusCode::kInvalidArgument,
                                     HasSubstr("\"d\": its blob is no")));
  tree_.Add(std::string(limits::kMaxDirectoryBytes + 1, 'x'));
  *root.mutable_directories(0)->mutable_blob() =
      test_support::DigestOf(std::string(limits::kMaxDirectoryBytes + 1, 'x'));
  EXPECT_THAT(Unpack(root), HasReason("TOO_LARGE"));
}

std::vector<std::string> MissingIn(const absl::Status& status) {
  const auto payload =
      status.GetPayload("type.googleapis.com/google.rpc.PreconditionFailure");
  errors::v1::PreconditionFailure failure;
  std::vector<std::string> digests;
  if (!payload || !failure.ParseFromString(std::string(*payload))) {
    return digests;
  }
  for (const auto& violation : failure.violations()) {
    EXPECT_EQ(violation.type(), "MISSING");
    digests.push_back(violation.subject());
  }
  return digests;
}

TEST_F(TreeTest, TellsWhatIsMissing) {
  v1::Directory root;
  tree_.AddFile(root, "here", "here");
  Upload();
  ContextTree elsewhere;
  elsewhere.AddFolder(root, "d", {});
  elsewhere.AddFile(root, "there", "there");
  elsewhere.AddFile(root, "there too", "there");
  tree_.Add(root);
  const absl::Status status = Unpack(root);
  EXPECT_THAT(status, AllOf(StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("lacks 2 contents")),
                            HasReason("BLOBS_MISSING")));
  EXPECT_THAT(MissingIn(status), testing::UnorderedElementsAre(
                                     test_support::DigestOf("there").digest(),
                                     test_support::DigestOf("").digest()));
  EXPECT_TRUE(fs::is_empty(Target()));
  const absl::Status unknown = Unpack(Digest::Of("never sent"));
  EXPECT_THAT(MissingIn(unknown),
              testing::ElementsAre(Digest::Of("never sent").ToString()));
}

TEST_F(TreeTest, NamesNoMoreMissingOnesThanAHeaderHolds) {
  v1::Directory root;
  for (int i = 0; i < 100; ++i) {
    ContextTree().AddFile(root, absl::StrCat(1000 + i), absl::StrCat(i));
  }
  const absl::Status status = Unpack(root);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("lacks 100 contents")));
  EXPECT_EQ(MissingIn(status).size(), limits::kMaxMissingNamed);
}

// As a crash may leave it.
TEST_F(TreeTest, ATornBlobIsMissing) {
  v1::Directory folder;
  tree_.AddFile(folder, "f", "content");
  v1::Directory root;
  tree_.AddFolder(root, "d", folder);
  ASSERT_THAT(Unpack(root), IsOk());
  for (const std::string& content :
       {std::string("content"), folder.SerializeAsString(),
        root.SerializeAsString()}) {
    for (const std::string& torn :
         {content.substr(1), std::string(content.size(), '\0')}) {
      std::ofstream(BlobPath(content), std::ios::trunc) << torn;
      const absl::Status status = Unpack(root);
      EXPECT_THAT(status, HasReason("BLOBS_MISSING"));
      EXPECT_THAT(MissingIn(status),
                  testing::ElementsAre(Digest::Of(content).ToString()));
      EXPECT_FALSE(fs::exists(BlobPath(content)));
      Upload();
      EXPECT_THAT(Unpack(root), IsOk());
    }
    fs::remove(BlobPath(content));
    EXPECT_THAT(MissingIn(Unpack(root)),
                testing::ElementsAre(Digest::Of(content).ToString()));
    Upload();
  }
}

TEST_F(TreeTest, GivesUpWhenItIsToldTo) {
  v1::Directory root;
  tree_.AddFile(root, "f", "content");
  limits_.cancelled = [] { return true; };
  EXPECT_THAT(Unpack(root), HasReason("DRAINING"));
}

TEST_F(TreeTest, CountsEntriesBeforeItMakesThem) {
  // Two bytes each, and no more than a name would be missing.
  std::string bomb;
  for (int i = 0; i < 2000; ++i) bomb.append("\x0a\x00", 2);
  EXPECT_THAT(CountEntries(bomb, ""), IsOkAndHolds(2000));
  EXPECT_THAT(CountEntries("\xff\xff", "d"), HasReason("OPTION_INVALID"));
  v1::Directory folder;
  tree_.AddFile(folder, "a", "a");
  ContextTree::AddLink(folder, "l", "a");
  EXPECT_THAT(CountEntries(folder.SerializeAsString(), ""), IsOkAndHolds(2));
}

// Each of two bytes would take some 20.
TEST_F(TreeTest, RefusesUnknownFieldsBeforeItMakesThem) {
  v1::Directory folder;
  const auto add = [](google::protobuf::Message& message) {
    message.GetReflection()->MutableUnknownFields(&message)->AddVarint(15, 0);
  };
  const auto refused = [&] {
    // Its end is no message, which would be told if all of it were parsed.
    tree_.Add(folder.SerializeAsString() + "\x0a");
    v1::Directory root;
    v1::Directory::Subdirectory& entry = *root.add_directories();
    entry.set_name("d");
    *entry.mutable_blob() =
        test_support::DigestOf(folder.SerializeAsString() + "\x0a");
    const absl::Status status = Unpack(root);
    folder.Clear();
    return status;
  };
  const auto unknown =
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("\"d\": it or an entry of it has fields that this "
                         "service does not know"));
  add(folder);
  EXPECT_THAT(refused(), unknown);
  add(*folder.add_files());
  EXPECT_THAT(refused(), unknown);
  add(*folder.add_files()->mutable_blob());
  EXPECT_THAT(refused(), unknown);
  add(*folder.add_directories()->mutable_modify_time());
  EXPECT_THAT(refused(), unknown);
  add(*folder.add_symlinks());
  EXPECT_THAT(refused(), unknown);
  // A known one of another wire type is none either, nor is a group.
  v1::Directory::File& file = *folder.add_files();
  google::protobuf::UnknownFieldSet& fields =
      *file.GetReflection()->MutableUnknownFields(&file);
  fields.AddFixed32(v1::Directory::File::kModeFieldNumber, 0);
  EXPECT_THAT(refused(), unknown);
  folder.GetReflection()->MutableUnknownFields(&folder)->AddGroup(
      v1::Directory::kFilesFieldNumber);
  EXPECT_THAT(refused(), unknown);
  tree_.AddFile(folder, "a", "a");
  EXPECT_THAT(refused(), StatusIs(absl::StatusCode::kInvalidArgument,
                                  HasSubstr("\"d\": its blob is no")));
}

TEST(ClimbTest, IsHowFarATargetLeadsUp) {
  EXPECT_EQ(ClimbOf("a/b"), 0);
  EXPECT_EQ(ClimbOf(".."), 1);
  EXPECT_EQ(ClimbOf("./.././/../x"), 2);
}

}  // namespace
}  // namespace containerbuilder::service
