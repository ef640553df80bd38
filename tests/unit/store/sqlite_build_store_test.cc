#include "store/sqlite_build_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "base/timestamps.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/processes.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unit/store/records.h"

namespace containerbuilder::service {
namespace {

using test_support::CreateTimeOf;
using test_support::Eventually;
using test_support::IsOk;
using test_support::IsRecord;
using test_support::MakeEndedRecord;
using test_support::MakeRecord;
using test_support::NameOf;
using test_support::NamesOf;
using test_support::ReadFile;
using test_support::StatusIs;
using test_support::TempDir;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;
using testing::SizeIs;
using v1::Build;

class SqliteBuildStoreTest : public testing::Test {
 protected:
  SqliteBuildStoreTest() { Reopen(); }

  void Reopen(const SqliteBuildStore::Options& options = {}) {
    store_ = nullptr;
    auto store = SqliteBuildStore::Open(path_, options);
    if (!store.ok()) throw std::runtime_error(store.status().ToString());
    store_ = *std::move(store);
  }

  TempDir folder_;
  const std::string path_ = folder_.Path("builds.db");
  std::unique_ptr<BuildStore> store_;
};

TEST_F(SqliteBuildStoreTest, KeepsARecordAsItIs) {
  storage::v1::BuildRecord record = MakeRecord(1);
  record.set_request_id("once");
  record.set_trusted_caller(true);
  record.set_has_secrets(true);
  record.mutable_process()->set_pid(42);
  record.mutable_process()->set_boot_id("boot");
  (*record.mutable_build()->mutable_annotations())["team"] = "a";
  record.mutable_build()->mutable_failure()->set_log_tail(
      std::string("\0\xff\n", 3));

  const auto arrival = store_->Insert(record);
  ASSERT_THAT(arrival, IsOk());
  for (int i = 0; i < 2; ++i) {
    const auto read = store_->Get(NameOf(1));
    ASSERT_THAT(read, IsOk());
    EXPECT_THAT(*read, IsRecord(record));
    EXPECT_EQ(read->arrival(), *arrival);
    Reopen();
  }
}

TEST_F(SqliteBuildStoreTest, GetsNothingWhereThereIsNothing) {
  EXPECT_THAT(store_->Get(NameOf(1)),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(NameOf(1))));
  EXPECT_THAT(store_->Update(MakeRecord(1)),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Delete(NameOf(1)), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Unfinished().value(), IsEmpty());
  EXPECT_THAT(store_->OldestEnded({.limit = 10}).value(), IsEmpty());
  EXPECT_THAT(store_->Names().value(), IsEmpty());
  EXPECT_THAT(store_->EndedTotals().value(), IsEmpty());
  const auto page = store_->List({});
  EXPECT_THAT(page->records, IsEmpty());
  EXPECT_EQ(page->next_before_arrival, std::nullopt);
}

TEST_F(SqliteBuildStoreTest, ANameIsTakenOnce) {
  ASSERT_THAT(store_->Insert(MakeRecord(1)), IsOk());
  EXPECT_THAT(store_->Insert(MakeRecord(1)),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(store_->Names().value(), ElementsAre(NameOf(1)));
}

TEST_F(SqliteBuildStoreTest, ARequestIdIsTakenOnceByACaller) {
  const auto make = [](int number, const char* requester, const char* id) {
    storage::v1::BuildRecord record = MakeRecord(number);
    record.mutable_build()->set_requester(requester);
    record.set_request_id(id);
    return record;
  };
  ASSERT_THAT(store_->Insert(make(1, "ann", "x")), IsOk());
  EXPECT_THAT(store_->Insert(make(2, "ann", "x")),
              StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_THAT(store_->Insert(make(3, "bob", "x")), IsOk());
  ASSERT_THAT(store_->Insert(make(4, "ann", "")), IsOk());
  ASSERT_THAT(store_->Insert(make(5, "ann", "")), IsOk());

  EXPECT_THAT(*store_->FindByRequestId("ann", "x"),
              Optional(IsRecord(make(1, "ann", "x"))));
  EXPECT_THAT(*store_->FindByRequestId("bob", "x"),
              Optional(IsRecord(make(3, "bob", "x"))));
  EXPECT_EQ(*store_->FindByRequestId("ann", "y"), std::nullopt);
  EXPECT_EQ(*store_->FindByRequestId("ann", ""), std::nullopt);

  ASSERT_THAT(store_->Delete(NameOf(1)), IsOk());
  EXPECT_EQ(*store_->FindByRequestId("ann", "x"), std::nullopt);
  EXPECT_THAT(store_->Insert(make(2, "ann", "x")), IsOk());
}

TEST_F(SqliteBuildStoreTest, InsertsAllInOrderOrNone) {
  ASSERT_THAT(store_->Insert(MakeRecord(5)), IsOk());
  EXPECT_THAT(store_->InsertAll({MakeRecord(4), MakeRecord(5), MakeRecord(6)}),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(store_->Names().value(), ElementsAre(NameOf(5)));

  ASSERT_THAT(store_->InsertAll({MakeRecord(9), MakeRecord(7), MakeRecord(8)}),
              IsOk());
  EXPECT_THAT(NamesOf(store_->Unfinished().value()),
              ElementsAre(NameOf(5), NameOf(9), NameOf(7), NameOf(8)));
  EXPECT_THAT(NamesOf(store_->List({})->records),
              ElementsAre(NameOf(8), NameOf(7), NameOf(9), NameOf(5)));
  EXPECT_THAT(store_->InsertAll({}), IsOk());
}

TEST_F(SqliteBuildStoreTest, GivesNoArrivalTwice) {
  const auto first = store_->Insert(MakeRecord(1));
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(store_->Delete(NameOf(1)), IsOk());
  Reopen();
  const auto second = store_->Insert(MakeRecord(1));
  ASSERT_THAT(second, IsOk());
  EXPECT_GT(*second, *first);
}

TEST_F(SqliteBuildStoreTest, UpdatesARecord) {
  ASSERT_THAT(store_->InsertAll({MakeRecord(1), MakeRecord(2)}), IsOk());
  const auto ended = MakeEndedRecord(1, absl::Seconds(3));
  ASSERT_THAT(store_->Update(ended), IsOk());
  EXPECT_THAT(store_->Get(NameOf(1)).value(), IsRecord(ended));
  EXPECT_EQ(store_->Get(NameOf(1))->arrival(), 1);
  EXPECT_THAT(NamesOf(store_->Unfinished().value()), ElementsAre(NameOf(2)));
  EXPECT_THAT(NamesOf(store_->List({.states = {Build::STATE_FAILED}})->records),
              ElementsAre(NameOf(1)));
}

TEST_F(SqliteBuildStoreTest, DeletesARecordAndItsAnnotations) {
  auto record = MakeRecord(1);
  (*record.mutable_build()->mutable_annotations())["team"] = "a";
  ASSERT_THAT(store_->Insert(record), IsOk());
  ASSERT_THAT(store_->Delete(NameOf(1)), IsOk());
  EXPECT_THAT(store_->Get(NameOf(1)), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->List({.annotations = {{"team", "a"}}})->records,
              IsEmpty());
  EXPECT_THAT(store_->Names().value(), IsEmpty());
}

TEST_F(SqliteBuildStoreTest, TellsWhatHasEndedOldestFirst) {
  storage::v1::BuildRecord anns = MakeEndedRecord(6, absl::Minutes(90));
  anns.mutable_build()->set_requester("ann");
  ASSERT_THAT(store_->InsertAll({
                  MakeEndedRecord(1, absl::Hours(3)),
                  MakeRecord(2, Build::STATE_RUNNING),
                  MakeEndedRecord(3, absl::Hours(1), Build::STATE_SUCCEEDED),
                  MakeEndedRecord(4, absl::Hours(2), Build::STATE_INTERRUPTED),
                  MakeRecord(5, Build::STATE_CANCELLING),
                  anns,
              }),
              IsOk());
  EXPECT_THAT(store_->OldestEnded({.limit = 10}).value(),
              ElementsAre(NameOf(3), NameOf(6), NameOf(4), NameOf(1)));
  EXPECT_THAT(store_->OldestEnded({.limit = 2}).value(),
              ElementsAre(NameOf(3), NameOf(6)));
  EXPECT_THAT(store_->OldestEnded({.requester = "local", .limit = 2}).value(),
              ElementsAre(NameOf(3), NameOf(4)));
  EXPECT_THAT(store_->OldestEnded({.requester = "ann", .limit = 2}).value(),
              ElementsAre(NameOf(6)));
  const absl::Time end =
      FromTimestamp(MakeEndedRecord(4, absl::Hours(2)).build().finish_time());
  EXPECT_THAT(store_->OldestEnded({.ended_before = end, .limit = 10}).value(),
              ElementsAre(NameOf(3), NameOf(6)));
  const auto totals = store_->EndedTotals().value();
  EXPECT_THAT(totals, SizeIs(2));
  EXPECT_EQ(totals.at("local").ended_builds, 3);
  EXPECT_EQ(totals.at("local").ended_bytes, 3000 + 1 + 3 + 4);
  EXPECT_EQ(totals.at("ann").ended_builds, 1);
  EXPECT_EQ(totals.at("ann").ended_bytes, 1006);
  EXPECT_THAT(NamesOf(store_->Unfinished().value()),
              ElementsAre(NameOf(2), NameOf(5)));
}

TEST_F(SqliteBuildStoreTest, EveryStateIsEndedOrNot) {
  int number = 0;
  for (int state = Build::State_MIN; state <= Build::State_MAX; ++state) {
    ASSERT_TRUE(Build::State_IsValid(state));
    ASSERT_THAT(
        store_->Insert(MakeRecord(++number, static_cast<Build::State>(state))),
        IsOk());
  }
  const auto unfinished = store_->Unfinished();
  std::vector<Build::State> states;
  for (const auto& record : *unfinished) {
    states.push_back(record.build().state());
  }
  EXPECT_THAT(states,
              ElementsAre(Build::STATE_UNSPECIFIED, Build::STATE_QUEUED,
                          Build::STATE_RUNNING, Build::STATE_CANCELLING));
  EXPECT_EQ(store_->EndedTotals()->at("local").ended_builds, number - 4);
}

TEST_F(SqliteBuildStoreTest, TextsAreOnlyTexts) {
  const std::string texts[] = {"'; DROP TABLE builds; --",
                               "\"",
                               "?",
                               ":name",
                               "%",
                               "_",
                               "",
                               std::string("nul\0inside", 10),
                               "\xc3\xa4\xe2\x82\xac"};
  int number = 0;
  for (const std::string& text : texts) {
    auto record = MakeRecord(++number);
    record.mutable_build()->set_requester(text);
    record.set_request_id(absl::StrCat("id", text));
    (*record.mutable_build()->mutable_annotations())[text] = text;
    ASSERT_THAT(store_->Insert(record), IsOk());
  }
  number = 0;
  for (const std::string& text : texts) {
    ++number;
    EXPECT_THAT(NamesOf(store_->List({.annotations = {{text, text}}})->records),
                ElementsAre(NameOf(number)));
    EXPECT_THAT(NamesOf(store_->List({.requester = text})->records),
                ElementsAre(NameOf(number)));
    const auto found = store_->FindByRequestId(text, absl::StrCat("id", text));
    ASSERT_TRUE(found.ok() && found->has_value());
    EXPECT_EQ((*found)->build().name(), NameOf(number));
  }
}

TEST_F(SqliteBuildStoreTest, TimesBeyondItsRangeCompareAsTheLimits) {
  ASSERT_THAT(store_->Insert(MakeRecord(1)), IsOk());
  EXPECT_EQ(store_
                ->List({.created_from = absl::InfinitePast(),
                        .created_before = absl::InfiniteFuture()})
                ->records.size(),
            1);
  EXPECT_THAT(
      store_->List({.created_from = absl::FromUnixSeconds(1LL << 40)})->records,
      IsEmpty());
}

TEST_F(SqliteBuildStoreTest, FiltersHoldTogether) {
  std::minstd_rand random(1);  // NOLINT: the same each time
  const auto pick = [&](int count) {
    return static_cast<int>(random() % count);
  };
  std::vector<storage::v1::BuildRecord> records;
  for (int i = 0; i < 300; ++i) {
    auto record = MakeRecord(i, static_cast<Build::State>(1 + pick(9)));
    record.mutable_build()->set_requester(absl::StrCat("r", pick(3)));
    auto& annotations = *record.mutable_build()->mutable_annotations();
    if (pick(4) != 0) annotations["team"] = absl::StrCat("t", pick(3));
    if (pick(4) != 0) annotations["kind"] = absl::StrCat("k", pick(2));
    records.push_back(std::move(record));
  }
  ASSERT_THAT(store_->InsertAll(records), IsOk());

  int found = 0;
  for (int i = 0; i < 500; ++i) {
    ListQuery query{.page_size = 1000};
    for (int n = pick(3); n > 0; --n) {
      query.states.push_back(static_cast<Build::State>(1 + pick(9)));
    }
    if (pick(2) == 0) query.requester = absl::StrCat("r", pick(4));
    if (pick(2) == 0) query.annotations["team"] = absl::StrCat("t", pick(4));
    if (pick(2) == 0) query.annotations["kind"] = absl::StrCat("k", pick(2));
    if (pick(2) == 0) query.created_from = CreateTimeOf(pick(200));
    if (pick(2) == 0) query.created_before = CreateTimeOf(100 + pick(200));
    if (pick(2) == 0) query.before_arrival = 100 + pick(202);

    std::vector<std::string> expected;
    for (int n = 299; n >= 0; --n) {
      const Build& build = records[n].build();
      bool matches =
          (query.states.empty() ||
           std::count(query.states.begin(), query.states.end(),
                      build.state()) != 0) &&
          build.requester() == query.requester.value_or(build.requester()) &&
          query.created_from.value_or(absl::InfinitePast()) <=
              CreateTimeOf(n) &&
          CreateTimeOf(n) <
              query.created_before.value_or(absl::InfiniteFuture()) &&
          n + 1 < query.before_arrival.value_or(1000);
      for (const auto& [key, value] : query.annotations) {
        const auto it = build.annotations().find(key);
        matches &= it != build.annotations().end() && it->second == value;
      }
      if (matches) expected.push_back(build.name());
    }
    found += static_cast<int>(expected.size());
    const auto page = store_->List(query);
    ASSERT_THAT(page, IsOk());
    EXPECT_THAT(NamesOf(page->records), ElementsAreArray(expected));
    EXPECT_EQ(page->next_before_arrival, std::nullopt);
  }
  EXPECT_GT(found, 1000);
}

TEST_F(SqliteBuildStoreTest, TakesAsManyConditionsAsItSays) {
  auto record = MakeRecord(1);
  ListQuery query;
  for (int i = 0; i < 100; ++i) {
    query.annotations[absl::StrCat(i)] = "x";
    (*record.mutable_build()->mutable_annotations())[absl::StrCat(i)] = "x";
  }
  ASSERT_THAT(store_->Insert(record), IsOk());
  query.states.assign(100'000, Build::STATE_QUEUED);
  EXPECT_THAT(NamesOf(store_->List(query)->records), ElementsAre(NameOf(1)));
  query.annotations["101"] = "x";
  EXPECT_THAT(store_->List(query),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SqliteBuildStoreTest, NothingIsInAStateThatIsNone) {
  ASSERT_THAT(store_->Insert(MakeRecord(1)), IsOk());
  // As from a caller who knows more states.
  for (const int state : {-1, 10, 63, 64, 1'000'000}) {
    EXPECT_THAT(
        store_->List({.states = {static_cast<Build::State>(state)}})->records,
        IsEmpty());
  }
}

TEST_F(SqliteBuildStoreTest, PagesSurviveInsertsAndDeletes) {
  constexpr int kBuilds = 1000;
  for (const bool annotated : {false, true}) {
    SCOPED_TRACE(annotated);
    const int base = annotated ? 10'000 : 0;
    std::vector<storage::v1::BuildRecord> records;
    for (int i = 0; i < kBuilds; ++i) {
      auto record = MakeRecord(base + i);
      if (annotated) {
        (*record.mutable_build()->mutable_annotations())["x"] = "y";
      }
      records.push_back(std::move(record));
    }
    ASSERT_THAT(store_->InsertAll(records), IsOk());

    // Not what the round before left.
    ListQuery query{.created_from = CreateTimeOf(base), .page_size = 37};
    if (annotated) query.annotations["x"] = "y";
    std::vector<std::string> seen;
    std::set<std::string> deleted_unseen;
    int next_new = base + kBuilds;
    int next_old = base;  // counts up while the list counts down
    while (true) {
      const auto page = store_->List(query);
      ASSERT_THAT(page, IsOk());
      for (const std::string& name : NamesOf(page->records)) {
        seen.push_back(name);
      }
      if (!page->next_before_arrival.has_value()) break;
      EXPECT_EQ(page->records.size(), 37);
      query.before_arrival = page->next_before_arrival;

      for (int i = 0; i < 5; ++i) {
        auto record = MakeRecord(next_new++);
        if (annotated) {
          (*record.mutable_build()->mutable_annotations())["x"] = "y";
        }
        ASSERT_THAT(store_->Insert(record), IsOk());
      }
      // The one that the next page begins after, and some that are to come.
      ASSERT_THAT(store_->Delete(seen.back()), IsOk());
      for (int i = 0; i < 3; ++i, next_old += 7) {
        if (NameOf(next_old) >= seen.back()) continue;
        ASSERT_THAT(store_->Delete(NameOf(next_old)), IsOk());
        deleted_unseen.insert(NameOf(next_old));
      }
    }
    std::vector<std::string> expected;
    for (int i = kBuilds - 1; i >= 0; --i) {
      if (deleted_unseen.count(NameOf(base + i)) == 0) {
        expected.push_back(NameOf(base + i));
      }
    }
    EXPECT_GT(deleted_unseen.size(), 30);
    EXPECT_EQ(seen, expected);
  }
}

TEST_F(SqliteBuildStoreTest, TheLastPageSaysSo) {
  ASSERT_THAT(store_->InsertAll({MakeRecord(1), MakeRecord(2)}), IsOk());
  const auto both = store_->List({.page_size = 2});
  EXPECT_THAT(NamesOf(both->records), ElementsAre(NameOf(2), NameOf(1)));
  EXPECT_EQ(both->next_before_arrival, std::nullopt);

  const auto first = store_->List({.page_size = 1});
  EXPECT_THAT(NamesOf(first->records), ElementsAre(NameOf(2)));
  ASSERT_TRUE(first->next_before_arrival.has_value());
  const auto last = store_->List(
      {.before_arrival = first->next_before_arrival, .page_size = 1});
  EXPECT_THAT(NamesOf(last->records), ElementsAre(NameOf(1)));
  EXPECT_EQ(last->next_before_arrival, std::nullopt);
}

TEST_F(SqliteBuildStoreTest, APageIsBoundedInBytes) {
  for (int i = 0; i < 4; ++i) {
    auto record = MakeRecord(i);
    record.mutable_build()->mutable_spec()->set_dockerfile(
        std::string(10'000, 'x'));
    ASSERT_THAT(store_->Insert(record), IsOk());
  }
  ListQuery query{.max_page_bytes = 25'000};
  const auto page = store_->List(query);
  EXPECT_THAT(NamesOf(page->records), ElementsAre(NameOf(3), NameOf(2)));
  // One that is over the limit by itself is a page.
  query.max_page_bytes = 100;
  query.before_arrival = page->next_before_arrival;
  const auto next = store_->List(query);
  EXPECT_THAT(NamesOf(next->records), ElementsAre(NameOf(1)));
  ASSERT_TRUE(next->next_before_arrival.has_value());
  query.before_arrival = next->next_before_arrival;
  const auto last = store_->List(query);
  EXPECT_THAT(NamesOf(last->records), ElementsAre(NameOf(0)));
  EXPECT_EQ(last->next_before_arrival, std::nullopt);
}

// Of 300 builds the store looks at its clock while it lists them.
std::vector<storage::v1::BuildRecord> MakeRecords(int count,
                                                  int annotations = 0) {
  std::vector<storage::v1::BuildRecord> records;
  for (int i = 0; i < count; ++i) {
    storage::v1::BuildRecord& record = records.emplace_back(MakeRecord(i));
    record.set_request_id(absl::StrCat(i));
    for (int k = 0; k < annotations; ++k) {
      (*record.mutable_build()->mutable_annotations())[absl::StrCat(k)] = "x";
    }
  }
  return records;
}

// Looks for 100 annotations of those, of which no build has the last.
ListQuery LongQuery() {
  ListQuery query;
  for (int i = 0; i < 100; ++i) query.annotations[absl::StrCat(i)] = "x";
  query.annotations["99"] = "y";
  return query;
}

TEST_F(SqliteBuildStoreTest, OnlyListsWaitForAList) {
  absl::Notification is_listing;
  absl::Notification go_on;
  int calls = 0;
  Reopen({.busy_timeout = absl::Milliseconds(50), .uptime = [&] {
            // The first is before it reads.
            if (++calls == 2) {
              is_listing.Notify();
              go_on.WaitForNotification();
            }
            return absl::ZeroDuration();
          }});
  ASSERT_THAT(store_->InsertAll(MakeRecords(300)), IsOk());
  std::thread lists([&] {
    const auto page = store_->List({.page_size = 1000});
    EXPECT_THAT(page, IsOk());
    // As they were when it began.
    EXPECT_THAT(page->records, SizeIs(300));
  });
  is_listing.WaitForNotification();
  EXPECT_THAT(store_->List({}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(store_->Get(NameOf(1)), IsOk());
  EXPECT_THAT(store_->FindByRequestId("local", "1"), IsOk());
  EXPECT_THAT(store_->Unfinished(), IsOk());
  EXPECT_THAT(store_->Names(), IsOk());
  EXPECT_THAT(store_->EndedTotals(), IsOk());
  EXPECT_THAT(store_->OldestEnded({.limit = 1}), IsOk());
  EXPECT_THAT(store_->Insert(MakeRecord(300)), IsOk());
  EXPECT_THAT(store_->Update(MakeEndedRecord(1, absl::Seconds(1))), IsOk());
  EXPECT_THAT(store_->Delete(NameOf(2)), IsOk());
  go_on.Notify();
  lists.join();
  EXPECT_THAT(store_->List({.page_size = 1000})->records, SizeIs(300));
}

TEST_F(SqliteBuildStoreTest, WhoListsAgainAndAgainKeepsNobodyOut) {
  // Each list calls once, when it has its turn.
  std::vector<std::thread::id> turns;
  std::function<void()> on_first_turn;
  Reopen({.uptime = [&] {
    turns.push_back(std::this_thread::get_id());
    if (turns.size() == 1) on_first_turn();
    return absl::ZeroDuration();
  }});
  // By chance he comes later in one of them, or has it first where it is no
  // rule.
  constexpr int kRounds = 10;
  int in_turn = 0;
  for (int round = 0; round < kRounds; ++round) {
    turns.clear();
    std::thread other;
    std::atomic<pid_t> other_id = 0;
    on_first_turn = [&] {
      other = std::thread([&] {
        other_id = gettid();
        EXPECT_THAT(store_->List({}), IsOk());
      });
      // Asleep, which he is when he waits for his turn.
      EXPECT_TRUE(Eventually([&] {
        return absl::StrContains(
            ReadFile(
                absl::StrCat("/proc/self/task/", other_id.load(), "/stat")),
            ") S ");
      }));
    };
    for (int i = 0; i < 3; ++i) EXPECT_THAT(store_->List({}), IsOk());
    const std::thread::id his = other.get_id();
    other.join();
    ASSERT_THAT(turns, SizeIs(4));
    if (turns[1] == his) ++in_turn;
  }
  EXPECT_GT(in_turn, kRounds / 2);
}

TEST_F(SqliteBuildStoreTest, AListThatTakesTooLongEndsAndTheNextDoesNot) {
  absl::Duration uptime = absl::Hours(1);
  absl::Duration each = limits::kMaxListTime;
  Reopen({.uptime = [&] { return uptime += each; }});
  ASSERT_THAT(store_->InsertAll(MakeRecords(300)), IsOk());
  EXPECT_THAT(store_->List({.page_size = 1000}),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr(path_)));
  // Time counts for each by itself, from when it has its turn.
  each = limits::kMaxListTime / 100;
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(store_->List({.page_size = 1000})->records, SizeIs(300));
  }
  // What is not listed has no such end.
  each = limits::kMaxListTime;
  EXPECT_THAT(store_->Unfinished().value(), SizeIs(300));
  EXPECT_THAT(store_->Names().value(), SizeIs(300));
}

// So that there is a way out for who is refused.
TEST_F(SqliteBuildStoreTest, FewerAnnotationsOrANarrowerTimeAreLessWork) {
  int looks = 0;
  Reopen({.uptime = [&] {
    ++looks;
    return absl::ZeroDuration();
  }});
  ASSERT_THAT(store_->InsertAll(MakeRecords(300, /*annotations=*/100)), IsOk());
  const ListQuery query = LongQuery();
  const auto looks_at = [&](const ListQuery& list) {
    looks = 0;
    EXPECT_THAT(store_->List(list)->records, IsEmpty());
    return looks;
  };
  const int all = looks_at(query);
  EXPECT_GT(all, 100);
  ListQuery narrow = query;
  narrow.created_from = CreateTimeOf(100);
  narrow.created_before = CreateTimeOf(110);
  EXPECT_LT(looks_at(narrow), all / 5);
  ListQuery few = query;
  few.annotations = {{"98", "x"}, {"99", "y"}};
  EXPECT_LT(looks_at(few), all / 5);
}

TEST_F(SqliteBuildStoreTest, ManyThreadsAtOnce) {
  constexpr int kThreads = 8;
  constexpr int kBuilds = 30;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kBuilds; ++i) {
        const int number = t * 1000 + i;
        EXPECT_THAT(store_->Insert(MakeRecord(number)), IsOk());
        EXPECT_THAT(store_->Get(NameOf(number)).value(),
                    IsRecord(MakeRecord(number)));
        const auto ended = MakeEndedRecord(number, absl::Seconds(1));
        EXPECT_THAT(store_->Update(ended), IsOk());
        EXPECT_THAT(store_->Get(NameOf(number)).value(), IsRecord(ended));
        EXPECT_THAT(store_->List({}), IsOk());
        EXPECT_THAT(store_->Unfinished(), IsOk());
        EXPECT_THAT(store_->EndedTotals(), IsOk());
        if (i % 3 == 0) {
          EXPECT_THAT(store_->Delete(NameOf(number)), IsOk());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Reopen();
  EXPECT_EQ(store_->Names()->size(), kThreads * kBuilds * 2 / 3);
  EXPECT_EQ(store_->EndedTotals()->at("local").ended_builds,
            kThreads * kBuilds * 2 / 3);
  EXPECT_THAT(store_->Unfinished().value(), IsEmpty());
}

TEST_F(SqliteBuildStoreTest, ItsFilesAreTheOwnersOnly) {
  ASSERT_THAT(store_->Insert(MakeRecord(1)), IsOk());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat status = {};
    ASSERT_EQ(stat(absl::StrCat(path_, suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 0777, 0600) << suffix;
  }
}

}  // namespace
}  // namespace containerbuilder::service
