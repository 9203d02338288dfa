// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "plugin/ctl/node.h"

// Asks the daemon (api/admin/v1), in the words of this program.
namespace dp::ctl {

// A daemon answers from memory, so one that takes as long does not answer.
inline constexpr std::chrono::seconds kAnswerDeadline{5};

// How things stand, without what the kernel says. NotFound, Unavailable, PermissionDenied and
// others by errno: nobody listens there, or may be asked. DataLoss: what answers is no daemon. Each
// is one sentence that names the socket.
absl::StatusOr<Node> AskState(const std::string& socket);

// Ends the reservation of the window that begins there. Returns whose it was. A refusal of the
// daemon has its code and its words.
absl::StatusOr<std::vector<std::string>> AskRelease(const std::string& socket, std::uint64_t base);

}  // namespace dp::ctl
