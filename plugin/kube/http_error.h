// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string_view>

#include "absl/status/status.h"

namespace dp::kube {

// What an answer with an HTTP status of 300 and more is taken for. `body` is what came with it: a
// Status object of Kubernetes (its `message` and `reason` are used) or anything else. The message
// is "CODE: MESSAGE" in one line of ASCII.
//
//   400 InvalidArgument      404, 410 NotFound        422 FailedPrecondition (refused as it is, or
//   a 401 Unauthenticated      409 Aborted, or              `test` of a patch did not hold) 403
//   PermissionDenied         AlreadyExists        429, 5xx Unavailable; else Unknown
//
// https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/
// api-conventions.md#http-status-codes
//
// `retry_after` is the header of that name, empty if there was none; RetryAfter() finds it in the
// status.
absl::Status HttpError(int code, std::string_view body, std::string_view retry_after = {});

// How long the server has asked to be left alone: RFC 9110, 10.2.3, in seconds as Kubernetes sends
// it, a day at most. Zero: it has not, or as a date.
std::chrono::seconds RetryAfter(const absl::Status& status);

}  // namespace dp::kube
