// Contexts that are uploaded, and what comes back of their builds.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "gmock/gmock.h"
#include "integration/builds_fixture.h"
#include "support/context_tree.h"

namespace containerbuilder {
namespace {

namespace fs = std::filesystem;
using ::containerbuilder::test_support::Api;
using ::containerbuilder::test_support::ContextTree;
using ::containerbuilder::test_support::DigestOf;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::ToAbsl;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// An archive as far as its end tells.
std::string Archive(const std::string& content) {
  return content + std::string(1024, '\0');
}

// A call of UploadBlobs.
class UploadCall {
 public:
  explicit UploadCall(Api& api)
      : writer_(api.stub().UploadBlobs(&context_, &response_)) {}

  bool Send(const v1::BlobDigest& blob, std::int64_t offset,
            const std::string& data) {
    v1::UploadBlobsRequest piece;
    *piece.mutable_blob() = blob;
    piece.set_offset(offset);
    piece.set_data(data);
    return writer_->Write(piece);
  }
  bool SendWhole(const std::string& content) {
    constexpr std::size_t kPiece = 100'000;
    const v1::BlobDigest blob = DigestOf(content);
    std::size_t offset = 0;
    do {
      if (!Send(blob, static_cast<std::int64_t>(offset),
                content.substr(offset, kPiece))) {
        return false;
      }
      offset += kPiece;
    } while (offset < content.size());
    return true;
  }
  absl::StatusOr<v1::UploadBlobsResponse> End() {
    writer_->WritesDone();
    const absl::Status status = ToAbsl(writer_->Finish());
    if (!status.ok()) return status;
    return response_;
  }
  // How it ends where nothing more is sent, and no end either.
  absl::Status Await() { return ToAbsl(writer_->Finish()); }
  // As where the connection is lost.
  void Cut() {
    context_.TryCancel();
    writer_->Finish();
  }

 private:
  grpc::ClientContext context_;
  v1::UploadBlobsResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::UploadBlobsRequest>> writer_;
};

// A call of DownloadArtifact of which no more than 64 KiB, HTTP/2's window, is
// taken ahead of Read.
class DownloadCall {
 public:
  DownloadCall(const std::string& address, const std::string& name) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    stub_ = v1::ContainerBuilder::NewStub(grpc::CreateCustomChannel(
        address, grpc::InsecureChannelCredentials(), arguments));
    v1::DownloadArtifactRequest request;
    request.set_name(name);
    reader_ = stub_->DownloadArtifact(&context_, request);
  }

  // The next piece; empty at the end.
  std::string Read() {
    v1::DownloadArtifactResponse piece;
    return reader_->Read(&piece) ? piece.data() : "";
  }
  absl::Status End() { return ToAbsl(reader_->Finish()); }
  void Cancel() { context_.TryCancel(); }

 private:
  std::unique_ptr<v1::ContainerBuilder::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::DownloadArtifactResponse>> reader_;
};

// Descriptors of this process, which the service is in, of files whose paths
// end so.
int OpenFiles(const std::string& end) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string path = fs::read_symlink(entry.path(), gone).string();
    if (!gone && absl::EndsWith(path, end)) ++count;
  }
  return count;
}

class UploadsTest : public BuildsTest {
 protected:
  UploadsTest() { options_.policy.read_roots.clear(); }

