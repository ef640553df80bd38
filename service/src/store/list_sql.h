#ifndef CONTAINERBUILDER_STORE_LIST_SQL_H_
#define CONTAINERBUILDER_STORE_LIST_SQL_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "store/build_store.h"

namespace containerbuilder::service {

// A query, and the values of its parameters in order.
struct ListSql {
  std::string text;
  std::vector<std::variant<std::int64_t, std::string>> values;
};

// Selects kRecordColumns of what is asked for, newest first, one more than
// fits the page where there is more. Walks an index in that order, so that a
// page is found without sorting.
ListSql MakeListSql(const ListQuery& query);

// What is read of a build `b` and its record `r`.
inline constexpr char kRecordColumns[] =
    "b.arrival, b.name, r.record, r.sha256";

}  // namespace containerbuilder::service

#endif  // CONTAINERBUILDER_STORE_LIST_SQL_H_
