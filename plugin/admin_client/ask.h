// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "plugin/admin_client/admin.h"

// For who asks the daemon one thing and has nothing else to do: each waits for the answer, for
// `deadline` at most. Errors are as from AdminSocket.
namespace dp::admin_client {

absl::StatusOr<v1::NodeState> AskState(const std::string& socket, Admin::Duration deadline);
absl::StatusOr<v1::ReleaseResponse> AskRelease(const std::string& socket,
                                               const v1::ReleaseRequest& request,
                                               Admin::Duration deadline);

}  // namespace dp::admin_client