  static absl::StatusOr<v1::FindMissingBlobsResponse> Find(
      Api& api, const std::vector<std::string>& contents) {
    v1::FindMissingBlobsRequest request;
    for (const std::string& content : contents) {
      *request.add_blobs() = DigestOf(content);
    }
    v1::FindMissingBlobsResponse response;
    grpc::ClientContext context;
    const absl::Status status =
        ToAbsl(api.stub().FindMissingBlobs(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }
  // How many of these are missing.
  static int Missing(Api& api, const std::vector<std::string>& contents) {
    const auto response = Find(api, contents);
    EXPECT_THAT(response, IsOk());
    return response.ok() ? response->missing_blobs_size() : -1;
  }
  static std::vector<std::string> ContentsOf(const ContextTree& tree) {
    std::vector<std::string> contents;
    for (const auto& [digest, content] : tree.blobs()) {
      contents.push_back(content);
    }
    return contents;
  }

  // Sends what is missing of a tree; answers how many those were.
  static int Upload(Api& api, const ContextTree& tree) {
    const auto found = Find(api, ContentsOf(tree));
    EXPECT_THAT(found, IsOk());
    if (!found.ok()) return -1;
    UploadCall call(api);
    for (const auto& missing : found->missing_blobs()) {
      EXPECT_TRUE(call.SendWhole(tree.blobs().at(missing.blob().digest())));
    }
    const auto response = call.End();
    EXPECT_THAT(response, IsOk());
    if (response.ok()) {
      EXPECT_EQ(response->committed_blobs(), found->missing_blobs_size());
    }
    return found->missing_blobs_size();
  }

  // A context in which fake_nerdctl does what `script` says.
  v1::BuildRequest Uploaded(Api& api, const std::string& script,
                            v1::Directory root = {}) {
    ContextTree tree;
    tree.AddFile(root, "fake.txt", script);
    std::sort(
        root.mutable_files()->pointer_begin(),
        root.mutable_files()->pointer_end(),
        [](const auto* a, const auto* b) { return a->name() < b->name(); });
    v1::BuildRequest request;
    request.mutable_spec()->set_context_digest(tree.Add(root).digest());
    Upload(api, tree);
    return request;
  }

  static void Add(v1::BuildRequest& request, const std::string& name,
                  const std::string& value) {
    v1::Option& option =
        *request.mutable_spec()->mutable_options()->add_options();
    option.set_name(name);
    option.mutable_value()->mutable_values()->add_values(value);
  }
  static void SetOutput(v1::BuildRequest& request, const std::string& value) {
    request.mutable_spec()
        ->mutable_options()
        ->mutable_output()
        ->mutable_values()
        ->add_values(value);
  }

  v1::Build Run(Api& api, const v1::BuildRequest& request) {
    const absl::StatusOr<v1::Build> build = api.Create(request);
    EXPECT_THAT(build, IsOk());
    if (!build.ok()) return {};
    const absl::StatusOr<v1::Build> ended = api.Await(build->name());
    EXPECT_THAT(ended, IsOk());
    return ended.ok() ? *ended : v1::Build();
  }

  static absl::StatusOr<std::string> Download(Api& api, const std::string& name,
                                              std::int64_t offset = 0) {
    v1::DownloadArtifactRequest request;
    request.set_name(name);
    request.set_offset(offset);
    grpc::ClientContext context;
    const auto reader = api.stub().DownloadArtifact(&context, request);
    std::string content;
    v1::DownloadArtifactResponse piece;
    while (reader->Read(&piece)) {
      EXPECT_EQ(piece.offset(),
                offset + static_cast<std::int64_t>(content.size()));
      EXPECT_THAT(piece.data(), Not(IsEmpty()));
      content += piece.data();
    }
    const absl::Status status = ToAbsl(reader->Finish());
    if (!status.ok()) return status;
    return content;
  }

  static std::string Content(Api& api, const std::string& name,
                             std::int64_t offset = 0) {
    const absl::StatusOr<std::string> content = Download(api, name, offset);
    EXPECT_THAT(content, IsOk());
    return content.ok() ? *content : "";
  }

  // The artifact of a build, of so many bytes.
  v1::Artifact Make(std::size_t bytes) {
    const std::string& file =
        folder_.WriteFile("made", std::string(bytes, 'x'));
    v1::BuildRequest request = Uploaded(
        anonymous(), absl::StrCat("copy ", file, " ../artifacts/1/file\n"));
    SetOutput(request, "type=tar,dest=x");
    const v1::Build build = Run(anonymous(), request);
    EXPECT_THAT(build.artifacts(), SizeIs(1));
    return build.artifacts_size() == 1 ? build.artifacts(0) : v1::Artifact();
  }

  // Of what is not whole yet, on disk.
  std::uintmax_t UploadedBytes() {
    std::uintmax_t bytes = 0;
    for (const auto& entry :
         fs::recursive_directory_iterator(folder_.Path("state/uploads"))) {
      if (entry.is_regular_file()) bytes += entry.file_size();
    }
    return bytes;
  }
  std::string FolderOf(const std::string& name) {
    return folder_.Path("state/" + name);
  }
  std::size_t Unadmitted() {
    std::size_t count = 0;
    for (const char* folder : {"state/new", "state/trash"}) {
      for ([[maybe_unused]] const auto& entry :
           fs::directory_iterator(folder_.Path(folder))) {
        ++count;
      }
    }
    return count;
  }
};

TEST_F(UploadsTest, BuildsWhatWasSent) {
  Start();
  ContextTree tree;
  v1::Directory folder;
  tree.AddFile(folder, "file", "text");
  v1::Directory root;
  tree.AddFolder(root, "sub", folder);
  Upload(anonymous(), tree);
  const v1::Build build =
      Run(anonymous(),
          Uploaded(anonymous(),
                   absl::StrCat("copy sub/file ", folder_.Path("copy"),
                                "\ndump-state ", folder_.Path("s"), "\n"),
                   root));
  EXPECT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(ReadFile(folder_.Path("copy")), "text");
  const std::string staging = FolderOf(build.name()) + "/staging";
  EXPECT_THAT(ReadFile(folder_.Path("s")),
              HasSubstr("cwd " + staging + "/context\n"));
  EXPECT_FALSE(fs::exists(staging));
  EXPECT_EQ(Unadmitted(), 0);
}

TEST_F(UploadsTest, AChangeCostsItsFileAndTheFoldersAboveIt) {
  Start();
  const auto tree_with = [](const std::string& changed) {
    ContextTree tree;
    v1::Directory deep;
    for (int i = 0; i < 20; ++i) {
      tree.AddFile(deep, absl::StrCat(100 + i),
                   i == 7 ? changed : absl::StrCat("content ", i));
    }
    v1::Directory other;
    tree.AddFile(other, "file", "other");
    v1::Directory root;
    tree.AddFolder(root, "deep", deep);
    tree.AddFolder(root, "other", other);
    tree.Add(root);
    return tree;
  };
  EXPECT_EQ(Upload(anonymous(), tree_with("before")), 24);
  EXPECT_EQ(Upload(anonymous(), tree_with("after")), 3);
  EXPECT_EQ(Upload(anonymous(), tree_with("after")), 0);
}

TEST_F(UploadsTest, GoesOnAfterACut) {
  Start();
  const std::string content(3'000'000, 'x');
  const v1::BlobDigest blob = DigestOf(content);
  {
    UploadCall call(anonymous());
    ASSERT_TRUE(call.Send(blob, 0, content.substr(0, 1'000'000)));
    ASSERT_TRUE(call.Send(blob, 1'000'000, content.substr(0, 500'000)));
    // Until it is written.
    ASSERT_TRUE(
        test_support::Eventually([&] { return UploadedBytes() == 1'500'000; }));
    call.Cut();
  }
  std::int64_t committed = 0;
  ASSERT_TRUE(test_support::Eventually([&] {
    const auto found = Find(anonymous(), {content});
    if (!found.ok()) return false;
    committed = found->missing_blobs(0).committed_bytes();
    return committed > 0;
  }));
  EXPECT_EQ(committed, 1'500'000);
  Stop();
  Start();
  UploadCall call(anonymous());
  ASSERT_TRUE(call.Send(blob, 1'500'000, content.substr(0, 1'000'000)));
  ASSERT_TRUE(call.Send(blob, 2'500'000, content.substr(0, 500'000)));
  const auto response = call.End();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->received_bytes(), 1'500'000);
  EXPECT_EQ(Missing(anonymous(), {content}), 0);
}

TEST_F(UploadsTest, RefusesWhatIsNotAsItSays) {
  Start();
  UploadCall lie(anonymous());
  lie.Send(DigestOf("text"), 0, "lies");
  EXPECT_THAT(lie.End(), HasReason("OPTION_INVALID"));
  UploadCall unfinished(anonymous());
  unfinished.Send(DigestOf("text"), 0, "te");
  EXPECT_THAT(unfinished.End(), HasReason("OPTION_INVALID"));
  UploadCall gap(anonymous());
  gap.Send(DigestOf("text"), 3, "t");
  EXPECT_THAT(gap.End(), HasReason("OPTION_INVALID"));
  UploadCall big(anonymous());
  big.Send(DigestOf("text"), 0,
           std::string(service::limits::kMaxPieceBytes + 1, 'x'));
  EXPECT_THAT(big.End(), HasReason("OPTION_INVALID"));
  EXPECT_EQ(Missing(anonymous(), {"text", "lies"}), 2);
}

TEST_F(UploadsTest, OneCallAtATimeSendsABlob) {
  Start();
  UploadCall first(anonymous());
  ASSERT_TRUE(first.Send(DigestOf("text"), 0, "te"));
  ASSERT_TRUE(test_support::Eventually([&] { return UploadedBytes() == 2; }));
  UploadCall second(anonymous());
  second.Send(DigestOf("text"), 0, "text");
  EXPECT_THAT(second.End(), AllOf(StatusIs(absl::StatusCode::kAborted),
                                  HasReason("UPLOAD_IN_PROGRESS")));
  ASSERT_TRUE(first.Send(DigestOf("text"), 2, "xt"));
  EXPECT_THAT(first.End(), IsOk());
}

TEST_F(UploadsTest, AnothersDigestIsMissing) {
  Start();
  const v1::BuildRequest request = Uploaded(api(), "stdout hello\n");
  EXPECT_THAT(anonymous().Create(request),
              AllOf(StatusIs(absl::StatusCode::kFailedPrecondition),
                    HasReason("BLOBS_MISSING")));
  EXPECT_EQ(Unadmitted(), 0);
  EXPECT_EQ(Run(api(), request).state(), v1::Build::STATE_SUCCEEDED);
}

TEST_F(UploadsTest, NothingIsLeftOfARefusedContext) {
  Start();
  ContextTree tree;
  v1::Directory root;
  ContextTree::AddLink(root, "l", "../../canary");
  v1::BuildRequest request;
  request.mutable_spec()->set_context_digest(tree.Add(root).digest());
  Upload(anonymous(), tree);
  EXPECT_THAT(anonymous().Create(request),
              AllOf(StatusIs(absl::StatusCode::kInvalidArgument,
                             HasSubstr("spec.context_digest: \"l\"")),
                    HasReason("OPTION_INVALID")));
  EXPECT_EQ(Unadmitted(), 0);
  request.mutable_spec()->set_context_digest("sha256:no");
  EXPECT_THAT(anonymous().Create(request), HasReason("OPTION_INVALID"));
}

TEST_F(UploadsTest, PathsInOptionsAreInsideTheContext) {
  options_.policy.allowed_options.push_back("secret");
  options_.policy.allowed_options.push_back("build_context");
  Start();
  ContextTree tree;
  v1::Directory sub;
  tree.AddFile(sub, "Other", "FROM scratch\n");
  tree.AddFile(sub, "key", "hush");
  tree.AddFile(sub, "fake.txt",
               absl::StrCat("dump-args ", folder_.Path("args"), "\n"));
  std::swap(*sub.mutable_files(1), *sub.mutable_files(2));
  v1::Directory root;
  tree.AddFolder(root, "sub", sub);
  ContextTree::AddLink(root, "link", "sub/key");
  v1::BuildRequest request;
  request.mutable_spec()->set_context_digest(tree.Add(root).digest());
  Upload(anonymous(), tree);
  const v1::BuildRequest bare = request;
  request.mutable_spec()->mutable_options()->set_context_path("./sub/");
  Add(request, "file", "sub/Other");
  request.mutable_spec()
      ->mutable_options()
      ->mutable_secret()
      ->mutable_values()
      ->add_values("id=a,src=link");
  const v1::Build build = Run(anonymous(), request);
  EXPECT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
  const std::string context = FolderOf(build.name()) + "/staging/context";
  EXPECT_THAT(ReadFile(folder_.Path("args")),
              AllOf(HasSubstr("id=a,src=" + context + "/link"),
                    HasSubstr(absl::StrCat("--file", std::string(1, '\0'),
                                           context, "/sub/Other")),
                    HasSubstr(context + "/sub" + std::string(1, '\0'))));

  const auto refusal = [&](const std::string& name, const std::string& value) {
    v1::BuildRequest bad = bare;
    if (name == "context_path") {
      bad.mutable_spec()->mutable_options()->set_context_path(value);
    } else {
      Add(bad, name, value);
    }
    return anonymous().Create(bad).status();
  };
  for (const char* path : {"..", "sub/../..", "/", "/etc"}) {
    EXPECT_THAT(refusal("context_path", path), HasReason("OPTION_INVALID"))
        << path;
  }
  EXPECT_THAT(refusal("context_path", "nowhere"), HasReason("OPTION_INVALID"));
  EXPECT_THAT(refusal("context_path", "sub/key"), HasReason("OPTION_INVALID"));
  EXPECT_THAT(refusal("file", "sub/None"), HasReason("OPTION_INVALID"));
  EXPECT_THAT(refusal("file", "../secret"), HasReason("PATH_NOT_ALLOWED"));
  EXPECT_THAT(refusal("file", "/etc/passwd"), HasReason("PATH_NOT_ALLOWED"));
  EXPECT_THAT(refusal("build_context", "x=../.."),
              HasReason("PATH_NOT_ALLOWED"));
}

TEST_F(UploadsTest, AForeignFrontendIsRefusedWhereverItStands) {
  Start();
  v1::BuildRequest request = Uploaded(anonymous(), "");
  request.mutable_spec()->set_dockerfile("# syntax=evil/frontend\nFROM x\n");
  EXPECT_THAT(anonymous().Create(request), HasReason("OPTION_NOT_ALLOWED"));
  ContextTree tree;
  v1::Directory root;
  tree.AddFile(root, "Dockerfile", "# syntax=evil/frontend\nFROM x\n");
  request = {};
  request.mutable_spec()->set_context_digest(tree.Add(root).digest());
  Upload(anonymous(), tree);
  EXPECT_THAT(anonymous().Create(request), HasReason("OPTION_NOT_ALLOWED"));
  // One that is not used does no harm.
  request.mutable_spec()->set_dockerfile("FROM scratch\n");
  EXPECT_THAT(anonymous().Create(request), IsOk());
}

TEST_F(UploadsTest, ADockerfileByValue) {
  Start();
  const std::string script = absl::StrCat(
      "dump-args ", folder_.Path("args"), "\ncopy ../dockerfile/Dockerfile ",
      folder_.Path("copy"), "\ncopy ../dockerfile/Dockerfile.dockerignore ",
      folder_.Path("ignore"), "\n");
  v1::BuildRequest request = Uploaded(anonymous(), script);
  request.mutable_spec()->set_dockerfile("FROM scratch\n");
  request.mutable_spec()->set_dockerignore("x\n");
  const v1::Build build = Run(anonymous(), request);
  EXPECT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(ReadFile(folder_.Path("copy")), "FROM scratch\n");
  EXPECT_EQ(ReadFile(folder_.Path("ignore")), "x\n");
  EXPECT_THAT(ReadFile(folder_.Path("args")),
              HasSubstr(absl::StrCat("--file", std::string(1, '\0'),
                                     FolderOf(build.name()),
                                     "/staging/dockerfile/Dockerfile")));
  EXPECT_EQ(build.spec().dockerfile(), "FROM scratch\n");

  // With a folder of the server, too.
  v1::BuildRequest in_place = Request(
      "in-place", absl::StrCat("dump-args ", folder_.Path("args2"), "\n"));
  in_place.mutable_spec()->set_dockerfile("FROM scratch\n");
  const v1::Build placed = Run(api(), in_place);
  EXPECT_EQ(placed.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_THAT(ReadFile(folder_.Path("args2")),
              AllOf(HasSubstr(FolderOf(placed.name()) +
                              "/staging/dockerfile/Dockerfile"),
                    HasSubstr(folder_.Path("in-place"))));

  Add(request, "file", "Other");
  EXPECT_THAT(anonymous().Create(request), HasReason("OPTION_INVALID"));
  request.mutable_spec()->mutable_options()->clear_options();
  request.mutable_spec()->clear_dockerfile();
  EXPECT_THAT(anonymous().Create(request), HasReason("OPTION_INVALID"));
  request.mutable_spec()->clear_dockerignore();
  request.mutable_spec()->set_dockerfile(std::string((1 << 20) + 1, ' '));
  EXPECT_THAT(anonymous().Create(request), HasReason("TOO_LARGE"));
}

TEST_F(UploadsTest, WhatItMakesComesBack) {
  Start();
  const std::string archive = Archive("an image");
  const std::string& out = folder_.WriteFile("archive", archive);
  for (Api* const caller : {&api(), &anonymous()}) {
    v1::BuildRequest request = Uploaded(
        *caller, absl::StrCat("copy ", out, " ../artifacts/1/file\ncopy ", out,
                              " ../artifacts/2/file\ndump-args ",
                              folder_.Path("args"), "\n"));
    SetOutput(request, "type=oci,dest=/home/me/image.tar,name=a:1");
    Add(request, "iidfile", "relative/id");
    const v1::Build build = Run(*caller, request);
    ASSERT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
    ASSERT_THAT(build.artifacts(), SizeIs(2));
    const v1::Artifact& image = build.artifacts(0);
    EXPECT_EQ(image.name(), build.name() + "/artifacts/1");
    EXPECT_EQ(image.kind(), v1::Artifact::KIND_FILE);
    EXPECT_EQ(image.filename(), "/home/me/image.tar");
    EXPECT_EQ(image.size_bytes(), static_cast<std::int64_t>(archive.size()));
    EXPECT_EQ(image.digest(), DigestOf(archive).digest());
    EXPECT_EQ(build.artifacts(1).kind(), v1::Artifact::KIND_IMAGE_ID);
    EXPECT_EQ(build.artifacts(1).filename(), "relative/id");
    EXPECT_THAT(ReadFile(folder_.Path("args")),
                AllOf(HasSubstr("type=oci,dest=" + FolderOf(build.name()) +
                                "/staging/artifacts/1/file,name=a:1"),
                      Not(HasSubstr("/home/me"))));
    // The record says so, also after a restart.
    EXPECT_THAT(caller->Get(build.name())->artifacts(), SizeIs(2));
    EXPECT_EQ(Content(*caller, image.name()), archive);
    const std::int64_t size = image.size_bytes();
    for (const std::int64_t offset : {std::int64_t{1}, size - 1, size}) {
      EXPECT_EQ(Content(*caller, image.name(), offset),
                archive.substr(static_cast<std::size_t>(offset)));
    }
    for (const std::int64_t offset : {std::int64_t{-1}, size + 1}) {
      EXPECT_THAT(Download(*caller, image.name(), offset),
                  AllOf(StatusIs(absl::StatusCode::kOutOfRange),
                        HasReason("OFFSET_OUT_OF_RANGE")));
    }
  }
}

TEST_F(UploadsTest, ArtifactsAreTheirCallersOwnAndGoWithTheBuild) {
  Start();
  v1::BuildRequest request =
      Uploaded(api(), absl::StrCat("copy fake.txt ../artifacts/1/file\n"));
  SetOutput(request, "type=tar,dest=-");
  const v1::Build build = Run(api(), request);
  ASSERT_THAT(build.artifacts(), SizeIs(1));
  const std::string name = build.artifacts(0).name();
  EXPECT_THAT(Download(anonymous(), name),
              AllOf(StatusIs(absl::StatusCode::kNotFound),
                    HasReason("BUILD_NOT_FOUND")));
  for (const std::string& other :
       {build.name() + "/artifacts/2", build.name() + "/artifacts/",
        build.name() + "/artifacts/../journal", build.name(),
        std::string("builds/../artifacts/1"),
        std::string("builds/none/artifacts/1")}) {
    EXPECT_THAT(Download(api(), other), HasReason("BUILD_NOT_FOUND")) << other;
  }
  EXPECT_THAT(Download(api(), ""), HasReason("OPTION_INVALID"));
  Stop();
  Start();
  EXPECT_THAT(Download(api(), name), IsOk());
  EXPECT_THAT(api().Delete(build.name()), IsOk());
  EXPECT_THAT(Download(api(), name), HasReason("BUILD_NOT_FOUND"));
  EXPECT_FALSE(fs::exists(FolderOf(build.name())));
}

TEST_F(UploadsTest, AFolderComesBackAsAnArchive) {
  Start();
  v1::BuildRequest request = Uploaded(
      anonymous(), absl::StrCat("copy fake.txt ../artifacts/1/file\ndump-args ",
                                folder_.Path("args"), "\n"));
  for (const char* output :
       {"out", "type=local,dest=out", "dest=out,type=local",
        "type=oci,dest=out,tar=false"}) {
    SCOPED_TRACE(output);
    request.mutable_spec()->mutable_options()->clear_output();
    SetOutput(request, output);
    const v1::Build build = Run(anonymous(), request);
    ASSERT_THAT(build.artifacts(), SizeIs(1));
    EXPECT_EQ(build.artifacts(0).kind(), v1::Artifact::KIND_FOLDER);
    EXPECT_EQ(build.artifacts(0).filename(), "out");
    EXPECT_THAT(ReadFile(folder_.Path("args")),
                AllOf(Not(HasSubstr("local")), Not(HasSubstr("tar=false"))));
  }
}

TEST_F(UploadsTest, OutputsThatDoNotComeBackNeedLeave) {
  Start();
  v1::BuildRequest request = Uploaded(anonymous(), "");
  for (const char* output : {"type=image,name=a:1,push=true", "type=docker",
                             "type=oci", "type=registry"}) {
    request.mutable_spec()->mutable_options()->clear_output();
    SetOutput(request, output);
    EXPECT_THAT(anonymous().Create(request), HasReason("OPTION_NOT_ALLOWED"))
        << output;
  }
  for (const char* output :
       {"type=local", "type=local,dest=-", "type=local,dest=\"a"}) {
    request.mutable_spec()->mutable_options()->clear_output();
    SetOutput(request, output);
    for (Api* const caller : {&api(), &anonymous()}) {
      EXPECT_THAT(caller->Create(request), HasReason("OPTION_INVALID"))
          << output;
    }
  }
}

// nerdctl 1.7 looks for the image that it was told not to load.
TEST_F(UploadsTest, NoImageToLoadIsNoFailureWhereTheArchiveIsWhole) {
  Start();
  const std::string whole = folder_.WriteFile("whole", Archive("image"));
  const std::string torn = folder_.WriteFile("torn", "image");
  const auto run = [&](const std::string& archive) {
    v1::BuildRequest request = Uploaded(
        anonymous(), absl::StrCat("copy ", archive,
                                  " ../artifacts/1/file\nstderr no image was "
                                  "built\\n\nexit 1\n"));
    SetOutput(request, "type=oci,dest=image.tar");
    return Run(anonymous(), request);
  };
  const v1::Build build = run(whole);
  EXPECT_EQ(build.state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_EQ(build.exit_code(), 0);
  EXPECT_THAT(build.artifacts(), SizeIs(1));
  const v1::Build failed = run(torn);
  EXPECT_EQ(failed.state(), v1::Build::STATE_FAILED);
  EXPECT_THAT(failed.artifacts(), IsEmpty());
  EXPECT_FALSE(fs::exists(FolderOf(failed.name()) + "/artifacts"));
  EXPECT_FALSE(fs::exists(FolderOf(failed.name()) + "/staging"));
}

TEST_F(UploadsTest, ArtifactsCountForRetention) {
  options_.retain_bytes = 300'000;
  options_.retention_interval = absl::Milliseconds(20);
  Start();
  const std::string large =
      folder_.WriteFile("large", std::string(200'000, 'x'));
  v1::BuildRequest request =
      Uploaded(api(), absl::StrCat("copy ", large, " ../artifacts/1/file\n"));
  SetOutput(request, "type=tar,dest=x");
  const v1::Build first = Run(api(), request);
  EXPECT_THAT(api().Get(first.name()), IsOk());
  EXPECT_TRUE(fs::exists(FolderOf(first.artifacts(0).name())));
  const v1::Build second = Run(api(), request);
  EXPECT_TRUE(test_support::Eventually(
      [&] { return absl::IsNotFound(api().Get(first.name()).status()); }));
  EXPECT_THAT(Download(api(), first.artifacts(0).name()),
              HasReason("BUILD_NOT_FOUND"));
  EXPECT_FALSE(fs::exists(FolderOf(first.name())));
  EXPECT_TRUE(fs::is_empty(folder_.Path("state/trash")));
  EXPECT_THAT(api().Get(second.name()), IsOk());
  EXPECT_EQ(Content(api(), second.artifacts(0).name()), ReadFile(large));
}

TEST_F(UploadsTest, ArtifactsGoWithTheAgeOfTheirBuild) {
  options_.retention_interval = absl::Milliseconds(20);
  Start();
  const v1::Artifact artifact = Make(4 << 20);
  DownloadCall call(server_->addresses()[1], artifact.name());
  std::string content = call.Read();
  EXPECT_TRUE(fs::exists(FolderOf(artifact.name())));
  options_.retain_age = absl::ZeroDuration();
  ASSERT_THAT(server_->Reload(options_), IsOk());
  EXPECT_TRUE(test_support::Eventually(
      [&] { return fs::is_empty(folder_.Path("state/builds")); }));
  EXPECT_THAT(Download(anonymous(), artifact.name()),
              HasReason("BUILD_NOT_FOUND"));
  // Who reads it by then reads on.
  for (std::string piece = call.Read(); !piece.empty(); piece = call.Read()) {
    content += piece;
  }
  EXPECT_THAT(call.End(), IsOk());
  EXPECT_EQ(DigestOf(content).digest(), artifact.digest());
}

TEST_F(UploadsTest, ABuildThatWaitsFindsItsContextAfterARestart) {
  options_.max_running_builds = 1;
  Start();
  const std::string held = Create(HeldRequest("a"));
  AwaitReady("a");
  v1::BuildRequest request =
      Uploaded(anonymous(), "copy fake.txt ../artifacts/1/file\n");
  request.mutable_spec()->set_dockerfile("FROM scratch\n");
  SetOutput(request, "type=tar,dest=x");
  const absl::StatusOr<v1::Build> waits = anonymous().Create(request);
  ASSERT_THAT(waits, IsOk());
  Stop();
  fs::remove_all(folder_.Path("state/blobs"));
  Start();
  const absl::StatusOr<v1::Build> build = anonymous().Await(waits->name());
  ASSERT_THAT(build, IsOk());
  EXPECT_EQ(build->state(), v1::Build::STATE_SUCCEEDED);
  EXPECT_THAT(build->artifacts(), SizeIs(1));
}

TEST_F(UploadsTest, ContentsThatWereEvictedAreMissing) {
  options_.max_blob_store_bytes_per_caller = 1'000'000;
  Start();
  const v1::BuildRequest request = Uploaded(anonymous(), "stdout hello\n");
  UploadCall call(anonymous());
  ASSERT_TRUE(call.SendWhole(std::string(995'000, 'x')));
  ASSERT_THAT(call.End(), IsOk());
  EXPECT_THAT(anonymous().Create(request), HasReason("BLOBS_MISSING"));
  // Which is mended by sending them again.
  EXPECT_EQ(Run(anonymous(), Uploaded(anonymous(), "stdout hello\n")).state(),
            v1::Build::STATE_SUCCEEDED);
  UploadCall large(anonymous());
  large.Send(DigestOf(std::string(1'100'000, 'x')), 0, "x");
  EXPECT_THAT(large.End(), HasReason("NO_SPACE"));
}

TEST_F(UploadsTest, ManyUploadAtTheSameTime) {
  Start();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, i] {
      Api own(server_->addresses()[1]);
      UploadCall call(own);
      for (int file = 0; file < 50; ++file) {
        if (!call.SendWhole(
                absl::StrCat(i, " ", file, std::string(1000, 'x')))) {
          break;
        }
      }
      EXPECT_THAT(call.End(), IsOk());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<std::string> contents;
  for (int i = 0; i < 8; ++i) {
    for (int file = 0; file < 50; ++file) {
      contents.push_back(absl::StrCat(i, " ", file, std::string(1000, 'x')));
    }
  }
  EXPECT_EQ(Missing(anonymous(), contents), 0);
}

// All on one connection, and quicker than they are written.
TEST_F(UploadsTest, ManyUploadsAreNoFlood) {
  Start();
  constexpr int kUploads = 32;
  // One that has called is taken over already, which keeps others waiting.
  EXPECT_EQ(Missing(anonymous(), {"x"}), 1);
  std::vector<std::thread> threads;
  for (int i = 0; i < kUploads; ++i) {
    threads.emplace_back([this, i] {
      const std::string content =
          absl::StrCat(i, std::string(kSanitized ? 4 << 20 : 16 << 20, 'x'));
      UploadCall call(anonymous());
      EXPECT_TRUE(call.SendWhole(content));
      EXPECT_THAT(call.End(), IsOk());
      EXPECT_EQ(Missing(anonymous(), {content}), 0);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A caller who goes on sending what is refused is told so each time.
TEST_F(UploadsTest, RefusedUploadsAreNoFlood) {
  Start();
  const std::string content(4 << 20, 'x');
  for (int i = 0; i < 20; ++i) {
    UploadCall call(anonymous());
    call.Send(DigestOf("lie"), 0, "abc");
    call.SendWhole(content);
    EXPECT_THAT(call.End(), HasReason("OPTION_INVALID"));
  }
}

TEST_F(UploadsTest, BoundsCallsAtTheSameTime) {
  Start();
  std::vector<std::unique_ptr<UploadCall>> calls;
  for (int i = 0; i < service::limits::kMaxOpenUploads; ++i) {
    calls.push_back(std::make_unique<UploadCall>(anonymous()));
    ASSERT_TRUE(calls.back()->SendWhole(absl::StrCat(i)));
  }
  std::vector<std::string> sent;
  for (int i = 0; i < service::limits::kMaxOpenUploads; ++i) {
    sent.push_back(absl::StrCat(i));
  }
  ASSERT_TRUE(test_support::Eventually(
      [&] { return Missing(anonymous(), sent) == 0; }));
  UploadCall one_more(anonymous());
  EXPECT_THAT(one_more.End(),
              AllOf(StatusIs(absl::StatusCode::kResourceExhausted),
                    HasReason("RATE_LIMITED")));
  EXPECT_THAT(calls.back()->End(), IsOk());
  calls.pop_back();
  UploadCall again(anonymous());
  EXPECT_THAT(again.End(), IsOk());
  for (const auto& call : calls) EXPECT_THAT(call->End(), IsOk());
}

TEST_F(UploadsTest, ACallThatSendsNothingIsEnded) {
  options_.transfer_idle_timeout = absl::Seconds(3);
  Start();
  const v1::BlobDigest blob = DigestOf("one two");
  UploadCall call(anonymous());
  ASSERT_TRUE(call.Send(blob, 0, "one "));
  EXPECT_THAT(call.Await(), AllOf(StatusIs(absl::StatusCode::kAborted),
                                  HasReason("UPLOAD_IDLE")));
  // What came is kept.
  UploadCall rest(anonymous());
  ASSERT_TRUE(rest.Send(blob, 4, "two"));
  EXPECT_THAT(rest.End(), IsOk());
}

TEST_F(UploadsTest, NoServerEndsTransfersAtOnce) {
  for (const absl::Duration timeout :
       {-absl::Seconds(1), absl::ZeroDuration(), absl::Milliseconds(99)}) {
    service::ServerOptions options;
    options.state_dir = folder_.Path("state");
    options.nerdctl = FAKE_NERDCTL;
    options.transfer_idle_timeout = timeout;
    EXPECT_THAT(service::Server::Create(options),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("transfer_idle_timeout")));
  }
}

// Four of those would take all threads that transfers have, each for seconds.
TEST_F(UploadsTest, OthersGoOnWhileMuchIsHashedAndACutEndsIt) {
  constexpr int kCalls = 4;
  constexpr std::int64_t kEarlier = std::int64_t{2} << 30;
  options_.max_blob_store_bytes_per_caller = kCalls * kEarlier * 2;
  Start();
  std::vector<v1::BlobDigest> blobs;
  for (int i = 0; i < kCalls; ++i) {
    blobs.push_back(DigestOf(absl::StrCat(i)));
    blobs[i].set_size_bytes(kEarlier + 1);
    UploadCall call(anonymous());
    ASSERT_TRUE(call.Send(blobs[i], 0, "x"));
    ASSERT_TRUE(test_support::Eventually(
        [&] { return UploadedBytes() == static_cast<std::uintmax_t>(i) + 1; }));
    call.Cut();
  }
  Stop();
  for (const auto& entry :
       fs::recursive_directory_iterator(folder_.Path("state/uploads"))) {
    if (entry.is_regular_file()) fs::resize_file(entry.path(), kEarlier);
  }
  Start();
  std::vector<std::unique_ptr<UploadCall>> calls;
  for (const v1::BlobDigest& blob : blobs) {
    calls.push_back(std::make_unique<UploadCall>(anonymous()));
    ASSERT_TRUE(calls.back()->Send(blob, kEarlier, "x"));
  }
  const auto is_under_way = [&](const v1::BlobDigest& blob) {
    UploadCall call(anonymous());
    call.Send(blob, kEarlier, "x");
    const absl::Status status = call.Await();
    return test_support::ReasonOf(status) == "UPLOAD_IN_PROGRESS";
  };
  UploadCall small(anonymous());
  ASSERT_TRUE(small.SendWhole("small"));
  EXPECT_THAT(small.End(), IsOk());
  for (const v1::BlobDigest& blob : blobs) EXPECT_TRUE(is_under_way(blob));
  for (const auto& call : calls) call->Cut();
  for (const v1::BlobDigest& blob : blobs) {
    EXPECT_TRUE(test_support::Eventually(
        [&] { return OpenFiles(blob.digest().substr(7)) == 0; }));
  }
  // At its end they would have been found not to be what they say.
  EXPECT_EQ(UploadedBytes(), static_cast<std::uintmax_t>(kCalls) * kEarlier);
}

TEST_F(UploadsTest, BoundsDownloadsAtTheSameTime) {
  Start();
  const v1::Artifact artifact = Make(4 << 20);
  const std::string file = "/artifacts/1";
  std::vector<std::unique_ptr<DownloadCall>> calls;
  for (int i = 0; i < service::limits::kMaxOpenDownloads; ++i) {
    calls.push_back(std::make_unique<DownloadCall>(server_->addresses()[1],
                                                   artifact.name()));
    ASSERT_THAT(calls.back()->Read(), Not(IsEmpty()));
  }
  EXPECT_EQ(OpenFiles(file), service::limits::kMaxOpenDownloads);
  EXPECT_THAT(Download(anonymous(), artifact.name()),
              AllOf(StatusIs(absl::StatusCode::kResourceExhausted),
                    HasReason("RATE_LIMITED")));
  // Another caller has his own.
  EXPECT_THAT(Download(api(), artifact.name()), IsOk());
  calls.back()->Cancel();
  calls.pop_back();
  EXPECT_TRUE(test_support::Eventually(
      [&] { return Download(anonymous(), artifact.name()).ok(); }));
  for (const auto& call : calls) {
    while (!call->Read().empty()) {
    }
    EXPECT_THAT(call->End(), IsOk());
  }
  EXPECT_EQ(OpenFiles(file), 0);
}

TEST_F(UploadsTest, ADownloadThatIsNotReadIsEnded) {
  options_.transfer_idle_timeout = absl::Seconds(3);
  Start();
  const v1::Artifact artifact = Make(8 << 20);
  DownloadCall call(server_->addresses()[1], artifact.name());
  std::string content = call.Read();
  ASSERT_THAT(content, Not(IsEmpty()));
  EXPECT_TRUE(
      test_support::Eventually([] { return OpenFiles("/artifacts/1") == 0; }));
  for (std::string piece = call.Read(); !piece.empty(); piece = call.Read()) {
    content += piece;
  }
  EXPECT_THAT(call.End(), AllOf(StatusIs(absl::StatusCode::kAborted),
                                HasReason("DOWNLOAD_IDLE")));
  EXPECT_LT(content.size(), 8U << 20);
  content += Content(anonymous(), artifact.name(),
                     static_cast<std::int64_t>(content.size()));
  EXPECT_EQ(DigestOf(content).digest(), artifact.digest());
}

}  // namespace
}  // namespace containerbuilder
