#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "archive_unpack.h"
#include "containerbuilder/client/client.h"
#include "containerbuilder/client_mocks/mock_connection.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unique_fd.h"
#include "unit/client/fake_platform.h"
#include "unit/client/transfer_fixture.h"

namespace containerbuilder::client {
namespace {

using ::containerbuilder::client_mocks::FakeArtifactCall;
using ::containerbuilder::client_mocks::MockConnection;
using ::containerbuilder::test_support::ErrorWithReason;
using ::containerbuilder::test_support::FakePlatform;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::Sha256Of;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::testing::HasSubstr;
using ::testing::NiceMock;

struct TarEntry {
  std::string name;
  int type = AE_IFREG;
  std::string content = "";  // or a link's target
  mode_t mode = 0644;
  bool is_hardlink = false;
};

std::string Tar(const std::vector<TarEntry>& entries) {
  std::string bytes(1024 * 1024, '\0');
  std::size_t used = 0;
  archive* out = archive_write_new();
  archive_write_set_format_gnutar(out);
  archive_write_open_memory(out, bytes.data(), bytes.size(), &used);
  for (const TarEntry& item : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_copy_pathname(entry, item.name.c_str());
    archive_entry_set_mode(entry, item.type | item.mode);
    if (item.is_hardlink) {
      archive_entry_copy_hardlink(entry, item.content.c_str());
    } else if (item.type == AE_IFLNK) {
      archive_entry_copy_symlink(entry, item.content.c_str());
    } else {
      archive_entry_set_size(entry,
                             static_cast<la_int64_t>(item.content.size()));
    }
    archive_write_header(out, entry);
    if (item.type == AE_IFREG && !item.is_hardlink) {
      archive_write_data(out, item.content.data(), item.content.size());
    }
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
  bytes.resize(used);
  return bytes;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class DownloadTest : public testing::Test {
 protected:
  // Each call sends `most` bytes and ends so, the last one all.
  void Serve(const std::string& content, std::size_t most = std::string::npos,
             const absl::Status& end = absl::OkStatus()) {
    artifact_.set_name("builds/1/artifacts/1");
    artifact_.set_size_bytes(static_cast<std::int64_t>(content.size()));
    artifact_.set_digest(Sha256Of(content));
    if (artifact_.kind() == v1::Artifact::KIND_UNSPECIFIED) {
      artifact_.set_kind(v1::Artifact::KIND_FILE);
    }
    ON_CALL(*connection_, DownloadArtifact)
        .WillByDefault([this, content, most,
                        end](const v1::DownloadArtifactRequest& request) {
          ++calls_;
          EXPECT_EQ(request.name(), "builds/1/artifacts/1");
          return std::make_unique<FakeArtifactCall>(content, request.offset(),
                                                    7, end, most);
        });
  }
  absl::Status Download(const std::string& path) {
    return Client(connection_, {.platform = platform_})
        .DownloadArtifact(artifact_, path);
  }
  absl::Status Unpack(const std::string& archive, const std::string& dest) {
    const std::string path = folder_.WriteFile("a.tar", archive);
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return UnpackArchive(fd.get(), dest, {});
  }
  std::size_t FilesInFolder() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(folder_.path()),
                      std::filesystem::directory_iterator()));
  }

  // In the folder and below it.
  std::size_t RegularFiles() const {
    std::size_t count = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(folder_.path())) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }

  const TempDir folder_;
  int calls_ = 0;
  v1::Artifact artifact_;
  std::shared_ptr<NiceMock<MockConnection>> connection_ =
      std::make_shared<NiceMock<MockConnection>>();
  std::shared_ptr<FakePlatform> platform_ = std::make_shared<FakePlatform>();
};

TEST_F(DownloadTest, GoesOnWhereItWasCutAtAnyByte) {
  const std::string content = "what the build made, byte for byte";
  for (std::size_t most = 1; most <= content.size(); ++most) {
    for (const absl::Status& end :
         {absl::UnavailableError("cut"), absl::InternalError("cut"),
          absl::OkStatus()}) {
      Serve(content, most, end);
      ASSERT_THAT(Download(folder_.Path("out")), IsOk());
      EXPECT_EQ(ReadFile(folder_.Path("out")), content);
      std::filesystem::remove(folder_.Path("out"));
    }
  }
}

