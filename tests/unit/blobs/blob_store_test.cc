#include "blobs/blob_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "blobs/blob_upload.h"
#include "gmock/gmock.h"
#include "support/context_tree.h"
#include "support/processes.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"

namespace containerbuilder::service {
namespace {

namespace fs = std::filesystem;
using ::containerbuilder::test_support::DigestOf;
using ::containerbuilder::test_support::HasReason;
using ::containerbuilder::test_support::IsOk;
using ::containerbuilder::test_support::IsOkAndHolds;
using ::containerbuilder::test_support::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::int64_t kBlock = 4096;

class BlobStoreTest : public testing::Test {
 protected:
  BlobStoreTest() { Open(); }

  void Open() {
    store_.reset();
    absl::StatusOr<std::unique_ptr<BlobStore>> store =
        BlobStore::Open({.folder = folder_.path(),
                         .limits = limits_,
                         .now = [this] { return now_; },
                         .lacking_bytes = [this] { return lacking_bytes_; },
                         .remove =
                             [this](const std::string& path) {
                               if (on_remove_ != nullptr) on_remove_(path);
                               fs::remove(path);
                             }});
    ASSERT_THAT(store, IsOk());
    store_ = *std::move(store);
  }
  void SetLimits() { store_->SetLimits(limits_); }

  static v1::UploadBlobsRequest Piece(const v1::BlobDigest& blob,
                                      std::int64_t offset,
                                      const std::string& data) {
    v1::UploadBlobsRequest piece;
    *piece.mutable_blob() = blob;
    piece.set_offset(offset);
    piece.set_data(data);
    return piece;
  }

  // Null where it is refused; begin_status_ is why.
  std::unique_ptr<BlobUpload> Begin(const std::string& caller = "me") {
    auto upload = BlobUpload::Begin(store_.get(), caller, caller);
    begin_status_ = upload.status();
    return upload.ok() ? *std::move(upload) : nullptr;
  }

  // In one piece.
  absl::Status Send(const std::string& content,
                    const std::string& caller = "me") {
    const std::unique_ptr<BlobUpload> begun = Begin(caller);
    if (begun == nullptr) return begin_status_;
    BlobUpload& upload = *begun;
    const absl::StatusOr<bool> taken =
        upload.Take(Piece(DigestOf(content), 0, content));
    return taken.ok() ? upload.Finish().status() : taken.status();
  }

  // Bytes that are there; all of it where the blob is not missing.
  std::int64_t Committed(const std::string& content,
                         const std::string& caller = "me") {
    v1::FindMissingBlobsRequest request;
    *request.add_blobs() = DigestOf(content);
    const absl::StatusOr<v1::FindMissingBlobsResponse> response =
        store_->FindMissing(request, caller);
    EXPECT_THAT(response, IsOk());
    if (!response.ok()) return -1;
    return response->missing_blobs().empty()
               ? static_cast<std::int64_t>(content.size())
               : response->missing_blobs(0).committed_bytes();
  }
  bool Has(const std::string& content, const std::string& caller = "me") {
    return BlobStore::Hold(store_.get(), caller)
        .Add(Digest::Of(content), static_cast<std::int64_t>(content.size()));
  }
  std::size_t FilesIn(const std::string& name) {
    std::size_t files = 0;
    for (const auto& entry :
         fs::recursive_directory_iterator(folder_.Path(name))) {
      files += entry.is_regular_file() ? 1 : 0;
    }
    return files;
  }

