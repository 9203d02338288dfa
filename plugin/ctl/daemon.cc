// SPDX-License-Identifier: Apache-2.0
#include "plugin/ctl/daemon.h"

#include <fmt/format.h>

#include <optional>

#include "plugin/admin_client/ask.h"
#include "plugin/base/status_macros.h"

namespace dp::ctl {
namespace {

namespace admin = vfio_doorbell::admin::v1;

std::optional<core::Window> WindowOf(bool is_there, const admin::Window& window) {
  if (!is_there) return std::nullopt;
  return core::Window{.base = window.base(), .size = window.size()};
}

std::optional<core::PodName> PodOf(bool is_there, const admin::Pod& pod) {
  if (!is_there) return std::nullopt;
  return core::PodName{.space = pod.namespace_(), .name = pod.name()};
}

State StateOf(admin::DeviceState state) {
  switch (state) {
    case admin::DEVICE_FREE:
      return State::kFree;
    case admin::DEVICE_ALLOCATED:
      return State::kAllocated;
    case admin::DEVICE_STARTED:
      return State::kStarted;
    case admin::DEVICE_UNHEALTHY:
      return State::kUnhealthy;
    default:
      return State::kUnknown;
  }
}

std::string ModeOf(admin::Mode mode) {
  switch (mode) {
    case admin::MODE_ENFORCE:
      return "enforce";
    case admin::MODE_OBSERVE:
      return "observe";
    default:
      return "unknown";
  }
}

Daemon DaemonOf(const admin::Daemon& daemon) {
  return {.version = daemon.version(),
          .started_ms = daemon.started_ms(),
          .mode = ModeOf(daemon.mode()),
          .config_file = daemon.config_file(),
          .config_error = daemon.config_error(),
          .ledger_error = daemon.ledger_error(),
          .pods_error = daemon.pods_error()};
}

Device DeviceOf(const admin::Device& source) {
  Device device;
  device.id = source.id();
  device.resource = source.resource();
  device.group = source.group();
  device.function = source.function();
  device.driver = source.driver();
  if (source.has_numa_node()) device.numa_node = source.numa_node();
  device.reason = source.reason();
  device.unhealthy = source.unhealthy();
  device.observe = source.observe();
  device.state = StateOf(source.state());
  device.since_ms = source.since_ms();
  device.window = WindowOf(source.has_window(), source.window());
  device.pod = PodOf(source.has_pod(), source.pod());
  if (source.has_last_failure()) {
    device.last_failure = {.reason = source.last_failure().reason(),
                           .message = source.last_failure().message(),
                           .time_ms = source.last_failure().time_ms()};
  }
  return device;
}

Occurrence OccurrenceOf(const admin::Occurrence& source) {
  return {.time_ms = source.time_ms(),
          .warning = source.warning(),
          .reason = source.reason(),
          .message = source.message(),
          .device = source.device(),
          .resource = source.resource(),
          .pod = PodOf(source.has_pod(), source.pod())};
}

Node NodeOf(const admin::NodeState& state) {
  Node node;
  node.daemon = DaemonOf(state.daemon());
  node.pool = {.start = state.pool().start(),
               .end = state.pool().end(),
               .window_size = state.pool().window_size()};
  node.free_windows = state.pool().free();
  for (const admin::Device& device : state.devices()) node.devices.push_back(DeviceOf(device));
  for (const admin::Leftover& leftover : state.leftovers()) {
    node.leftovers.push_back(
        {.device = leftover.device(),
         .group = leftover.group(),
         .window = {.base = leftover.window().base(), .size = leftover.window().size()},
         .since_ms = leftover.since_ms()});
  }
  for (const admin::Occurrence& occurrence : state.occurrences())
    node.occurrences.push_back(OccurrenceOf(occurrence));
  return node;
}

}  // namespace

absl::StatusOr<Node> AskState(const std::string& socket) {
  ASSIGN_OR_RETURN(const admin::NodeState state, admin_client::AskState(socket, kAnswerDeadline));
  // What answers with nothing may be anybody.
  if (!state.has_daemon()) {
    return absl::DataLossError(fmt::format("the answer from {} is not that of a daemon", socket));
  }
  return NodeOf(state);
}

absl::StatusOr<std::vector<std::string>> AskRelease(const std::string& socket, std::uint64_t base) {
  admin::ReleaseRequest request;
  request.set_base(base);
  ASSIGN_OR_RETURN(const admin::ReleaseResponse response,
                   admin_client::AskRelease(socket, request, kAnswerDeadline));
  return std::vector<std::string>(response.devices().begin(), response.devices().end());
}

}  // namespace dp::ctl
