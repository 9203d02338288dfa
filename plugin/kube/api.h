// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dp::kube {

// The API server, as far as somebody who keeps one object in step needs it. `path` begins with a
// slash and may have a query: "/apis/kubevirt.io/v1/kubevirts?limit=2". Each call waits for its
// answer, and returns the object that the server answers with.
//
// Errors, of all calls: those of HttpError() (http_error.h) if there was an answer; Unavailable:
// none came, or half of one; Cancelled: given up by this side; Unauthenticated: there is no token
// to show, or nothing to check the server with; InvalidArgument: the answer is no JSON object, or
// larger than 16 MiB. The message is one sentence with method and path. How long the server wants
// to be left alone says RetryAfter() (http_error.h).
class Api {
 public:
  virtual ~Api() = default;

  virtual absl::StatusOr<nlohmann::json> Get(const std::string& path) = 0;
  // JSON Patch (RFC 6902). A `test` in it that does not hold: FailedPrecondition, and nothing of
  // the patch is done.
  virtual absl::StatusOr<nlohmann::json> Patch(const std::string& path,
                                               const nlohmann::json& operations) = 0;
  // Strategic merge: what `change` names is set, and its lists are merged by the keys that the type
  // has for them. For built-in types alone.
  virtual absl::StatusOr<nlohmann::json> StrategicPatch(const std::string& path,
                                                        const nlohmann::json& change) = 0;
  // AlreadyExists: there is one of this name. `path` is that of the collection.
  virtual absl::StatusOr<nlohmann::json> Create(const std::string& path,
                                                const nlohmann::json& object) = 0;
  // Aborted: the object has changed since it had the resourceVersion of `object`.
  virtual absl::StatusOr<nlohmann::json> Replace(const std::string& path,
                                                 const nlohmann::json& object) = 0;
};

}  // namespace dp::kube