  const test_support::TempDir folder_;
  BlobStore::Limits limits_ = {.max_bytes = 1 << 30,
                               .max_bytes_per_caller = 1 << 30,
                               .max_blob_bytes = 1 << 30,
                               .upload_ttl = absl::Hours(24)};
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  std::int64_t lacking_bytes_ = 0;
  std::function<void(const std::string& path)> on_remove_;
  std::unique_ptr<BlobStore> store_;
  absl::Status begin_status_;
};

TEST_F(BlobStoreTest, KeepsWhatHasItsDigest) {
  EXPECT_FALSE(Has("text"));
  EXPECT_THAT(Send("text"), IsOk());
  EXPECT_TRUE(Has("text"));
  EXPECT_THAT(Send(""), IsOk());
  EXPECT_TRUE(Has(""));
  // Again is no harm.
  EXPECT_THAT(Send("text"), IsOk());
  EXPECT_EQ(FilesIn("blobs"), 2);
  EXPECT_EQ(FilesIn("uploads"), 0);
}

TEST_F(BlobStoreTest, RefusesALie) {
  const std::unique_ptr<BlobUpload> upload = Begin();
  EXPECT_THAT(upload->Take(Piece(DigestOf("text"), 0, "lies")),
              AllOf(StatusIs(absl::StatusCode::kInvalidArgument,
                             HasSubstr(DigestOf("lies").digest())),
                    HasReason("OPTION_INVALID")));
  EXPECT_FALSE(Has("text"));
  EXPECT_FALSE(Has("lies"));
  EXPECT_EQ(FilesIn("uploads") + FilesIn("blobs"), 0);
}

TEST_F(BlobStoreTest, ADigestIsNoCapability) {
  ASSERT_THAT(Send("text", "him"), IsOk());
  EXPECT_FALSE(Has("text", "me"));
  EXPECT_EQ(Committed("text", "me"), 0);
  // A name that another one's folder has is another name.
  EXPECT_FALSE(Has("text", Digest::Of("him").Hex()));
  EXPECT_TRUE(Has("text", "him"));
}

TEST_F(BlobStoreTest, GoesOnWhereAnUploadBroke) {
  const std::string content = "one two three";
  {
    const std::unique_ptr<BlobUpload> upload = Begin();
    ASSERT_THAT(upload->Take(Piece(DigestOf(content), 0, "one ")), IsOk());
    ASSERT_THAT(upload->Take(Piece(DigestOf(content), 4, "two ")), IsOk());
    EXPECT_THAT(upload->Finish(), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("lacks 5 bytes")));
  }
  EXPECT_EQ(Committed(content), 8);
  EXPECT_EQ(Committed(content, "him"), 0);
  Open();  // after a restart, too
  EXPECT_EQ(Committed(content), 8);
  const std::unique_ptr<BlobUpload> upload = Begin();
  ASSERT_THAT(upload->Take(Piece(DigestOf(content), 8, "three")), IsOk());
  const absl::StatusOr<v1::UploadBlobsResponse> response = upload->Finish();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->committed_blobs(), 1);
  EXPECT_EQ(response->received_bytes(), 5);
  EXPECT_TRUE(Has(content));
}

// Of much that is gone on with, some is hashed with each call.
TEST_F(BlobStoreTest, HashesWhatCameEarlierInSlices) {
  const std::string earlier(
      static_cast<std::size_t>(2 * limits::kHashSliceBytes + 1), 'x');
  const std::string content = earlier + "end";
  {
    const std::unique_ptr<BlobUpload> upload = Begin();
    for (std::size_t at = 0; at < earlier.size();
         at += limits::kMaxPieceBytes) {
      ASSERT_THAT(
          upload->Take(Piece(DigestOf(content), static_cast<std::int64_t>(at),
                             earlier.substr(at, limits::kMaxPieceBytes))),
          IsOkAndHolds(true));
    }
  }
  const auto offset = static_cast<std::int64_t>(earlier.size());
  {
    // Given up in between, all of it stays.
    const std::unique_ptr<BlobUpload> upload = Begin();
    EXPECT_THAT(upload->Take(Piece(DigestOf(content), offset, "e")),
                IsOkAndHolds(false));
  }
  EXPECT_EQ(Committed(content), offset);
  {
    const std::unique_ptr<BlobUpload> upload = Begin();
    const v1::UploadBlobsRequest piece =
        Piece(DigestOf(content), offset, "end");
    EXPECT_THAT(upload->Take(piece), IsOkAndHolds(false));
    EXPECT_THAT(upload->Take(piece), IsOkAndHolds(false));
    EXPECT_THAT(upload->Take(piece), IsOkAndHolds(true));
    EXPECT_THAT(upload->Finish(), IsOk());
  }
  EXPECT_TRUE(Has(content));
}

