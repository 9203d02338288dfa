// SPDX-License-Identifier: Apache-2.0
#include "plugin/kube/failure.h"

namespace dp::kube {

Failure FailureOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return Failure::kNone;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return Failure::kForbidden;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
      return Failure::kUnreachable;
    case absl::StatusCode::kFailedPrecondition:
      return Failure::kRefused;
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kAlreadyExists:
      return Failure::kConflict;
    case absl::StatusCode::kNotFound:
      return Failure::kAbsent;
    default:
      return Failure::kBroken;
  }
}

std::string_view NameOf(Failure failure) {
  switch (failure) {
    case Failure::kNone:
      return "";
    case Failure::kForbidden:
      return "forbidden";
    case Failure::kUnreachable:
      return "unreachable";
    case Failure::kRefused:
      return "refused";
    case Failure::kConflict:
      return "conflict";
    case Failure::kAbsent:
      return "absent";
    case Failure::kBroken:
      return "broken";
  }
  return "broken";
}

}  // namespace dp::kube
