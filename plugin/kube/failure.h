// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace dp::kube {

// What an answer of the API server means for whoever keeps something there in step.
enum class Failure {
  kNone,
  kForbidden,    // the account lacks a right, or the token is not taken, or a policy is against it
  kUnreachable,  // no API server, or one that fails or wants to be left alone
  kRefused,      // it does not want what was written, as it is
  kConflict,     // somebody else has written at the same time
  kAbsent,       // there is no such object, or no CRD
  kBroken,       // an answer that makes no sense
};

// `status` as an Api returns it.
Failure FailureOf(const absl::Status& status);
// "forbidden", "unreachable", ...: for logs and metrics. Empty: kNone.
std::string_view NameOf(Failure failure);

}  // namespace dp::kube