TEST_F(BlobStoreTest, AServiceThatStopsDoesNotHashOn) {
  const std::string earlier(static_cast<std::size_t>(limits::kMaxPieceBytes),
                            'x');
  const v1::BlobDigest blob = DigestOf(earlier + "end");
  ASSERT_THAT(Begin()->Take(Piece(blob, 0, earlier)), IsOk());
  const std::unique_ptr<BlobUpload> upload = Begin();
  store_->Close();
  EXPECT_THAT(
      upload->Take(Piece(blob, static_cast<std::int64_t>(earlier.size()), "e")),
      HasReason("DRAINING"));
}

TEST_F(BlobStoreTest, BeginsAnewAtZero) {
  const std::string content = "one two three";
  {
    const std::unique_ptr<BlobUpload> upload = Begin();
    ASSERT_THAT(upload->Take(Piece(DigestOf(content), 0, "rubbish")), IsOk());
  }
  EXPECT_EQ(Committed(content), 7);
  EXPECT_THAT(Send(content), IsOk());
  EXPECT_TRUE(Has(content));
}

TEST_F(BlobStoreTest, RefusesPiecesThatDoNotFit) {
  const std::string content = "0123456789";
  const v1::BlobDigest blob = DigestOf(content);
  const auto refusal = [&](const v1::UploadBlobsRequest& piece) {
    const std::unique_ptr<BlobUpload> upload = Begin();
    absl::StatusOr<bool> taken = upload->Take(Piece(blob, 0, "01234"));
    if (taken.ok()) taken = upload->Take(piece);
    return taken.status();
  };
  v1::UploadBlobsRequest nameless;
  nameless.set_data("0");
  EXPECT_THAT(Begin()->Take(nameless), HasReason("OPTION_INVALID"));
  for (const std::int64_t offset : {-1, 0, 4, 6, 10, 11}) {
    EXPECT_THAT(refusal(Piece(blob, offset, "5")), HasReason("OPTION_INVALID"))
        << offset;
  }
  EXPECT_THAT(refusal(Piece(blob, 5, "567890")), HasReason("OPTION_INVALID"));
  EXPECT_THAT(refusal(Piece(blob, 5, "")), HasReason("OPTION_INVALID"));
  EXPECT_THAT(
      refusal(Piece(DigestOf("other"), 0, "other")),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("lacks 5 bytes")));
  EXPECT_THAT(
      refusal(Piece(blob, 5, std::string(limits::kMaxPieceBytes + 1, 'x'))),
      HasReason("OPTION_INVALID"));
  // What came before stays.
  EXPECT_EQ(Committed(content), 5);
  const std::unique_ptr<BlobUpload> gap = Begin();
  EXPECT_THAT(gap->Take(Piece(blob, 6, "6789")), HasReason("OPTION_INVALID"));
  v1::BlobDigest wrong = blob;
  wrong.set_size_bytes(-1);
  EXPECT_THAT(Begin()->Take(Piece(wrong, 0, "")), HasReason("OPTION_INVALID"));
  wrong.set_digest("sha256:../../../etc/passwd");
  EXPECT_THAT(Begin()->Take(Piece(wrong, 0, "")), HasReason("OPTION_INVALID"));
  ASSERT_THAT(Send(content), IsOk());
  wrong = blob;
  wrong.set_size_bytes(11);
  BlobStore::Hold hold(store_.get(), "me");
  ASSERT_TRUE(hold.Add(*Digest::Parse(blob.digest())));
  EXPECT_THAT(Begin()->Take(Piece(wrong, 0, "")), HasReason("OPTION_INVALID"));
}

