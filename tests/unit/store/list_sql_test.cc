#include "store/list_sql.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "store/sqlite_build_store.h"
#include "support/status_matchers.h"
#include "support/temp_dir.h"
#include "unit/store/records.h"

namespace containerbuilder::service {
namespace {

using test_support::IsOk;
using test_support::TempDir;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ListSqlTest : public testing::Test {
 protected:
  // What SQLite would do, a step a line.
  std::string PlanOf(const ListQuery& query) {
    const std::string path = folder_.Path("builds.db");
    EXPECT_THAT(SqliteBuildStore::Open(path), IsOk());
    SQLite::Database database(path);
    SQLite::Statement statement(
        database, absl::StrCat("EXPLAIN QUERY PLAN ", MakeListSql(query).text));
    std::string plan;
    while (statement.executeStep()) {
      absl::StrAppend(&plan, statement.getColumn(3).getString(), "\n");
    }
    return plan;
  }

  TempDir folder_;
};

TEST_F(ListSqlTest, NoPageIsSorted) {
  ListQuery query;
  for (int set = 0; set < 32; ++set) {
    query = {};
    if (set & 1) query.annotations = {{"a", "b"}, {"c", "d"}};
    if (set & 2) query.requester = "ann";
    if (set & 4) query.created_from = absl::UnixEpoch();
    if (set & 8) query.before_arrival = 7;
    if (set & 16)
      query.states = {v1::Build::STATE_FAILED, v1::Build::STATE_RUNNING};
    const std::string plan = PlanOf(query);
    EXPECT_THAT(plan, AllOf(Not(HasSubstr("TEMP B-TREE")),
                            HasSubstr("SEARCH r USING INTEGER PRIMARY KEY")))
        << MakeListSql(query).text;
    // Whole walks are only through `builds`, which is narrow, and only where no
    // index has the few that are wanted.
    if (set & 1) {
      EXPECT_THAT(plan, AllOf(HasSubstr("SEARCH a USING PRIMARY KEY (key=? AND "
                                        "value=?"),
                              Not(HasSubstr("SCAN b"))));
    } else if (set & 2) {
      EXPECT_THAT(plan, HasSubstr("INDEX builds_by_requester (requester=?"));
    } else if (set & 8) {
      EXPECT_THAT(plan, HasSubstr("SEARCH b USING INTEGER PRIMARY KEY"));
    } else {
      EXPECT_THAT(plan, HasSubstr("SCAN b"));
    }
  }
}

}  // namespace
}  // namespace containerbuilder::service
