#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "containerbuilder/client/client.h"
#include "containerbuilder/client_mocks/mock_connection.h"
#include "gmock/gmock.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unit/client/fake_platform.h"
#include "unit/client/transfer_fixture.h"

namespace containerbuilder::client {
namespace {

using ::containerbuilder::client_mocks::FakeBuildEventSource;
using ::containerbuilder::client_mocks::MockConnection;
using ::containerbuilder::test_support::ErrorWithReason;
using ::containerbuilder::test_support::FakeBlobs;
using ::containerbuilder::test_support::FakePlatform;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::StatusIs;
using ::containerbuilder::test_support::TempDir;
using ::testing::HasSubstr;
using ::testing::NiceMock;

constexpr std::size_t kMebibyte = 1024 * 1024;

class UploadTest : public testing::Test {
 protected:
  UploadTest() {
    blobs_.Serve(*connection_);
    folder_.WriteFile("small", "small");
    folder_.WriteFile("empty", "");
    folder_.WriteFile("sub/large", std::string(2 * kMebibyte + 5, 'x'));
    folder_.WriteFile("sub/copy", "small");
  }

  LocalContext Read() {
    auto context = LocalContext::Read(folder_.path());
    EXPECT_THAT(context, IsOk());
    return *std::move(context);
  }
  Client MakeClient() { return Client(connection_, {.platform = platform_}); }