TEST_F(BlobStoreTest, OneWritesAtATime) {
  const v1::BlobDigest blob = DigestOf("text");
  const std::unique_ptr<BlobUpload> first = Begin();
  ASSERT_THAT(first->Take(Piece(blob, 0, "te")), IsOk());
  EXPECT_THAT(Send("text"), AllOf(StatusIs(absl::StatusCode::kAborted),
                                  HasReason("UPLOAD_IN_PROGRESS")));
  // Others have nothing to do with it.
  EXPECT_THAT(Send("text", "him"), IsOk());
  ASSERT_THAT(first->Take(Piece(blob, 2, "xt")), IsOk());
  EXPECT_TRUE(Has("text"));
}

TEST_F(BlobStoreTest, BoundsUploadsAtTheSameTime) {
  std::vector<std::unique_ptr<BlobUpload>> uploads;
  for (int i = 0; i < limits::kMaxOpenUploads; ++i) {
    uploads.push_back(Begin());
    ASSERT_NE(uploads.back(), nullptr);
    const std::string content = absl::StrCat("content ", i);
    ASSERT_THAT(uploads.back()->Take(Piece(DigestOf(content), 0, "c")), IsOk());
  }
  EXPECT_THAT(Send("text"), HasReason("RATE_LIMITED"));
  uploads.pop_back();
  EXPECT_THAT(Send("text"), IsOk());
}

TEST_F(BlobStoreTest, ForgetsTheOldestPartsWhenThereAreMany) {
  for (std::size_t i = 0; i < limits::kMaxLeftUploads + 2; ++i) {
    now_ += absl::Seconds(1);
    const std::string content = absl::StrCat("content ", i);
    const std::unique_ptr<BlobUpload> upload = Begin();
    ASSERT_THAT(upload->Take(Piece(DigestOf(content), 0, "c")), IsOk());
  }
  EXPECT_EQ(FilesIn("uploads"), limits::kMaxLeftUploads);
  EXPECT_EQ(Committed("content 1"), 0);
  EXPECT_EQ(Committed("content 2"), 1);
}

TEST_F(BlobStoreTest, PartsGoWhenTheirTimeIsOver) {
  {
    const std::unique_ptr<BlobUpload> upload = Begin();
    ASSERT_THAT(upload->Take(Piece(DigestOf("text"), 0, "te")), IsOk());
    now_ += absl::Hours(48);
    store_->Sweep();  // somebody writes it
    ASSERT_THAT(upload->Take(Piece(DigestOf("text"), 2, "x")), IsOk());
  }
  now_ += absl::Hours(23);
  store_->Sweep();
  EXPECT_EQ(Committed("text"), 3);
  now_ += absl::Hours(2);
  store_->Sweep();
  EXPECT_EQ(Committed("text"), 0);
  EXPECT_EQ(FilesIn("uploads"), 0);
}

TEST_F(BlobStoreTest, WhatIsUnusedForLongestGoesFirst) {
  limits_.max_bytes_per_caller = 3 * kBlock;
  SetLimits();
  for (const char* content : {"a", "b", "c"}) {
    now_ += absl::Seconds(1);
    ASSERT_THAT(Send(content), IsOk());
  }
  now_ += absl::Seconds(1);
  EXPECT_EQ(Committed("a"), 1);  // is use
  ASSERT_THAT(Send("d"), IsOk());
  EXPECT_FALSE(Has("b"));
  EXPECT_TRUE(Has("a"));
  EXPECT_TRUE(Has("c"));
  EXPECT_EQ(FilesIn("blobs"), 3);
}

