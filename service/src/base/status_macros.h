#ifndef CONTAINERBUILDER_BASE_STATUS_MACROS_H_
#define CONTAINERBUILDER_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Abseil 20220623 has none of its own.

// Returns from the function if `expression`, an absl::Status, is not OK.
#define CONTAINERBUILDER_RETURN_IF_ERROR(expression)                        \
  do {                                                                      \
    if (absl::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

#define CONTAINERBUILDER_CONCAT_INNER_(a, b) a##b
#define CONTAINERBUILDER_CONCAT_(a, b) CONTAINERBUILDER_CONCAT_INNER_(a, b)

// Declares `declaration` from `expression`, an absl::StatusOr, or returns its
// error from the function.
#define CONTAINERBUILDER_ASSIGN_OR_RETURN(declaration, expression)      \
  auto CONTAINERBUILDER_CONCAT_(or_, __LINE__) = (expression);          \
  if (!CONTAINERBUILDER_CONCAT_(or_, __LINE__).ok()) {                  \
    return std::move(CONTAINERBUILDER_CONCAT_(or_, __LINE__)).status(); \
  }                                                                     \
  declaration = /* NOLINT(bugprone-macro-parentheses) */                \
      *std::move(CONTAINERBUILDER_CONCAT_(or_, __LINE__))

#endif  // CONTAINERBUILDER_BASE_STATUS_MACROS_H_
