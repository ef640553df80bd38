#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/sqlite_build_store.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unit/store/records.h"

namespace containerbuilder::service {
namespace {

using test_support::CreateTimeOf;
using test_support::IsOk;
using test_support::MakeEndedRecord;
using test_support::MakeRecord;
using test_support::NameOf;
using test_support::NamesOf;
using test_support::TempDir;
using testing::ElementsAre;
using v1::Build;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kBuilds = 10'000;
#else
// A retention of ten times the default.
constexpr int kBuilds = 100'000;
#endif

// The bounds are some ten times what a slow machine needs, to tell a walk
// through an index from one through all records for each build.
TEST(SqliteBuildStoreScaleTest, ManyBuilds) {
  const TempDir folder;
  const std::string path = folder.Path("builds.db");
  const auto measure = [](const char* what, absl::Duration bound, auto work) {
    const absl::Time begin = absl::Now();
    auto result = work();
    const absl::Duration took = absl::Now() - begin;
    std::cout << what << ": " << took << "\n";
    EXPECT_THAT(result, IsOk()) << what;
    EXPECT_LT(took, bound) << what;
    return result;
  };

  std::vector<storage::v1::BuildRecord> records;
  records.reserve(kBuilds);
  for (int i = 0; i < kBuilds; ++i) {
    auto record = i % 1000 == 0 ? MakeRecord(i, Build::STATE_RUNNING)
                                : MakeEndedRecord(i, absl::Seconds(60));
    if (i == 7) record.mutable_build()->set_state(Build::STATE_EXPIRED);
    record.set_request_id(absl::StrCat("request", i));
    record.mutable_build()->set_requester(i % (kBuilds / 10) == 5 ? "rare"
                                                                  : "usual");
    auto& annotations = *record.mutable_build()->mutable_annotations();
    annotations["team"] = "all";
    annotations["pipeline"] = absl::StrCat("p", i % 100);
    annotations["commit"] = absl::StrCat("c", i);
    annotations["half"] = i % 2 == 0 ? "even" : "odd";
    // Some 2 KiB, as of a build with a usual command line and a log tail.
    record.mutable_build()->mutable_failure()->set_log_tail(
        std::string(1500, static_cast<char>(i)));
    records.push_back(std::move(record));
  }

  std::unique_ptr<SqliteBuildStore> store =
      *measure("Open, new", absl::Seconds(10),
               [&] { return SqliteBuildStore::Open(path); });
  std::ignore = measure("InsertAll", absl::Minutes(2),
                        [&] { return store->InsertAll(records); });
  records = {};
  store = nullptr;
  store = *measure("Open", absl::Seconds(20),
                   [&] { return SqliteBuildStore::Open(path); });
  EXPECT_EQ(measure("Names", absl::Seconds(5), [&] { return store->Names(); })
                ->size(),
            kBuilds);
  EXPECT_EQ(measure("Unfinished", absl::Seconds(5),
                    [&] { return store->Unfinished(); })
                ->size(),
            kBuilds / 1000);
  const auto totals = measure("EndedTotals", absl::Seconds(5),
                              [&] { return store->EndedTotals(); });
  EXPECT_EQ(totals->at("usual").ended_builds + totals->at("rare").ended_builds,
            kBuilds - kBuilds / 1000);
  EXPECT_EQ(measure("OldestEnded", absl::Seconds(5),
                    [&] { return store->OldestEnded({.limit = 100}); })
                ->front(),
            NameOf(1));
  EXPECT_EQ(
      measure("OldestEnded, usual caller", absl::Seconds(5),
              [&] {
                return store->OldestEnded({.requester = "usual", .limit = 100});
              })
          ->size(),
      100U);

  const auto list = [&](const char* what, ListQuery query) {
    return measure(what, absl::Seconds(5), [&] { return store->List(query); });
  };
  EXPECT_EQ(list("List, newest", {})->records.size(), 50);
  EXPECT_EQ(
      list("List, middle", {.before_arrival = kBuilds / 2})->records.size(),
      50);
  EXPECT_EQ(list("List, 1,000", {.page_size = 1000})->records.size(), 1000);
  EXPECT_EQ(list("List, common annotation", {.annotations = {{"team", "all"}}})
                ->records.size(),
            50);
  EXPECT_THAT(NamesOf(list("List, rare annotation",
                           {.annotations = {{"commit", "c123"}}})
                          ->records),
              ElementsAre(NameOf(123)));
  EXPECT_EQ(list("List, two annotations",
                 {.annotations = {{"team", "all"}, {"pipeline", "p5"}}})
                ->records.size(),
            50);
  EXPECT_TRUE(list("List, annotations that exclude each other",
                   {.annotations = {{"half", "odd"}, {"pipeline", "p4"}}})
                  ->records.empty());
  EXPECT_EQ(list("List, rare caller", {.requester = "rare"})->records.size(),
            10);
  EXPECT_THAT(
      NamesOf(list("List, rare state", {.states = {Build::STATE_EXPIRED}})
                  ->records),
      ElementsAre(NameOf(7)));
  EXPECT_EQ(list("List, oldest by time", {.created_before = CreateTimeOf(9)})
                ->records.size(),
            9);

  std::ignore = measure("Insert", absl::Seconds(30),
                        [&] { return store->Insert(MakeRecord(kBuilds)); });
  std::ignore = measure("Update", absl::Seconds(30), [&] {
    return store->Update(MakeEndedRecord(kBuilds, absl::Seconds(1)));
  });
  std::ignore = measure("Get", absl::Seconds(5),
                        [&] { return store->Get(NameOf(5000)); });
  std::ignore = measure("FindByRequestId", absl::Seconds(5), [&] {
    return store->FindByRequestId("usual", "request5000");
  });
  std::ignore = measure("Delete", absl::Seconds(30),
                        [&] { return store->Delete(NameOf(5000)); });
}

}  // namespace
}  // namespace containerbuilder::service
