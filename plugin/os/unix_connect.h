// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "plugin/base/unique_fd.h"

namespace dp::os {

// Connects to the SOCK_STREAM Unix socket at `path`, without waiting for anybody. The descriptor is
// nonblocking and close-on-exec.
// NotFound: nothing is there. Unavailable: nobody listens there, or the queue of the listener is
// full. InvalidArgument: path too long. Else by errno. Each names the path.
absl::StatusOr<base::UniqueFd> ConnectUnix(const std::string& path);

}  // namespace dp::os