TEST_F(BlobStoreTest, NeverTakesWhatIsHeld) {
  limits_.max_bytes_per_caller = 2 * kBlock;
  SetLimits();
  ASSERT_THAT(Send("a"), IsOk());
  ASSERT_THAT(Send("b"), IsOk());
  {
    BlobStore::Hold hold(store_.get(), "me");
    ASSERT_TRUE(hold.Add(Digest::Of("a"), 1));
    ASSERT_TRUE(hold.Add(Digest::Of("b"), 1));
    EXPECT_THAT(Send("c"), AllOf(StatusIs(absl::StatusCode::kResourceExhausted),
                                 HasReason("NO_SPACE")));
    EXPECT_THAT(hold.Open(Digest::Of("a")), IsOk());
  }
  EXPECT_THAT(Send("c"), IsOk());
  EXPECT_FALSE(Has("a"));
}

// As where it was damaged, and sent again while a build unpacked the old one.
TEST_F(BlobStoreTest, AHoldOfWhatWasRemovedFreesNothingNew) {
  limits_.max_bytes_per_caller = kBlock;
  SetLimits();
  ASSERT_THAT(Send("a"), IsOk());
  auto old_hold = std::make_unique<BlobStore::Hold>(store_.get(), "me");
  ASSERT_TRUE(old_hold->Add(Digest::Of("a"), 1));
  old_hold->Remove(Digest::Of("a"));
  ASSERT_THAT(Send("a"), IsOk());
  BlobStore::Hold hold(store_.get(), "me");
  ASSERT_TRUE(hold.Add(Digest::Of("a"), 1));
  old_hold->Remove(Digest::Of("a"));
  EXPECT_TRUE(Has("a"));
  old_hold.reset();
  EXPECT_THAT(Send("b"), HasReason("NO_SPACE"));
  EXPECT_TRUE(Has("a"));
}

// As those who are anonymous, of each address.
TEST_F(BlobStoreTest, CallersOfOneNameMayBeCountedApart) {
  std::vector<std::unique_ptr<BlobUpload>> uploads;
  const auto begin = [&](const std::string& counted_as) {
    auto upload = BlobUpload::Begin(store_.get(), "me", counted_as);
    if (upload.ok()) uploads.push_back(*std::move(upload));
    return upload.status();
  };
  for (int i = 0; i < limits::kMaxOpenUploads; ++i) {
    ASSERT_THAT(begin("one"), IsOk());
  }
  EXPECT_THAT(begin("one"), HasReason("RATE_LIMITED"));
  EXPECT_THAT(begin("another"), IsOk());
  uploads.erase(uploads.begin());
  EXPECT_THAT(begin("one"), IsOk());
}

TEST_F(BlobStoreTest, BoundsAllCallersTogether) {
  limits_.max_bytes = 2 * kBlock;
  SetLimits();
  ASSERT_THAT(Send("a", "him"), IsOk());
  now_ += absl::Seconds(1);
  ASSERT_THAT(Send("b", "me"), IsOk());
  now_ += absl::Seconds(1);
  ASSERT_THAT(Send("c", "me"), IsOk());
  EXPECT_FALSE(Has("a", "him"));
  EXPECT_TRUE(Has("b"));
  EXPECT_TRUE(Has("c"));
}

