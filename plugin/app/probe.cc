// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/probe.h"

#include <fmt/format.h>

#include <chrono>

#include "plugin/admin_client/ask.h"

// The daemon's own binary asks the daemon, in the container of both: such a probe needs no port, no
// shell, and nobody else who is well.

namespace dp::app {
namespace {

constexpr std::chrono::seconds kPatience{4};

absl::Status CheckReady(const admin_client::v1::NodeState& state) {
  for (const auto& resource : state.resources()) {
    if (resource.watched()) continue;
    return absl::FailedPreconditionError(
        fmt::format("the kubelet does not watch {}{}{}", resource.name(),
                    resource.failure().empty() ? "" : ": ", resource.failure()));
  }
  if (state.daemon().ledger_error().empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the ledger cannot be written: {}", state.daemon().ledger_error()));
}

}  // namespace

absl::Status Probe(const std::string& socket, std::string_view what) {
  const auto state = admin_client::AskState(socket, kPatience);
  return state.ok() && what == "ready" ? CheckReady(*state) : state.status();
}

}  // namespace dp::app
