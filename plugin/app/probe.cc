// SPDX-License-Identifier: Apache-2.0
#include "plugin/app/probe.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "plugin/admin_client/admin_socket.h"
#include "plugin/base/status_macros.h"
#include "plugin/os/event_loop.h"

// The daemon's own binary asks the daemon, in the container of both: such a probe needs no port, no
// shell, and nobody else who is well.

namespace dp::app {
namespace {

constexpr std::chrono::seconds kPatience{4};

absl::Status CheckReady(const admin_client::v1::NodeState& state) {
  for (const auto& resource : state.resources()) {
    if (resource.watched()) continue;
    return absl::FailedPreconditionError(
        fmt::format("the kubelet does not watch {}", resource.name()));
  }
  if (state.daemon().ledger_error().empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the ledger cannot be written: {}", state.daemon().ledger_error()));
}

}  // namespace

absl::Status Probe(const std::string& socket, std::string_view what) {
  ASSIGN_OR_RETURN(const auto loop, os::EventLoop::Create());
  admin_client::AdminSocket daemon(*loop, socket);
  absl::Status result;
  daemon.GetState(kPatience, [&](const absl::StatusOr<admin_client::v1::NodeState>& state) {
    result = state.ok() && what == "ready" ? CheckReady(*state) : state.status();
    loop->Post([&] { daemon.Stop([&] { loop->Stop(); }); });
  });
  loop->Run();
  return result;
}

}  // namespace dp::app