TEST_F(BlobStoreTest, OthersHaveTheirTurnWhileManyGoForRoom) {
  constexpr int kBlobs = 3 * limits::kEvictSlice;
  limits_.max_bytes = kBlobs * kBlock;
  SetLimits();
  v1::FindMissingBlobsRequest all;
  for (int i = 0; i < kBlobs; ++i) {
    ASSERT_THAT(Send(absl::StrCat(i), "him"), IsOk());
    *all.add_blobs() = DigestOf(absl::StrCat(i));
  }
  int removed = 0;
  on_remove_ = [&](const std::string&) {
    ++removed;
    auto found = std::async(std::launch::async, [&] {
      return store_->FindMissing(all, "him")->missing_blobs_size();
    });
    ASSERT_EQ(found.wait_for(std::chrono::seconds(10)),
              std::future_status::ready);
    // No more than is being removed.
    const int missing = found.get();
    EXPECT_GE(missing, removed);
    EXPECT_LT(missing, removed + static_cast<int>(limits::kEvictSlice));
  };
  v1::BlobDigest large = DigestOf("x");
  large.set_size_bytes((kBlobs - 2) * kBlock);
  EXPECT_THAT(Begin()->Take(Piece(large, 0, "x")), IsOk());
  EXPECT_EQ(removed, kBlobs - 1);
  EXPECT_EQ(FilesIn("blobs"), 1);

  // So do those that go for a disk.
  on_remove_ = [&](const std::string&) {
    lacking_bytes_ = 0;
    EXPECT_EQ(Committed("none"), 0);
  };
  lacking_bytes_ = 1;
  store_->Sweep();
  EXPECT_EQ(lacking_bytes_, 0);
}

TEST_F(BlobStoreTest, WhatIsSentAnewWhileItGoesStays) {
  limits_.max_bytes_per_caller = kBlock;
  SetLimits();
  ASSERT_THAT(Send("a"), IsOk());
  std::future<absl::Status> again;
  on_remove_ = [&](const std::string&) {
    limits_.max_bytes_per_caller = 2 * kBlock;
    SetLimits();
    again = std::async(std::launch::async, [&] { return Send("a"); });
    // It comes this far while the file is there, and no farther.
    EXPECT_TRUE(
        test_support::Eventually([&] { return FilesIn("uploads") == 1; }));
    EXPECT_EQ(again.wait_for(std::chrono::milliseconds(50)),
              std::future_status::timeout);
  };
  EXPECT_THAT(Send("b"), IsOk());
  ASSERT_THAT(again.get(), IsOk());
  BlobStore::Hold hold(store_.get(), "me");
  ASSERT_TRUE(hold.Add(Digest::Of("a"), 1));
  EXPECT_THAT(hold.Open(Digest::Of("a")), IsOk());
  EXPECT_TRUE(Has("b"));
}

TEST_F(BlobStoreTest, TakesRoomForAllOfABlobAtItsBeginning) {
  limits_.max_bytes_per_caller = 4 * kBlock;
  limits_.max_blob_bytes = 8 * kBlock;
  SetLimits();
  v1::BlobDigest large = DigestOf("x");
  large.set_size_bytes(5 * kBlock);
  EXPECT_THAT(Begin()->Take(Piece(large, 0, "x")), HasReason("NO_SPACE"));
  large.set_size_bytes(9 * kBlock);
  EXPECT_THAT(Begin()->Take(Piece(large, 0, "x")), HasReason("TOO_LARGE"));
  // And gives it back.
  large.set_size_bytes(3 * kBlock);
  { EXPECT_THAT(Begin()->Take(Piece(large, 0, "x")), IsOk()); }
  EXPECT_THAT(Send("a"), IsOk());
  EXPECT_THAT(Send("b"), IsOk());
  EXPECT_TRUE(Has("a"));
}

TEST_F(BlobStoreTest, AFullDiskTakesNothingAndGivesWhatItCan) {
  ASSERT_THAT(Send("a"), IsOk());
  lacking_bytes_ = 1;
  EXPECT_THAT(Send("b"), HasReason("NO_SPACE"));
  EXPECT_FALSE(Has("a"));
  lacking_bytes_ = 0;
  EXPECT_THAT(Send("b"), IsOk());
}

