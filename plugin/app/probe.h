// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace dp::app {

// Asks the daemon at the admin socket whether it is "live": its loop turns; or "ready": the kubelet
// watches each resource, too, and the ledger can be written. Waits for 4 s at most; the kubelet's
// probes are to wait for 5.
// DeadlineExceeded: no answer. FailedPrecondition: not ready, and why. Else as connect(2) says,
// with the path.
absl::Status Probe(const std::string& socket, std::string_view what);

}  // namespace dp::app