TEST_F(DownloadTest, GoesOnWhereTheServiceHadItWait) {
  const std::string content = "what the build made, byte for byte";
  for (const absl::Status& end :
       {ErrorWithReason(absl::StatusCode::kAborted, "DOWNLOAD_IDLE"),
        ErrorWithReason(absl::StatusCode::kResourceExhausted,
                        "RATE_LIMITED")}) {
    Serve(content, 10, end);
    EXPECT_THAT(Download(folder_.Path("out")), IsOk()) << end;
    EXPECT_EQ(ReadFile(folder_.Path("out")), content);
  }
}

TEST_F(DownloadTest, ReplacesAFileOnlyByTheRightBytes) {
  folder_.WriteFile("out", "before");
  Serve("right");
  artifact_.set_digest(Sha256Of("other"));
  EXPECT_THAT(Download(folder_.Path("out")),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(ReadFile(folder_.Path("out")), "before");
  EXPECT_EQ(FilesInFolder(), 1u);
  Serve("right");
  EXPECT_THAT(Download(folder_.Path("out")), IsOk());
  EXPECT_EQ(ReadFile(folder_.Path("out")), "right");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(DownloadTest, AnythingMayEndTheProcessWithNothingLeftBehind) {
  const std::string content = "what the build made";
  Serve(content);
  const absl::Status status =
      Client(connection_, {.platform = platform_})
          .DownloadArtifact(artifact_, folder_.Path("out"),
                            {.progress = [this](auto...) {
                              EXPECT_EQ(FilesInFolder(), 0u);
                            }});
  EXPECT_THAT(status, IsOk());
  EXPECT_EQ(ReadFile(folder_.Path("out")), content);
  EXPECT_EQ(FilesInFolder(), 1u);
}

// From here on this thread has a file system that knows no unnamed files, as
// NFS is one.
void RefuseUnnamedFiles() {
  const sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_openat, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_TMPFILE & ~O_DIRECTORY, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {std::size(program),
                             const_cast<sock_filter*>(program)};
  ASSERT_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

TEST_F(DownloadTest, WhoStopsItMayEndTheProcessWithNothingLeftBehind) {
  for (const auto kind : {v1::Artifact::KIND_FILE, v1::Artifact::KIND_FOLDER}) {
    artifact_.set_kind(kind);
    Serve("what the build made");
    std::stop_source stop;
    absl::Status status;
    std::size_t before = 0;
    std::jthread([&] {
      RefuseUnnamedFiles();
      status = Client(connection_, {.platform = platform_})
                   .DownloadArtifact(artifact_, folder_.Path("out"),
                                     {.progress =
                                          [&](auto...) {
                                            if (stop.stop_requested()) return;
                                            before = RegularFiles();
                                            stop.request_stop();
                                            EXPECT_EQ(RegularFiles(), 0u);
                                          },
                                      .stop = stop.get_token()});
    }).join();
    EXPECT_EQ(before, 1u);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled));
    EXPECT_EQ(RegularFiles(), 0u);
  }
}

TEST_F(DownloadTest, GivesUpWithNothingLeftBehind) {
  Serve("right", 0, absl::UnavailableError("cut"));
  EXPECT_THAT(Download(folder_.Path("out")),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_GT(calls_, 5);
  EXPECT_EQ(FilesInFolder(), 0u);
  calls_ = 0;
  Serve("right", 0,
        ErrorWithReason(absl::StatusCode::kNotFound, "BUILD_NOT_FOUND"));
  EXPECT_THAT(Download(folder_.Path("out")),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(calls_, 1);
}

TEST_F(DownloadTest, ADeviceIsWrittenToAndStays) {
  Serve("right");
  EXPECT_THAT(Download("/dev/null"), IsOk());
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST_F(DownloadTest, AFolderIsUnpackedBesideWhatIsThere) {
  folder_.WriteFile("dest/mine", "stays");
  folder_.WriteFile("dest/theirs", "goes");
  artifact_.set_kind(v1::Artifact::KIND_FOLDER);
  Serve(Tar({{"theirs", AE_IFREG, "new", 04755},
             {"sub/", AE_IFDIR, "", 0700},
             {"sub/\xff odd", AE_IFREG, "x", 0600},
             {"link", AE_IFLNK, "/etc/passwd", 0777},
             {"hard", AE_IFREG, "theirs", 0644, true}}));
  ASSERT_THAT(Download(folder_.Path("dest")), IsOk());
  EXPECT_EQ(ReadFile(folder_.Path("dest/mine")), "stays");
  EXPECT_EQ(ReadFile(folder_.Path("dest/theirs")), "new");
  EXPECT_EQ(ReadFile(folder_.Path("dest/hard")), "new");
  EXPECT_EQ(ReadFile(folder_.Path("dest/sub/\xff odd")), "x");
  EXPECT_EQ(std::filesystem::read_symlink(folder_.Path("dest/link")),
            "/etc/passwd");
  struct stat info = {};
  ASSERT_EQ(::stat(folder_.Path("dest/theirs").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);  // no set-id bits
}

// Whoever sends archives must not write beside the folder.
TEST_F(DownloadTest, NothingIsUnpackedOutside) {
  artifact_.set_kind(v1::Artifact::KIND_FOLDER);
  folder_.WriteFile("victim", "mine");
  const std::string victim = folder_.Path("victim");
  for (const std::vector<TarEntry>& entries :
       std::vector<std::vector<TarEntry>>{
           {{"../victim", AE_IFREG, "gone"}},
           {{"a/../../victim", AE_IFREG, "gone"}},
           {{victim, AE_IFREG, "gone"}},
           {{"out", AE_IFLNK, ".."}, {"out/victim", AE_IFREG, "gone"}},
           {{"out", AE_IFLNK, folder_.path()},
            {"out/victim", AE_IFREG, "gone"}},
           {{"h", AE_IFREG, "../victim", 0644, true}, {"h", AE_IFREG, "gone"}},
           {{"h", AE_IFREG, victim, 0644, true}},
           {{"device", AE_IFCHR, "", 0666}},
           {{"pipe", AE_IFIFO, "", 0666}}}) {
    Serve(Tar(entries));
    EXPECT_THAT(Download(folder_.Path("dest")),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << entries.front().name;
    EXPECT_EQ(ReadFile(victim), "mine") << entries.front().name;
    std::filesystem::remove_all(folder_.Path("dest"));
  }
  // A link that is there already is replaced and not followed.
  folder_.MakeDir("dest");
  std::filesystem::create_symlink(victim, folder_.Path("dest/x"));
  Serve(Tar({{"x", AE_IFREG, "new"}}));
  EXPECT_THAT(Download(folder_.Path("dest")), IsOk());
  EXPECT_EQ(ReadFile(victim), "mine");
  EXPECT_EQ(ReadFile(folder_.Path("dest/x")), "new");
}

TEST_F(DownloadTest, AnArchiveLeavesTheFolderItselfAlone) {
  namespace fs = std::filesystem;
  const std::string dest = folder_.MakeDir("dest");
  fs::permissions(dest, fs::perms::owner_all);
  // As `tar -C folder -c .` names it; other tools have other names for it.
  for (const std::string name : {"./", ".", "././", "./."}) {
    for (const mode_t mode : {0755U, 0555U, 0U}) {
      SCOPED_TRACE(absl::StrCat(name, " ", mode));
      EXPECT_THAT(
          Unpack(Tar({{name, AE_IFDIR, "", mode}, {"./file", AE_IFREG, "new"}}),
                 dest),
          IsOk());
      EXPECT_EQ(fs::status(dest).permissions(), fs::perms::owner_all);
      EXPECT_EQ(ReadFile(folder_.Path("dest/file")), "new");
      fs::remove(folder_.Path("dest/file"));
    }
  }
}

TEST_F(DownloadTest, UnpackingWithoutDescriptorsIsAnError) {
  const std::string dest = folder_.MakeDir("dest");
  const std::string path = folder_.WriteFile("a.tar", Tar({{"a"}}));
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const absl::Status status = UnpackArchive(fd.get(), dest, {});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(DownloadTest, ArchivesHaveLimits) {
  const std::string path =
      folder_.WriteFile("a.tar", Tar({{"a", AE_IFREG, "12345"}, {"b"}}));
  const std::string dest = folder_.MakeDir("dest");
  const auto unpack = [&](const UnpackOptions& options) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const absl::Status status = UnpackArchive(fd, dest, options);
    ::close(fd);
    return status;
  };
  EXPECT_THAT(unpack({}), IsOk());
  EXPECT_THAT(unpack({.max_entries = 1}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(unpack({.max_bytes = 4}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  folder_.WriteFile("a.tar", "FROM scratch\n");
  EXPECT_THAT(
      unpack({.allow_compressed = true}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("archive")));
}

}  // namespace
}  // namespace containerbuilder::client