// As where copies of builds fill it.
TEST_F(BlobStoreTest, NothingGoesForADiskThatAllOfItWouldNotFree) {
  on_remove_ = [this](const std::string&) { lacking_bytes_ -= kBlock; };
  for (const char* content : {"a", "b", "c"}) {
    now_ += absl::Seconds(1);
    ASSERT_THAT(Send(content), IsOk());
  }
  const auto sweep = [this](std::int64_t lacking) {
    lacking_bytes_ = lacking;
    store_->Sweep();
    EXPECT_EQ(lacking_bytes_, lacking) << "something went";
    lacking_bytes_ = 0;
  };
  sweep(3 * kBlock + 1);
  lacking_bytes_ = 3 * kBlock + 1;
  EXPECT_THAT(Send("d"), HasReason("NO_SPACE"));
  EXPECT_EQ(FilesIn("blobs"), 3);
  lacking_bytes_ = 0;
  {
    // What is held would not go, nor what is being sent.
    BlobStore::Hold hold(store_.get(), "me");
    ASSERT_TRUE(hold.Add(Digest::Of("c"), 1));
    ASSERT_TRUE(hold.Add(Digest::Of("c"), 1));
    v1::BlobDigest large = DigestOf("x");
    large.set_size_bytes(100 * kBlock);
    const std::unique_ptr<BlobUpload> upload = Begin();
    ASSERT_THAT(upload->Take(Piece(large, 0, "x")), IsOk());
    sweep(2 * kBlock + 1);
    lacking_bytes_ = kBlock;
    store_->Sweep();
    EXPECT_FALSE(Has("a"));
    EXPECT_TRUE(Has("b"));
  }
  lacking_bytes_ = 3 * kBlock;  // of two blobs and a part
  store_->Sweep();
  EXPECT_EQ(FilesIn("blobs"), 0);
  EXPECT_EQ(FilesIn("uploads"), 0);
}

TEST_F(BlobStoreTest, TakesNothingWhenItIsClosed) {
  const std::unique_ptr<BlobUpload> upload = Begin();
  store_->Close();
  EXPECT_THAT(Send("text"), HasReason("DRAINING"));
}

TEST_F(BlobStoreTest, KnowsAtAStartWhatThereIsAndInWhatOrder) {
  for (const char* content : {"a", "b", "c"}) {
    now_ += limits::kBlobTouchInterval * 2;
    ASSERT_THAT(Send(content), IsOk());
    // As it is at the time of the test, and not of the clock.
    now_ += limits::kBlobTouchInterval * 2;
    EXPECT_EQ(Committed(content), 1);
  }
  now_ += limits::kBlobTouchInterval * 2;
  EXPECT_EQ(Committed("a"), 1);
  folder_.WriteFile("blobs/stranger", "");
  folder_.WriteFile("blobs/" + Digest::Of("me").Hex() + "/xx/stranger", "");
  limits_.max_bytes_per_caller = 3 * kBlock;
  Open();
  ASSERT_THAT(Send("d"), IsOk());
  EXPECT_TRUE(Has("a"));
  EXPECT_FALSE(Has("b"));
}

TEST_F(BlobStoreTest, WhatACrashCutShortIsSentAgain) {
  ASSERT_THAT(Send("content"), IsOk());
  const std::string hex = Digest::Of("content").Hex();
  folder_.WriteFile(absl::StrCat("blobs/", Digest::Of("me").Hex(), "/",
                                 hex.substr(0, 2), "/", hex),
                    "");
  Open();
  EXPECT_FALSE(Has("content"));
  ASSERT_THAT(Send("content"), IsOk());
  EXPECT_TRUE(Has("content"));
}

TEST_F(BlobStoreTest, AsksForNoMoreAtOnceThanItTakes) {
  v1::FindMissingBlobsRequest request;
  for (int i = 0; i <= limits::kMaxFoundBlobs; ++i) {
    *request.add_blobs() = DigestOf("x");
  }
  EXPECT_THAT(store_->FindMissing(request, "me"), HasReason("TOO_LARGE"));
  request.mutable_blobs()->RemoveLast();
  EXPECT_THAT(store_->FindMissing(request, "me"), IsOk());
  request.mutable_blobs(7)->set_digest("md5:1");
  EXPECT_THAT(store_->FindMissing(request, "me"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("blobs[7].digest")));
}

}  // namespace
}  // namespace containerbuilder::service
