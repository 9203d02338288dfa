// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// The only two macros of the project: early return of an absl::Status that is not OK.

#define DP_CONCAT_INNER(a, b) a##b
#define DP_CONCAT(a, b) DP_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                                               \
  do {                                                                            \
    if (absl::Status dp_status = (expression); !dp_status.ok()) return dp_status; \
  } while (false)

#define ASSIGN_OR_RETURN(declaration, expression) \
  DP_ASSIGN_OR_RETURN(DP_CONCAT(dp_status_or_, __LINE__), declaration, expression)

#define DP_ASSIGN_OR_RETURN(variable, declaration, expression) \
  auto variable = (expression);                                \
  if (!variable.ok()) return std::move(variable).status();     \
  declaration = *std::move(variable)