  const TempDir folder_;
  FakeBlobs blobs_;
  std::shared_ptr<NiceMock<MockConnection>> connection_ =
      std::make_shared<NiceMock<MockConnection>>();
  std::shared_ptr<FakePlatform> platform_ = std::make_shared<FakePlatform>();
};

TEST_F(UploadTest, SendsEachContentOnce) {
  const LocalContext context = Read();
  const auto uploaded = MakeClient().UploadContext(context);
  ASSERT_THAT(uploaded, IsOk());
  EXPECT_EQ(uploaded->digest, context.digest());
  // small, nothing, large, and two folders.
  EXPECT_EQ(uploaded->sent_blobs, 5);
  EXPECT_EQ(uploaded->sent_bytes, blobs_.received);
  EXPECT_EQ(blobs_.blobs.size(), 5u);
  EXPECT_EQ(blobs_.uploads, 1);
}

TEST_F(UploadTest, SendsOnlyWhatChanged) {
  ASSERT_THAT(MakeClient().UploadContext(Read()), IsOk());
  ASSERT_THAT(MakeClient().UploadContext(Read()), IsOk());
  EXPECT_EQ(blobs_.uploads, 1);
  folder_.WriteFile("small", "changed");
  const auto uploaded = MakeClient().UploadContext(Read());
  ASSERT_THAT(uploaded, IsOk());
  EXPECT_EQ(uploaded->sent_blobs, 2);  // the file, and the folder with it
}

TEST_F(UploadTest, GoesOnWhereItWasCutAtAnyPiece) {
  const LocalContext context = Read();
  // Seven pieces: five contents, and the large one in three.
  for (int cut_at = 0; cut_at < 7; ++cut_at) {
    for (const auto code :
         {absl::StatusCode::kUnavailable, absl::StatusCode::kInternal}) {
      SCOPED_TRACE(cut_at);
      FakeBlobs blobs;
      blobs.Serve(*connection_);
      ON_CALL(*connection_, UploadBlobs).WillByDefault([&] {
        const bool is_first = blobs.uploads++ == 0;
        blobs.end = is_first ? absl::Status(code, "cut") : absl::OkStatus();
        return blobs.MakeCall(is_first ? cut_at : -1);
      });
      ASSERT_THAT(MakeClient().UploadContext(context), IsOk());
      EXPECT_EQ(blobs.uploads, 2);
      EXPECT_EQ(blobs.blobs.size(), 5u);
      std::int64_t total = 0;
      for (const auto& [digest, bytes] : blobs.blobs) {
        total += static_cast<std::int64_t>(bytes.size());
      }
      EXPECT_EQ(blobs.received, total) << "something was sent twice";
    }
  }
}

TEST_F(UploadTest, GivesUpWhenNothingGoesForward) {
  blobs_.end = absl::UnavailableError("cut");
  blobs_.cut_after = 0;
  EXPECT_THAT(MakeClient().UploadContext(Read()),
              StatusIs(absl::StatusCode::kUnavailable));
  absl::Duration waited;
  for (const absl::Duration wait : platform_->waits()) waited += wait;
  EXPECT_LE(waited, absl::Seconds(60));
  EXPECT_GE(waited, absl::Seconds(50));
}

TEST_F(UploadTest, ThatNobodyListensIsToldAtOnce) {
  EXPECT_CALL(*connection_, FindMissingBlobs)
      .WillOnce(testing::Return(absl::UnavailableError("nobody")));
  EXPECT_THAT(MakeClient().UploadContext(Read()),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(UploadTest, RefusalsAreNotTriedAgain) {
  blobs_.cut_after = 0;
  blobs_.end =
      ErrorWithReason(absl::StatusCode::kResourceExhausted, "TOO_LARGE");
  EXPECT_THAT(MakeClient().UploadContext(Read()),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(blobs_.uploads, 1);
}

TEST_F(UploadTest, WaitsForAnotherUploadOfTheSame) {
  int calls = 0;
  ON_CALL(*connection_, UploadBlobs).WillByDefault([&] {
    blobs_.end = ++calls < 3 ? ErrorWithReason(absl::StatusCode::kAborted,
                                               "UPLOAD_IN_PROGRESS")
                             : absl::OkStatus();
    return blobs_.MakeCall(calls < 3 ? 0 : -1);
  });
  EXPECT_THAT(MakeClient().UploadContext(Read()), IsOk());
  EXPECT_EQ(calls, 3);
}

TEST_F(UploadTest, AFileThatChangedIsNamed) {
  const LocalContext context = Read();
  folder_.WriteFile("small", "other bytes");
  EXPECT_THAT(MakeClient().UploadContext(context),
              StatusIs(absl::StatusCode::kAborted,
                       HasSubstr("small\" changed while it was read")));
}

TEST_F(UploadTest, StopEndsIt) {
  std::stop_source stop;
  UploadOptions options = {.stop = stop.get_token()};
  options.progress = [&stop](const ContextProgress&) { stop.request_stop(); };
  EXPECT_THAT(MakeClient().UploadContext(Read(), options),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(blobs_.uploads, 1);
}

TEST_F(UploadTest, ProgressEndsWithTheWhole) {
  const LocalContext context = Read();
  ContextProgress last;
  UploadOptions options;
  options.progress = [&last](const ContextProgress& progress) {
    EXPECT_GE(progress.bytes, last.bytes);
    last = progress;
  };
  const auto uploaded = MakeClient().UploadContext(context, options);
  ASSERT_THAT(uploaded, IsOk());
  EXPECT_EQ(last.bytes, uploaded->sent_bytes);
  EXPECT_EQ(last.total_bytes, uploaded->sent_bytes);
  EXPECT_EQ(last.total_files, 3);
}

v1::BuildEvent Finished() {
  v1::BuildEvent event;
  event.mutable_finished()->mutable_build()->set_state(
      v1::Build::STATE_SUCCEEDED);
  return event;
}

TEST_F(UploadTest, WhatWasEvictedBeforeTheBuildIsSentAgain) {
  const auto context = std::make_shared<const LocalContext>(Read());
  int builds = 0;
  EXPECT_CALL(*connection_, Build)
      .Times(2)
      .WillRepeatedly([&](const v1::BuildRequest& request) {
        EXPECT_EQ(request.spec().context_digest(), context->digest());
        if (++builds == 2) {
          EXPECT_EQ(blobs_.blobs.size(), 5u);
          return std::make_unique<FakeBuildEventSource>(
              std::deque<v1::BuildEvent>{Finished()});
        }
        blobs_.blobs.erase(blobs_.blobs.begin());
        return std::make_unique<FakeBuildEventSource>(
            std::deque<v1::BuildEvent>{},
            ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                            "BLOBS_MISSING"));
      });
  int events = 0;
  for (const auto& event : MakeClient().Build({}, context)) {
    ASSERT_THAT(event, IsOk());
    ++events;
  }
  EXPECT_EQ(events, 1);
  EXPECT_EQ(blobs_.uploads, 2);
}

TEST_F(UploadTest, AServiceThatAlwaysDropsIsGivenUp) {
  const LocalContext context = Read();
  EXPECT_CALL(*connection_, CreateBuild)
      .Times(3)
      .WillRepeatedly([&](const v1::CreateBuildRequest&)
                          -> absl::StatusOr<v1::CreateBuildResponse> {
        blobs_.blobs.clear();
        return ErrorWithReason(absl::StatusCode::kFailedPrecondition,
                               "BLOBS_MISSING");
      });
  EXPECT_THAT(MakeClient().CreateBuild({}, context),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(blobs_.uploads, 3);
}

}  // namespace
}  // namespace containerbuilder::client
