#include "store/list_sql.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace containerbuilder::service {

ListSql MakeListSql(const ListQuery& query) {
  ListSql sql;
  std::vector<std::string> conditions;
  const auto add = [&](std::string condition, auto... values) {
    conditions.push_back(std::move(condition));
    (sql.values.emplace_back(std::move(values)), ...);
  };

  // CROSS JOIN is SQLite's way to fix the order of the loops. Builds with one
  // annotation, be they many or few, stand in its index by arrival.
  absl::string_view from = "builds b";
  absl::string_view arrival = "b.arrival";
  for (const auto& [key, value] : query.annotations) {
    if (conditions.empty()) {
      from = "annotations a CROSS JOIN builds b ON b.arrival = a.arrival";
      arrival = "a.arrival";
      add("a.key = ? AND a.value = ?", key, value);
    } else {
      add("EXISTS (SELECT 1 FROM annotations o WHERE o.key = ? AND "
          "o.value = ? AND o.arrival = b.arrival)",
          key, value);
    }
  }
  if (query.before_arrival.has_value()) {
    add(absl::StrCat(arrival, " < ?"), *query.before_arrival);
  }
  if (query.requester.has_value()) add("b.requester = ?", *query.requester);
  if (query.created_from.has_value()) {
    add("b.create_time >= ?", absl::ToUnixNanos(*query.created_from));
  }
  if (query.created_before.has_value()) {
    add("b.create_time < ?", absl::ToUnixNanos(*query.created_before));
  }
  if (!query.states.empty()) {
    // As bits, so that it is one parameter however many are asked for.
    std::int64_t states = 0;
    for (const v1::Build::State state : query.states) {
      if (v1::Build::State_IsValid(state)) states |= std::int64_t{1} << state;
    }
    add("(1 << b.state) & ? != 0", states);
  }

  sql.text = absl::StrCat("SELECT ", kRecordColumns, " FROM ", from,
                          " CROSS JOIN records r ON r.arrival = b.arrival ");
  if (!conditions.empty()) {
    absl::StrAppend(&sql.text, "WHERE ", absl::StrJoin(conditions, " AND "),
                    " ");
  }
  absl::StrAppend(&sql.text, "ORDER BY ", arrival, " DESC LIMIT ?");
  sql.values.emplace_back(std::int64_t{query.page_size} + 1);
  return sql;
}

}  // namespace containerbuilder::service
